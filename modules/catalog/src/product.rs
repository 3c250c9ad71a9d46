//! A product in the form in which it leaves this module, and the free attributes that come in with it.

use std::sync::OnceLock;

use bytes::Bytes;
use contracts::catalog::{CatalogProduct, ProductRef};
use kernel::{Currency, Cursor, Money, ProductId, Sku, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::product::{Details, Draft, MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES, Refusal, Rule, as_id};

/// A product of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) sku: Sku,
    /// The readable part of the product's address; it stays when the product is renamed.
    #[schema(example = "blue-mug")]
    pub(crate) slug: String,
    #[schema(example = "Blue mug")]
    pub(crate) name: String,
    #[schema(required = true, example = "Stoneware, 0.3 l")]
    pub(crate) description: Option<String>,
    #[schema(example = "Kitchen")]
    pub(crate) category: String,
    pub(crate) price: Money,
    /// False once it is retired: it can be read but not bought.
    pub(crate) active: bool,
    /// Whatever else the shopkeeper wants to say.
    #[schema(value_type = Object, example = json!({"colour": "blue"}))]
    pub(crate) attributes: Map<String, Value>,
    #[schema(required = true, example = "https://shop.example/mug.png")]
    pub(crate) image_url: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A product as of one version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Versioned {
    pub(crate) version: i64,
    pub(crate) product: Product,
    /// The product as it is sent, once somebody has asked for it.
    #[serde(skip)]
    json: OnceLock<Bytes>,
}

impl PartialEq for Versioned {
    fn eq(&self, other: &Self) -> bool {
        (self.version, &self.product) == (other.version, &other.product)
    }
}

impl Eq for Versioned {}

impl Versioned {
    pub(crate) fn new(version: i64, product: Product) -> Self {
        Self { version, product, json: OnceLock::new() }
    }

    /// The product as JSON; written once for all who read it from memory.
    pub(crate) fn json(&self) -> Result<Bytes, serde_json::Error> {
        if let Some(json) = self.json.get() {
            return Ok(json.clone());
        }
        let json = Bytes::from(serde_json::to_vec(&self.product)?);
        Ok(self.json.get_or_init(|| json).clone())
    }
}

/// A [`Product`] of a list, as it is sent: the same fields, borrowed from its row.
#[derive(Debug, Serialize)]
pub(crate) struct Listed<'r> {
    pub(crate) id: Uuid,
    pub(crate) sku: &'r str,
    pub(crate) slug: &'r str,
    pub(crate) name: &'r str,
    pub(crate) description: Option<&'r str>,
    pub(crate) category: &'r str,
    pub(crate) price: Money,
    pub(crate) active: bool,
    pub(crate) attributes: Value,
    pub(crate) image_url: Option<&'r str>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A page of products.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductPage<'r> {
    /// The products, in the order of the list.
    #[schema(value_type = Vec<Product>)]
    pub(crate) items: Vec<Listed<'r>>,
    /// Pass it as `?cursor=` for the next page; null on the last one.
    #[schema(value_type = Option<String>, required = true)]
    pub(crate) next_cursor: Option<Cursor>,
    /// Only if `page` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pagination: Option<Pagination>,
}

/// Where a numbered page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Pagination {
    /// Counted from 1.
    #[schema(example = 2)]
    pub(crate) page: u64,
    #[schema(example = 20)]
    pub(crate) limit: u64,
    /// Products in all.
    #[schema(example = 3126)]
    pub(crate) total: u64,
    /// Pages in all.
    #[schema(example = 157)]
    pub(crate) pages: u64,
}

/// The categories of what is on sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CategoryList {
    /// In the order of their names, at most 1,000.
    pub(crate) categories: Vec<Category>,
}

/// A category of what is on sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Category {
    #[schema(example = "Kitchen")]
    pub(crate) name: String,
    /// How many products of it are on sale.
    #[schema(example = 12)]
    pub(crate) products: i64,
}

impl Product {
    /// What other modules learn of it.
    pub(crate) fn known_to_others(&self) -> CatalogProduct {
        CatalogProduct {
            product_id: self.id,
            sku: self.sku.clone(),
            name: self.name.clone(),
            unit_price: self.price,
            active: self.active,
        }
    }
}

/// Free attributes within their bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Map<String, Value>);

impl Attributes {
    pub(crate) fn parse(map: Map<String, Value>) -> Result<Self, Rule> {
        let bytes = serde_json::to_string(&map).map_or(usize::MAX, |text| text.len());
        // PostgreSQL cannot store NUL in a text.
        let fits = map.len() <= MAX_ATTRIBUTES
            && bytes <= MAX_ATTRIBUTES_BYTES
            && !map.iter().any(|(key, value)| key.contains('\0') || has_nul(value));
        if fits { Ok(Self(map)) } else { Err(Rule::Attributes) }
    }

    pub(crate) fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(crate) fn as_value(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Everything that a shopkeeper decides about a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) details: Details,
    pub(crate) attributes: Attributes,
}

impl Contents {
    pub(crate) fn parse(
        draft: Draft,
        attributes: Map<String, Value>,
        shop: Currency,
    ) -> Result<Self, Vec<Refusal>> {
        let attributes = Attributes::parse(attributes).map_err(|rule| Refusal { field: "attributes", rule });
        match (Details::parse(draft, shop), attributes) {
            (Ok(details), Ok(attributes)) => Ok(Self { details, attributes }),
            (details, attributes) => {
                let mut refusals = details.err().unwrap_or_default();
                refusals.extend(attributes.err());
                Err(refusals)
            }
        }
    }
}

/// How a path names a product: by its id, or by its SKU in either case. `None` for what can be neither.
pub(crate) fn reference(text: &str) -> Option<ProductRef> {
    match as_id(text) {
        Some(id) => Some(ProductRef::Id(ProductId(id))),
        None => Sku::parse(text).ok().map(ProductRef::Sku),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attributes(value: Value) -> Result<Attributes, Rule> {
        Attributes::parse(value.as_object().unwrap().clone())
    }

    #[test]
    fn attributes_are_bounded() {
        assert!(attributes(json!({})).is_ok() && attributes(json!({"a": {"b": [1, null, "ä"]}})).is_ok());
        let many: Map<_, _> = (0..=MAX_ATTRIBUTES).map(|n| (n.to_string(), json!(n))).collect();
        let nul = "a\0";
        for bad in [
            Value::Object(many),
            json!({"long": "x".repeat(MAX_ATTRIBUTES_BYTES)}),
            json!({"deep": [{"text": nul}]}),
            json!({nul: 1}),
            json!({"deep": {nul: 1}}),
        ] {
            assert_eq!(attributes(bad), Err(Rule::Attributes));
        }
    }

    #[test]
    fn a_path_names_an_id_or_a_sku() {
        assert!(matches!(reference("019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e"), Some(ProductRef::Id(_))));
        assert!(matches!(reference("mug-1"), Some(ProductRef::Sku(_))));
        assert_eq!(reference("a/b"), None);
    }
}
