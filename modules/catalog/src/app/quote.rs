//! Prices products that are to be bought now.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::catalog::{CatalogProduct, ProductRef, QuoteRefusal};

use crate::Context;
use crate::app::MAX_PRODUCTS_A_CALL;
use crate::error::CatalogError;
use crate::product::Versioned;
use crate::store::products;

/// Never from memory: what is sold must have the price of now.
pub(crate) async fn quote(
    context: &Context,
    wanted: &[ProductRef],
) -> Result<Result<Vec<CatalogProduct>, QuoteRefusal>, CatalogError> {
    if wanted.len() > MAX_PRODUCTS_A_CALL {
        return Err(CatalogError::TooMany(MAX_PRODUCTS_A_CALL));
    }
    let mut known = HashMap::new();
    for shown in read(context, wanted).await? {
        let product = shown.product.known_to_others();
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

/// One product comes together with those that others want at this moment, several with one query of their own.
async fn read(context: &Context, wanted: &[ProductRef]) -> Result<Vec<Arc<Versioned>>, CatalogError> {
    match wanted {
        [one] => Ok(context.products.get(one.clone()).await?.transpose()?.into_iter().collect()),
        several => {
            let shown = products::shown(context.db.reader(), several.to_vec()).await?;
            Ok(shown.into_values().collect::<Result<_, _>>()?)
        }
    }
}
