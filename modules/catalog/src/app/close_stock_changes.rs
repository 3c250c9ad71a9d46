//! Closes the keys of stock changes whose outcome nobody came back for.

use std::time::Duration;

use kernel::Timestamp;
use platform::idempotency::{self, Begin, IdempotencyError, KeyedRequest};

use crate::Context;
use crate::app::adjust_stock::{Outcome, ROUTE_PREFIX};
use crate::error::CatalogError;

/// Clients have this long to ask again and be answered for certain.
const GIVE_UP_AFTER: Duration = Duration::from_secs(240);
/// The most keys of one run.
const BATCH: u64 = 100;

/// The change itself is not in the key, so it cannot be tried here; and forgetting the key would let a late retry do it
/// twice. So the key says from now on that the outcome is unknown, and a person looks at the ledger.
pub(crate) async fn close_stock_changes(context: &Context) -> Result<(), CatalogError> {
    let db = &context.db;
    for row in idempotency::stale(db, ROUTE_PREFIX, BATCH).await? {
        if db.system().now().since(Timestamp::from_ms(row.created_at_ms)) < GIVE_UP_AFTER {
            continue;
        }
        let request = KeyedRequest {
            principal: row.principal,
            route: row.route,
            key: row.idempotency_key,
            request_hash: row.request_hash,
        };
        // Taking the ticket over is what keeps a retry and this worker apart.
        match idempotency::begin::<Outcome>(db, Some(request)).await {
            Ok(Begin::Work(ticket)) => {
                let tx = db.begin().await?;
                ticket.complete(&tx, &Outcome::Unknown).await?;
                tx.commit().await?;
                tracing::warn!(movement.id = %ticket.resource_id, "closed a stock change of unknown outcome");
            }
            Ok(Begin::Replay(_)) | Err(IdempotencyError::InProgress) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
