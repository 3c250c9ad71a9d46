//! Takes a product out of the shop. It stays readable: orders and carts refer to it.

use contracts::audit::By;
use contracts::catalog::ProductRef;

use crate::Context;
use crate::app::edit::edit;
use crate::error::CatalogError;

pub(crate) async fn retire(
    context: &Context,
    reference: &ProductRef,
    expected_version: Option<i64>,
    by: By,
) -> Result<(), CatalogError> {
    edit(context, reference, expected_version, by, |row, now| Ok(row.retired(now))).await.map(|_| ())
}
