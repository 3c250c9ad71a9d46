//! One use case a file: one transaction, and the events in it.

pub(crate) mod adjust_stock;
pub(crate) mod categories;
pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod edit;
pub(crate) mod find;
pub(crate) mod finish_stock_changes;
pub(crate) mod import_batch;
pub(crate) mod list;
pub(crate) mod look_at_index;
pub(crate) mod on_product_changed;
pub(crate) mod quote;
pub(crate) mod read;
pub(crate) mod replace;
pub(crate) mod retire;
pub(crate) mod transfer_products;

use contracts::audit::By;
use contracts::catalog::{PriceChanged, ProductChanged};
use kernel::Money;
use platform::db::Tx;
use sea_orm::DbErr;

use crate::Context;
use crate::product::Product;

/// The most products of one port call.
pub(crate) const MAX_PRODUCTS_A_CALL: usize = 100;

/// Publishes what a product is now.
async fn announce(tx: &mut Tx, product: &Product) -> Result<(), DbErr> {
    tx.emit(&ProductChanged { product: product.known_to_others() }).await
}

/// Publishes who gave a product its price, if it is another than before.
async fn announce_price(tx: &mut Tx, before: Option<Money>, product: &Product, by: By) -> Result<(), DbErr> {
    if before == Some(product.price) {
        return Ok(());
    }
    let (product_id, sku) = (product.id, product.sku.clone());
    tx.emit(&PriceChanged { product_id, sku, before, price: product.price, by }).await
}

/// Commits, and forgets what was read before, also if the commit failed: it may have reached the disk all the same.
///
/// Callers run to their end even if the client goes away, so nobody stops between the two steps.
async fn commit(context: &Context, tx: Tx) -> Result<(), DbErr> {
    let outcome = tx.commit().await;
    context.cache.forget().await;
    outcome.map(|_| ())
}
