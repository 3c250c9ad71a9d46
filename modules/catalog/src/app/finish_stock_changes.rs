//! Finishes the keyed stock changes that a crash left behind.

use contracts::port::PortError;
use platform::idempotency::{self, Begin, IdempotencyError, KeyedRequest};

use crate::Context;
use crate::app::adjust_stock::{Outcome, ROUTE_PREFIX, ask};
use crate::error::CatalogError;
use crate::store::stock_changes;

/// The most keys of one run.
const BATCH: u64 = 100;

/// A change that was written down is asked for again, under the same id, whether inventory has heard of it or not; a key
/// without one has changed nothing and is forgotten. While inventory is away the key stays for a later run.
pub(crate) async fn finish_stock_changes(context: &Context) -> Result<(), CatalogError> {
    for row in idempotency::stale(&context.db, ROUTE_PREFIX, BATCH).await? {
        let request = KeyedRequest {
            principal: row.principal,
            route: row.route,
            key: row.idempotency_key,
            request_hash: row.request_hash,
        };
        // Taking the ticket over is what keeps a retry and this worker apart.
        let ticket = match idempotency::begin::<Outcome>(&context.db, Some(request)).await {
            Ok(Begin::Work(ticket)) => ticket,
            Ok(Begin::Replay(_)) | Err(IdempotencyError::InProgress) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(change) = stock_changes::find(context.db.reader(), ticket.resource_id).await? else {
            ticket.withdraw(&context.db).await?;
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
