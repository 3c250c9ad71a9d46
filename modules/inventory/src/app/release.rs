//! Gives the stock of a reservation back, and burns its id.

use kernel::{OrderId, ReservationId};

use platform::db::Tx;

use crate::Context;
use crate::domain::reservation::{self, State};
use crate::error::InventoryError;
use crate::store::{reservation_lines, reservations, stock};

/// Idempotent. If nothing was ever held under the id, it is recorded as released, so that a slow twin of the placement
/// cannot reserve under it afterwards.
pub(crate) async fn release(
    context: &Context,
    id: ReservationId,
    order_id: OrderId,
) -> Result<(), InventoryError> {
    let mut tx = context.db.begin().await?;
    release_in(&mut tx, id, order_id).await?;
    tx.commit().await?;
    Ok(())
}

/// The same inside a transaction of the caller's.
pub(crate) async fn release_in(
    tx: &mut Tx,
    id: ReservationId,
    order_id: OrderId,
) -> Result<(), InventoryError> {
    let now = tx.system().now();
    let is_new = reservations::claim(tx.conn(), id, order_id, State::Released, now).await?;
    if is_new {
        return Ok(());
    }
    if !reservations::end(tx.conn(), id, State::Released, now).await? {
        let known = reservations::state(tx.conn(), id).await?;
        return reservation::release(known).map(|_| ()).map_err(Into::into);
    }
    for line in reservation_lines::of(tx.conn(), id).await? {
        stock::unhold(tx.conn(), line.stock_id, line.quantity, false, now).await?;
    }
    tracing::info!(reservation.id = %id, order.id = %order_id, "released stock");
    Ok(())
}
