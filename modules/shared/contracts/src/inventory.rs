//! What other modules know of `inventory`: how much there is, and how to hold some of it for an order.

use async_trait::async_trait;
use kernel::{OrderId, Quantity, ReservationId, Sku, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::By;
use crate::event::Event;
use crate::port::{NoRefusal, PortError};

/// So much of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLine {
    pub sku: Sku,
    pub quantity: Quantity,
}

/// A request to hold stock for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveStock {
    /// Makes the call idempotent. The first round of an order uses the order's own id.
    pub reservation_id: ReservationId,
    pub order_id: OrderId,
    /// One line a SKU; the same SKU twice is summed.
    pub lines: Vec<StockLine>,
}

/// What was asked for and what there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Shortage {
    pub sku: Sku,
    #[schema(example = 3)]
    pub requested: i64,
    #[schema(example = 1)]
    pub available: i64,
}

/// Why stock is not held.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ReserveRefusal {
    /// Nothing was held; every SKU that falls short is listed, in SKU order.
    #[error("not enough stock of {}", .0.iter().map(|s| s.sku.to_string()).collect::<Vec<_>>().join(", "))]
    Insufficient(Vec<Shortage>),
    /// The reservation was released before; its id holds nothing ever again.
    #[error("this reservation was released")]
    Released,
}

/// Why stock is not released.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ReleaseRefusal {
    /// The goods have left.
    #[error("this reservation has been shipped")]
    Shipped,
}

/// The stock of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockLevel {
    pub sku: Sku,
    /// Pieces in the house.
    #[schema(example = 40)]
    pub on_hand: i64,
    /// Pieces of those that orders hold.
    #[schema(example = 3)]
    pub reserved: i64,
    /// `on_hand - reserved`: what can still be bought.
    #[schema(example = 37)]
    pub available: i64,
    /// At or under this many available pieces the SKU counts as low.
    #[schema(example = 5)]
    pub low_stock_threshold: i64,
    pub updated_at: Timestamp,
}

/// A change of the stock by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustStock {
    /// Makes the call idempotent: a second one with the same id changes nothing.
    pub movement_id: Uuid,
    pub sku: Sku,
    /// Pieces that came (positive) or went (negative); not zero.
    pub change: i64,
    /// Why, 1 to 200 characters.
    pub reason: String,
    /// Who changes it.
    #[serde(default)]
    pub by: By,
}

/// Why the stock is not changed.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum AdjustRefusal {
    /// It would go under what orders hold.
    #[error("only {available} of {sku} can be taken away")]
    Insufficient { sku: Sku, available: i64 },
    /// The change is zero, or the total would leave the range 0 to 1,000,000,000.
    #[error("a change is not zero and keeps the stock between 0 and 1,000,000,000")]
    InvalidChange,
    /// The reason is empty or too long.
    #[error("a reason is 1 to 200 characters without control characters")]
    InvalidReason,
}

/// The first stock of a SKU that inventory does not know yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningStock {
    pub sku: Sku,
    /// 0 to 1,000,000,000.
    pub on_hand: i64,
}

/// The port of `inventory`. Every call is idempotent and may be retried.
#[async_trait]
pub trait InventoryPort: Send + Sync {
    /// Holds stock for an order: all lines or none; idempotent by reservation id.
    async fn reserve(&self, request: ReserveStock) -> Result<(), PortError<ReserveRefusal>>;

    /// Gives the stock of a reservation back and burns its id, also when nothing was ever held under it: a slow
    /// `reserve` that arrives later is refused.
    async fn release(
        &self,
        reservation_id: ReservationId,
        order_id: OrderId,
    ) -> Result<(), PortError<ReleaseRefusal>>;

    /// The stock of some SKUs (at most 100); unknown SKUs are left out.
    async fn levels(&self, skus: &[Sku]) -> Result<Vec<StockLevel>, PortError<NoRefusal>>;

    /// Writes a movement.
    async fn adjust(&self, request: AdjustStock) -> Result<StockLevel, PortError<AdjustRefusal>>;

    /// Gives SKUs without a stock record their first one (at most 1,000 a call); known SKUs are left as they are.
    /// Returns how many were new.
    async fn open(&self, lines: Vec<OpeningStock>) -> Result<u64, PortError<NoRefusal>>;
}

/// The available stock of a SKU fell to its threshold or under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRanLow {
    pub stock_id: Uuid,
    pub sku: Sku,
    pub available: i64,
    pub low_stock_threshold: i64,
}

impl Event for StockRanLow {
    const TYPE: &'static str = "stock.ran_low";

    fn aggregate_id(&self) -> Uuid {
        self.stock_id
    }
}

/// Somebody changed how many pieces there are, by counting or by correcting; what orders take and give back is not among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAdjusted {
    pub stock_id: Uuid,
    pub sku: Sku,
    /// Pieces that came (positive) or went (negative).
    pub change: i64,
    /// Pieces in the house from then on.
    pub on_hand: i64,
    pub reason: String,
    pub by: By,
}

impl Event for StockAdjusted {
    const TYPE: &'static str = "stock.adjusted";

    fn aggregate_id(&self) -> Uuid {
        self.stock_id
    }
}
