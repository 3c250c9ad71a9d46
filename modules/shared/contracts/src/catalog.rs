//! What other modules know of `catalog`: what a product is called and what it costs.

use async_trait::async_trait;
use kernel::{Money, ProductId, Sku};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::audit::By;
use crate::event::Event;
use crate::port::{NoRefusal, PortError};

/// How a caller names a product.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductRef {
    Sku(Sku),
    Id(ProductId),
}

impl std::fmt::Display for ProductRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProductRef::Sku(sku) => sku.fmt(f),
            ProductRef::Id(id) => id.fmt(f),
        }
    }
}

/// A product as it stands in the catalogue now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogProduct {
    pub product_id: ProductId,
    pub sku: Sku,
    pub name: String,
    pub unit_price: Money,
    /// A retired product is shown in old orders and carts but cannot be bought.
    pub active: bool,
}

/// Why products cannot be priced.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum QuoteRefusal {
    #[error("there is no product {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Unknown(Vec<ProductRef>),
    #[error("no longer sold: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Retired(Vec<ProductRef>),
}

/// The port of `catalog`. Both calls are reads and may be retried; at most 100 products a call.
#[async_trait]
pub trait CatalogPort: Send + Sync {
    /// Prices products that are to be bought now, in the order asked for. All or nothing.
    async fn quote(&self, products: &[ProductRef]) -> Result<Vec<CatalogProduct>, PortError<QuoteRefusal>>;

    /// The products behind some SKUs, retired ones too; unknown SKUs are left out.
    async fn find(&self, skus: &[Sku]) -> Result<Vec<CatalogProduct>, PortError<NoRefusal>>;
}

/// A product was created, changed or retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductChanged {
    pub product: CatalogProduct,
}

impl Event for ProductChanged {
    const TYPE: &'static str = "product.changed";

    fn aggregate_id(&self) -> Uuid {
        self.product.product_id.uuid()
    }
}

/// Somebody gave a product its first price, or another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceChanged {
    pub product_id: ProductId,
    pub sku: Sku,
    /// None: the product is new.
    pub before: Option<Money>,
    pub price: Money,
    pub by: By,
}

impl Event for PriceChanged {
    const TYPE: &'static str = "product.price_changed";

    fn aggregate_id(&self) -> Uuid {
        self.product_id.uuid()
    }
}

/// Somebody brought new products in from a file, up to some hundreds at a time; there is no [`PriceChanged`] for each of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductsImported {
    /// Stands for these products together.
    pub batch_id: Uuid,
    /// How many.
    pub created: u64,
    /// The first and the last of them, by SKU.
    pub first_sku: Sku,
    pub last_sku: Sku,
    pub by: By,
}

impl Event for ProductsImported {
    const TYPE: &'static str = "product.imported";

    fn aggregate_id(&self) -> Uuid {
        self.batch_id
    }
}
