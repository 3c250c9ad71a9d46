//! Cancels orders that nobody paid in time, so that their stock can be sold to someone else.

use contracts::orders::OrderStatus;
use kernel::OrderId;

use crate::Context;
use crate::app::change_status::{Step, move_to};
use crate::domain::transitions::{By, is_overdue};
use crate::error::OrdersError;
use crate::store::orders;

/// Orders of one look.
const BATCH: u64 = 100;
/// Looks of one run at most; the next run takes the next ones.
const MAX_BATCHES: usize = 20;

/// Safe in several processes at once: each order is locked and looked at again before it is cancelled.
pub(crate) async fn expire_unpaid(context: &Context) -> Result<(), OrdersError> {
    for _batch in 0..MAX_BATCHES {
        let now = context.db.system().now();
        let overdue = orders::overdue(context.db.reader(), now, BATCH).await?;
        if overdue.is_empty() {
            break;
        }
        for order_id in overdue {
            expire(context, order_id).await?;
        }
    }
    Ok(())
}

async fn expire(context: &Context, order_id: OrderId) -> Result<(), OrdersError> {
    let mut tx = context.db.begin().await?;
    let Some(before) = orders::lock_for_shop(tx.conn(), order_id).await? else {
        return Ok(());
    };
    // A payment may have begun, or the window have been restarted, since the look.
    let now_ms = tx.system().now().ms();
    if !is_overdue(before.status()?, before.payment()?.status, before.payment_due_at_ms, now_ms) {
        return Ok(());
    }
    let step = Step { to: OrderStatus::Cancelled, actor_id: None, reason: Some("payment_window_passed") };
    move_to(&mut tx, &before, step, By::Shop).await?;
    tx.commit().await?;
    Ok(())
}
