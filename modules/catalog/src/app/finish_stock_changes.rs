//! Finishes the keyed stock changes that a crash left behind.

use contracts::port::PortError;
use platform::idempotency::{self, Ticket};

use crate::Context;
use crate::app::adjust_stock::{ROUTE_PREFIX, ask};
use crate::error::CatalogError;
use crate::store::stock_changes;

/// The most keys of one run.
const BATCH: u64 = 100;

/// A change that was written down is asked for again, under the same id, whether inventory has heard of it or not; a key
/// without one has changed nothing and is forgotten. While inventory is away the key stays for a later run.
pub(crate) async fn finish_stock_changes(context: &Context) -> Result<(), CatalogError> {
    for row in idempotency::stale(&context.db, ROUTE_PREFIX, BATCH).await? {
        // Taking the ticket over is what keeps a retry and this worker apart.
        let Some(ticket) = idempotency::take_over_stale(&context.db, &row).await? else { continue };
        let Some(change) = stock_changes::find(context.db.reader(), ticket.resource_id).await? else {
            forget_key(context, &ticket).await?;
            continue;
        };
        match ticket.hold(&context.db, ask(context, &ticket, change.asked()?)).await {
            Ok(level) => {
                tracing::warn!(movement.id = %ticket.resource_id, sku = %level.sku, "finished a stock change");
            }
            Err(CatalogError::Adjust(PortError::Unavailable { .. })) => return Ok(()),
            Err(CatalogError::Adjust(PortError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Forgets a key under which nothing was written down. Both are looked at in one transaction, the key first, as whoever writes a
/// change down does it: so a request that was only slow finds its key gone, or keeps it.
async fn forget_key(context: &Context, ticket: &Ticket) -> Result<(), CatalogError> {
    let tx = context.db.begin().await?;
    idempotency::withdraw_in(tx.conn(), ticket.resource_id).await?;
    if stock_changes::find(tx.conn(), ticket.resource_id).await?.is_none() {
        tx.commit().await?;
    }
    Ok(())
}
