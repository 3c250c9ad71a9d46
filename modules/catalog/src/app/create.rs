//! Puts a new product into the catalogue.

use contracts::audit::By;
use platform::http::Answer;
use platform::idempotency::{Begin, KeyedRequest, Ticket, begin};

use crate::Context;
use crate::app::{announce, announce_price, commit};
use crate::error::CatalogError;
use crate::product::{Contents, Versioned};
use crate::store::products;

/// The product, the event and the memory of the key commit together; a crash before leaves nothing of them.
pub(crate) async fn create(
    context: &Context,
    request: Option<KeyedRequest>,
    by: By,
    contents: &Contents,
) -> Result<Answer<Versioned>, CatalogError> {
    let ticket = match begin::<Versioned>(&context.db, request).await? {
        Begin::Work(ticket) => ticket,
        Begin::Replay(shown) => return Ok(Answer::replayed(shown)),
    };
    match create_now(context, &ticket, by, contents).await {
        Ok(shown) => Ok(Answer::fresh(shown)),
        Err(error) => {
            // Nothing was written, so the key may come again. If this fails too, its lease runs out instead.
            if let Err(second) = ticket.withdraw(&context.db).await {
                tracing::warn!(error = %second, "an idempotency key stays open until its lease ends");
            }
            Err(error)
        }
    }
}

async fn create_now(
    context: &Context,
    ticket: &Ticket,
    by: By,
    contents: &Contents,
) -> Result<Versioned, CatalogError> {
    let mut tx = context.db.begin().await?;
    let now = tx.system().now();
    let row = match products::create(tx.conn(), ticket.resource_id, contents, now).await {
        Ok(row) => row,
        Err(error) => {
            tx.rollback().await?;
            return Err(error);
        }
    };
    let shown = row.shown()?;
    announce(&mut tx, &shown.product).await?;
    announce_price(&mut tx, None, &shown.product, by).await?;
    ticket.complete(&tx, &shown).await?;
    commit(context, tx).await?;
    tracing::info!(product.id = %row.id, sku = %row.sku, "created product");
    Ok(shown)
}
