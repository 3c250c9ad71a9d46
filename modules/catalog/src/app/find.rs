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
    let references: Vec<_> = skus.iter().cloned().map(ProductRef::Sku).collect();
    let (remembered, reading) = context.cache.known_products(&references).await;
    let mut known = HashMap::new();
    let mut missing = Vec::new();
    for ((sku, reference), shown) in skus.iter().zip(references).zip(remembered) {
        match shown {
            Some(shown) => {
                known.insert(sku.clone(), shown);
            }
            None => missing.push(reference),
        }
    }
    let rows = products::find_all(context.db.reader(), &missing).await?;
    let read = rows.into_iter().map(|row| row.into_shown().map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    context.cache.keep_products(&reading, &read).await;
    known.extend(read.into_iter().map(|shown| (shown.product.sku.clone(), shown)));
    Ok(skus.iter().filter_map(|sku| known.get(sku)).map(|shown| shown.product.known_to_others()).collect())
}
