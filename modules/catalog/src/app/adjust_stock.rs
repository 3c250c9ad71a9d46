//! Changes the stock of a product, through `inventory`.
//!
//! With an `Idempotency-Key` the movement carries the id that the key stands for, and inventory writes a movement once:
//!
//! 1. the key is opened. Power fails: its lease runs out, and a retry goes on with the same id;
//! 2. inventory writes the movement. No answer, or power fails: the key stays open, so a retry asks again with the
//!    same id and changes nothing twice;
//! 3. the outcome is stored under the key. Power fails: as after 2.
//!
//! Who never retries leaves the key open; `close_stock_changes` then closes it.

use contracts::catalog::ProductRef;
use contracts::inventory::{AdjustStock, StockLevel};
use contracts::port::PortError;
use kernel::UserId;
use platform::http::Answer;
use platform::idempotency::{Begin, KeyedRequest, Ticket, begin};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::error::CatalogError;
use crate::store::products;

/// How the routes of the keys of stock changes begin, and of no others.
pub(crate) const ROUTE_PREFIX: &str = "PATCH /catalog/products/";
/// What a ledger says where the shopkeeper says nothing.
const NO_REASON: &str = "adjusted in the catalogue";

/// A change of the stock of a product.
pub(crate) struct StockChange {
    pub(crate) product: ProductRef,
    pub(crate) change: i64,
    pub(crate) reason: Option<String>,
    pub(crate) actor_id: UserId,
}

/// What a key remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Adjusted(StockLevel),
    /// Nobody came back in time to learn it.
    Unknown,
}

pub(crate) async fn adjust_stock(
    context: &Context,
    request: Option<KeyedRequest>,
    wanted: StockChange,
) -> Result<Answer<StockLevel>, CatalogError> {
    let is_keyed = request.is_some();
    let ticket = match begin::<Outcome>(&context.db, request).await? {
        Begin::Work(ticket) => ticket,
        Begin::Replay(Outcome::Adjusted(level)) => return Ok(Answer::replayed(level)),
        Begin::Replay(Outcome::Unknown) => return Err(CatalogError::StockChangeUnknown),
    };
    let level = match adjust_now(context, &ticket, wanted).await {
        Ok(level) => level,
        Err(error) => {
            let moved_nothing =
                matches!(error, CatalogError::NotFound | CatalogError::Adjust(PortError::Refused(_)));
            if moved_nothing {
                ticket.withdraw(&context.db).await?;
            }
            return Err(error);
        }
    };
    if is_keyed {
        let tx = context.db.begin().await?;
        ticket.complete(&tx, &Outcome::Adjusted(level.clone())).await?;
        tx.commit().await?;
    }
    Ok(Answer::fresh(level))
}

async fn adjust_now(
    context: &Context,
    ticket: &Ticket,
    wanted: StockChange,
) -> Result<StockLevel, CatalogError> {
    let row = products::find(context.db.reader(), &wanted.product).await?.ok_or(CatalogError::NotFound)?;
    let level = context
        .inventory
        .adjust(AdjustStock {
            movement_id: ticket.resource_id,
            sku: row.shown()?.product.sku,
            change: wanted.change,
            reason: wanted.reason.unwrap_or_else(|| NO_REASON.to_owned()),
            actor_id: Some(wanted.actor_id),
        })
        .await?;
    Ok(level)
}
