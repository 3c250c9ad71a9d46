//! Gives back what a placement or reactivation that came to nothing may hold.
//!
//! The stock is in another database, so it cannot be released in the transaction that gives up the intent. That
//! transaction writes a row of `abandoned_reservations` instead, which goes only when inventory has confirmed:
//!
//! 1. one transaction closes the intent, if it is still open, and remembers the reservation as abandoned. Power fails
//!    before its commit: the intent is still open, its lease runs out, and the worker comes;
//! 2. `inventory.release` gives the stock back and burns the id. Power fails before or in it, or inventory is out of
//!    reach: the row is there, and the worker releases again, which is idempotent;
//! 3. the row is deleted. Power fails before: released once more, to no effect.
//!
//! Rejected: to release first and to close the intent afterwards. A slow request could commit its order in between,
//! and that order would hold no stock.

use contracts::inventory::ReleaseRefusal;
use contracts::port::PortError;
use kernel::{OrderId, ReservationId};
use platform::db::Tx;
use platform::idempotency;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};

use crate::Context;
use crate::store::abandoned_reservations;

/// Undoes a placement whose key is still open. False if it is not: the order was written, or someone else has undone
/// it; then nothing happens.
pub(super) async fn undo_placement(context: &Context, order_id: OrderId) -> Result<bool, DbErr> {
    let reservation_id = ReservationId(order_id.uuid());
    let tx = context.db.begin().await?;
    let closed = idempotency::Entity::delete_many()
        .filter(idempotency::Column::ResourceId.eq(order_id.uuid()))
        .filter(idempotency::Column::State.eq("open"))
        .exec(tx.conn())
        .await?;
    if closed.rows_affected == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    abandon(&tx, reservation_id, order_id).await?;
    tx.commit().await?;
    release_or_leave(context, reservation_id, order_id).await;
    Ok(true)
}

/// Remembers, in the transaction that gives up an intent, that its stock has to be released.
pub(super) async fn abandon(tx: &Tx, reservation_id: ReservationId, order_id: OrderId) -> Result<(), DbErr> {
    abandoned_reservations::remember(tx.conn(), reservation_id, order_id, tx.system().now()).await
}

/// Releases an abandoned reservation now if inventory answers; else the worker does it later.
pub(super) async fn release_or_leave(context: &Context, reservation_id: ReservationId, order_id: OrderId) {
    if !release_abandoned(context, reservation_id, order_id).await {
        tracing::warn!(reservation.id = %reservation_id, order.id = %order_id, "stock is not released yet");
    }
}

/// Steps 2 and 3. False if the row has to stay.
pub(super) async fn release_abandoned(
    context: &Context,
    reservation_id: ReservationId,
    order_id: OrderId,
) -> bool {
    match context.inventory.release(reservation_id, order_id).await {
        Ok(()) => abandoned_reservations::forget(context.db.writer(), reservation_id).await.is_ok(),
        Err(PortError::Refused(ReleaseRefusal::Shipped)) => {
            // No order ever named this reservation, so nothing can have shipped it. The row stays for `souk doctor`.
            tracing::error!(reservation.id = %reservation_id, "an abandoned reservation was shipped");
            false
        }
        Err(PortError::Unavailable { .. }) => false,
    }
}
