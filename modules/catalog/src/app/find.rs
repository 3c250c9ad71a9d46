//! The products behind some SKUs, to be shown.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::catalog::{CatalogProduct, ProductRef};
use kernel::Sku;

use crate::Context;
use crate::app::MAX_PRODUCTS_A_CALL;
use crate::error::CatalogError;
use crate::store::products;

/// What is not in memory comes with one query. In the order asked for; unknown SKUs are left out.
pub(crate) async fn find(context: &Context, skus: &[Sku]) -> Result<Vec<CatalogProduct>, CatalogError> {
    if skus.len() > MAX_PRODUCTS_A_CALL {
        return Err(CatalogError::TooMany(MAX_PRODUCTS_A_CALL));
    }
    let mut known = HashMap::new();
    let mut missing = Vec::new();
    for sku in skus {
        let reference = ProductRef::Sku(sku.clone());
        match context.cache.known_product(&reference).await {
            Some(shown) => {
                known.insert(sku.clone(), shown);
            }
            None => missing.push(reference),
        }
    }
    let mark = context.cache.mark();
    for row in products::find_all(context.db.reader(), &missing).await? {
        let shown = Arc::new(row.shown()?);
        context.cache.keep_product(mark, &shown).await;
        known.insert(shown.product.sku.clone(), shown);
    }
    Ok(skus.iter().filter_map(|sku| known.get(sku)).map(|shown| shown.product.known_to_others()).collect())
}
