//! Forgets what nobody needs any more.

use std::time::Duration;

use sea_orm::DbErr;

use crate::Context;
use crate::store::{carts, checkouts};

/// Longer than `orders` remembers a key: as long as it may answer with an order, we know of which cart it was made.
const KEEP_CHECKOUTS: Duration = Duration::from_secs(8 * 24 * 3600);
/// How long closed carts stay for whoever looks into a complaint.
const KEEP_CLOSED: Duration = Duration::from_secs(30 * 24 * 3600);
/// Rows a statement, so that none holds the database up.
const BATCH: u64 = 1_000;
/// Statements of each kind a run; the next run goes on.
const BATCHES: u32 = 50;

/// Checkouts go first: they hold on to their carts.
pub(crate) async fn purge(context: &Context) -> Result<(), DbErr> {
    let now = context.db.system().now();
    let guests_before = now.minus(Duration::from_secs(context.settings.guest_cart_ttl_s));
    let conn = context.db.writer();
    let checkouts = in_batches(|| checkouts::delete_old(conn, now.minus(KEEP_CHECKOUTS), BATCH)).await?;
    let guests = in_batches(|| carts::delete_idle_guests(conn, guests_before, BATCH)).await?;
    let closed = in_batches(|| carts::delete_closed(conn, now.minus(KEEP_CLOSED), BATCH)).await?;
    if checkouts + guests + closed > 0 {
        tracing::info!(checkouts, guests, closed, "purged carts");
    }
    Ok(())
}

async fn in_batches<F>(delete: impl Fn() -> F) -> Result<u64, DbErr>
where
    F: Future<Output = Result<u64, DbErr>>,
{
    let mut deleted = 0;
    for _batch in 0..BATCHES {
        let rows = delete().await?;
        deleted += rows;
        if rows < BATCH {
            break;
        }
    }
    Ok(deleted)
}
