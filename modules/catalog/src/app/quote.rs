//! Prices products that are to be bought now.

use std::collections::HashMap;

use contracts::catalog::{CatalogProduct, ProductRef, QuoteRefusal};

use crate::Context;
use crate::app::MAX_PRODUCTS_A_CALL;
use crate::error::CatalogError;
use crate::store::products;

/// One query for all, never from memory: what is sold must have the price of now.
pub(crate) async fn quote(
    context: &Context,
    wanted: &[ProductRef],
) -> Result<Result<Vec<CatalogProduct>, QuoteRefusal>, CatalogError> {
    if wanted.len() > MAX_PRODUCTS_A_CALL {
        return Err(CatalogError::TooMany(MAX_PRODUCTS_A_CALL));
    }
    let mut known = HashMap::new();
    for row in products::find_all(context.db.reader(), wanted).await? {
        let product = row.shown()?.product.known_to_others();
        known.insert(ProductRef::Sku(product.sku.clone()), product.clone());
        known.insert(ProductRef::Id(product.product_id), product);
    }
    let unknown: Vec<_> = wanted.iter().filter(|reference| !known.contains_key(reference)).cloned().collect();
    if !unknown.is_empty() {
        return Ok(Err(QuoteRefusal::Unknown(unknown)));
    }
    let is_retired = |reference: &&ProductRef| known.get(reference).is_some_and(|product| !product.active);
    let retired: Vec<_> = wanted.iter().filter(is_retired).cloned().collect();
    if !retired.is_empty() {
        return Ok(Err(QuoteRefusal::Retired(retired)));
    }
    Ok(Ok(wanted.iter().filter_map(|reference| known.get(reference)).cloned().collect()))
}
