//! Turns a product into its next version.

use contracts::audit::By;
use contracts::catalog::ProductRef;
use kernel::Timestamp;

use crate::Context;
use crate::app::{announce, announce_price, commit};
use crate::error::CatalogError;
use crate::product::Versioned;
use crate::store::products::{self, Row};

/// `next` sees the row as it is locked, and gives the next version, or `None` if nothing changes. Then nothing is
/// written or published either, so the same request twice acts once.
pub(crate) async fn edit(
    context: &Context,
    reference: &ProductRef,
    expected_version: Option<i64>,
    by: By,
    next: impl FnOnce(&Row, Timestamp) -> Result<Option<Row>, CatalogError> + Send,
) -> Result<Versioned, CatalogError> {
    let mut tx = context.db.begin().await?;
    let row = products::find_for_update(tx.conn(), reference).await?.ok_or(CatalogError::NotFound)?;
    if expected_version.is_some_and(|version| version != row.version) {
        return Err(CatalogError::Changed { version: row.version });
    }
    let Some(changed) = next(&row, tx.system().now())? else {
        return Ok(row.shown()?);
    };
    // Stock, carts and orders know the product by its SKU alone.
    if changed.sku != row.sku {
        return Err(CatalogError::SkuFixed(row.sku));
    }
    products::update(tx.conn(), &changed).await?;
    let shown = changed.shown()?;
    announce(&mut tx, &shown.product).await?;
    announce_price(&mut tx, Some(row.shown()?.product.price), &shown.product, by).await?;
    commit(context, tx).await?;
    tracing::info!(product.id = %changed.id, version = changed.version, "changed product");
    Ok(shown)
}
