//! Changes some fields of a product and leaves the others.

use contracts::audit::By;
use contracts::catalog::ProductRef;
use kernel::{Currency, Money};
use serde_json::{Map, Value};

use crate::Context;
use crate::app::edit::edit;
use crate::domain::product::Draft;
use crate::error::CatalogError;
use crate::product::{Contents, Versioned};
use crate::store::products::Row;

/// The fields that are to change. Attributes are replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) sku: Option<String>,
    pub(crate) name: Option<String>,
    /// `Some(None)` takes the description away.
    pub(crate) description: Option<Option<String>>,
    pub(crate) category: Option<String>,
    pub(crate) price: Option<Money>,
    pub(crate) active: Option<bool>,
    pub(crate) attributes: Option<Map<String, Value>>,
    /// `Some(None)` takes the image away.
    pub(crate) image_url: Option<Option<String>>,
}

impl Changes {
    /// The whole that they make with what there is.
    pub(crate) fn over(self, row: &Row, shop: Currency) -> Result<Contents, CatalogError> {
        let now = row.draft()?;
        let draft = Draft {
            sku: self.sku.unwrap_or(now.sku),
            name: self.name.unwrap_or(now.name),
            description: self.description.unwrap_or(now.description),
            category: self.category.unwrap_or(now.category),
            price: self.price.unwrap_or(now.price),
            active: self.active.unwrap_or(now.active),
            image_url: self.image_url.unwrap_or(now.image_url),
        };
        let attributes = self.attributes.unwrap_or_else(|| row.attributes());
        Contents::parse(draft, attributes, shop).map_err(CatalogError::Refused)
    }
}

pub(crate) async fn change(
    context: &Context,
    reference: &ProductRef,
    expected_version: Option<i64>,
    by: By,
    changes: Changes,
) -> Result<Versioned, CatalogError> {
    let shop = context.settings.currency;
    edit(context, reference, expected_version, by, |row, now| Ok(row.changed(&changes.over(row, shop)?, now)))
        .await
}
