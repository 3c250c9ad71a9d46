//! Writes a product anew.

use contracts::audit::By;
use contracts::catalog::ProductRef;

use crate::Context;
use crate::app::edit::edit;
use crate::error::CatalogError;
use crate::product::{Contents, Versioned};

pub(crate) async fn replace(
    context: &Context,
    reference: &ProductRef,
    expected_version: Option<i64>,
    by: By,
    contents: &Contents,
) -> Result<Versioned, CatalogError> {
    edit(context, reference, expected_version, by, |row, now| Ok(row.changed(contents, now))).await
}
