//! Reads one product, from memory where it is fresh.

use std::sync::Arc;

use contracts::catalog::ProductRef;

use crate::Context;
use crate::error::CatalogError;
use crate::product::Versioned;

/// Retired products too. Unknown ones are not remembered: anyone could fill the memory with them.
pub(crate) async fn read(context: &Context, reference: &ProductRef) -> Result<Arc<Versioned>, CatalogError> {
    let read =
        async { context.products.get(reference.clone()).await?.transpose()?.ok_or(CatalogError::NotFound) };
    context.cache.product(reference, read).await
}
