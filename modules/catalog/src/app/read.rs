//! Reads one product, from memory where it is fresh.

use std::sync::Arc;

use contracts::catalog::ProductRef;

use crate::Context;
use crate::error::CatalogError;
use crate::product::Versioned;
use crate::store::products;

/// Retired products too. Unknown ones are not remembered: anyone could fill the memory with them.
pub(crate) async fn read(context: &Context, reference: &ProductRef) -> Result<Arc<Versioned>, CatalogError> {
    let read = async {
        let row = products::find(context.db.reader(), reference).await?.ok_or(CatalogError::NotFound)?;
        Ok(Arc::new(row.shown()?))
    };
    context.cache.product(reference, read).await
}
