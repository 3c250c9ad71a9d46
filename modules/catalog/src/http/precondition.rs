//! `If-Match`, checked twice: here against the tag, and again on the locked row.

use contracts::catalog::ProductRef;
use platform::http::{Conditional, ETag};
use platform::problem::Problem;

use crate::Context;
use crate::error::CatalogError;
use crate::store::products;

/// The version that the client demands, if it does.
pub(crate) async fn expected_version(
    context: &Context,
    conditional: &Conditional,
    product: &ProductRef,
) -> Result<Option<i64>, Problem> {
    if !conditional.has_if_match() {
        return Ok(None);
    }
    let row = products::find(context.db.reader(), product).await?.ok_or(CatalogError::NotFound)?;
    conditional.check(&ETag::of(row.version))?;
    Ok(Some(row.version))
}
