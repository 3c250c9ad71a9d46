//! Changes the stock of a product, through `inventory`.
//!
//! With an `Idempotency-Key` the movement carries the id that the key stands for, and inventory writes a movement once:
//!
//! 1. the key is opened. Power fails: its lease runs out, and it is forgotten;
//! 2. what is asked for is written down. Power fails, here or later: a retry or the worker asks for the same again;
//! 3. inventory writes the movement. No answer: as after 2, and under the same id nothing is changed twice;
//! 4. the outcome is stored under the key, and what was asked for is forgotten, in one transaction.
//!
//! Who never retries leaves the rest to the worker, [`super::finish_stock_changes`].

use contracts::audit::By;
use contracts::catalog::ProductRef;
use contracts::inventory::{AdjustStock, StockLevel};
use contracts::port::PortError;
use platform::http::Answer;
use platform::idempotency::{self, Begin, KeyedRequest, Ticket, begin};
use platform::lease::LEASE;
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::error::CatalogError;
use crate::store::{products, stock_changes};

/// How the routes of the keys of stock changes begin, and of no others.
pub(crate) const ROUTE_PREFIX: &str = "PATCH /catalog/products/";
/// What a ledger says where the shopkeeper says nothing.
const NO_REASON: &str = "adjusted in the catalogue";

/// A change of the stock of a product.
pub(crate) struct StockChange {
    pub(crate) product: ProductRef,
    pub(crate) change: i64,
    pub(crate) reason: Option<String>,
    pub(crate) by: By,
}

/// What a key remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Adjusted(StockLevel),
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
    };
    let Some(row) = products::find(context.db.reader(), &wanted.product).await? else {
        ticket.withdraw(&context.db).await?;
        return Err(CatalogError::NotFound);
    };
    let asked = AdjustStock {
        movement_id: ticket.resource_id,
        sku: row.shown()?.product.sku,
        change: wanted.change,
        reason: wanted.reason.unwrap_or_else(|| NO_REASON.to_owned()),
        by: wanted.by,
    };
    if !is_keyed {
        return Ok(Answer::fresh(context.inventory.adjust(asked).await?));
    }
    let work = async {
        write_down(context, &asked).await?;
        ask(context, &ticket, asked).await
    };
    ticket.hold(&context.db, work).await.map(Answer::fresh)
}

/// Step 2, while the key is open: without it the request may come again under another id.
async fn write_down(context: &Context, asked: &AdjustStock) -> Result<(), CatalogError> {
    let now = context.db.system().now();
    let tx = context.db.begin().await?;
    idempotency::hold(tx.conn(), asked.movement_id, now.plus(LEASE)).await?;
    stock_changes::write_down(tx.conn(), asked, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Steps 3 and 4, for what is written down.
pub(super) async fn ask(
    context: &Context,
    ticket: &Ticket,
    asked: AdjustStock,
) -> Result<StockLevel, CatalogError> {
    match context.inventory.adjust(asked).await {
        Ok(level) => {
            let tx = context.db.begin().await?;
            ticket.complete(&tx, &Outcome::Adjusted(level.clone())).await?;
            stock_changes::forget(tx.conn(), ticket.resource_id).await?;
            tx.commit().await?;
            Ok(level)
        }
        Err(PortError::Refused(refusal)) => {
            // Nothing has moved. Power fails between the two: the key stands for nothing and is forgotten, too.
            stock_changes::forget(context.db.writer(), ticket.resource_id).await?;
            ticket.withdraw(&context.db).await?;
            Err(PortError::Refused(refusal).into())
        }
        Err(silence) => Err(silence.into()),
    }
}
