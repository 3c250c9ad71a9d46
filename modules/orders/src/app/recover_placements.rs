//! The net under placements and reactivations: finds those that a crash left half done, and undoes them.

use std::time::Duration;

use kernel::{OrderId, ReservationId};
use platform::idempotency;
use platform::lease::LEASE;
use sea_orm::DbErr;

use crate::Context;
use crate::app::undo::{Intent, release_abandoned, undo};
use crate::store::{abandoned_reservations, ended_payments, orders};

/// Rows of each kind in one run; the next run takes the next ones.
const BATCH: u64 = 100;
/// How long a payment that has ended cannot begin: longer than any call is on its way.
const REMEMBER_ENDED_PAYMENTS: Duration = Duration::from_secs(24 * 3600);
/// The routes whose keys stand for a placement; the keys of others left no trace but themselves.
const PLACEMENT_ROUTES: [&str; 2] = ["POST /orders", "POST /cart/checkout"];

/// Safe in several processes at once: each undo is decided by a conditional statement, and releasing is idempotent.
pub(crate) async fn recover_placements(context: &Context) -> Result<(), DbErr> {
    undo_stale_keys(context).await?;
    undo_stale_reactivations(context).await?;
    release_what_is_left(context).await?;
    forget_ended_payments(context).await
}

async fn undo_stale_keys(context: &Context) -> Result<(), DbErr> {
    for key in idempotency::stale(&context.db, "POST /", BATCH).await? {
        let (reservation_id, order_id) = (ReservationId(key.resource_id), OrderId(key.resource_id));
        if !PLACEMENT_ROUTES.contains(&key.route.as_str()) {
            // Its work was one transaction, which did not commit: nothing is left but the key.
            idempotency::withdraw(&context.db, key.resource_id).await?;
        } else if undo(context, Intent::Placement, reservation_id, order_id).await? {
            tracing::warn!(order.id = %order_id, route = %key.route, "undid a placement that was left open");
        }
    }
    Ok(())
}

async fn undo_stale_reactivations(context: &Context) -> Result<(), DbErr> {
    let before = context.db.system().now().minus(LEASE);
    for (order_id, reservation_id) in orders::reactivating_since(context.db.reader(), before, BATCH).await? {
        if undo(context, Intent::Reactivation, reservation_id, order_id).await? {
            tracing::warn!(order.id = %order_id, "undid a reactivation that was left open");
        }
    }
    Ok(())
}

async fn release_what_is_left(context: &Context) -> Result<(), DbErr> {
    for row in abandoned_reservations::oldest(context.db.reader(), BATCH).await? {
        release_abandoned(context, ReservationId(row.reservation_id), OrderId(row.order_id)).await?;
    }
    Ok(())
}

async fn forget_ended_payments(context: &Context) -> Result<(), DbErr> {
    let before = context.db.system().now().minus(REMEMBER_ENDED_PAYMENTS);
    let old = ended_payments::before(context.db.reader(), before, BATCH).await?;
    // An idle run must not take SQLite's writer.
    if !old.is_empty() {
        ended_payments::forget(context.db.writer(), old).await?;
    }
    Ok(())
}
