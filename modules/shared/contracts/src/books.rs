//! What some modules tell the doctor of their books, so that those of one can be compared with those of another.
//!
//! No module reads another's books: only the doctor does, outside of all of them, read-only and page by page. So these are no
//! ports, and nothing in the shop depends on them. Words such as a status are told as they are stored: a book that holds
//! an impossible word must be readable all the same. Rejected: to let the doctor query foreign tables by itself, as then every change of
//! a schema would have two places.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use kernel::Timestamp;
use uuid::Uuid;

/// A book that cannot be read.
pub type BookError = Box<dyn std::error::Error + Send + Sync>;

/// Pieces by SKU.
pub type Pieces = BTreeMap<String, i64>;

/// An order. Imported ones are not told: they moved neither stock nor money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEntry {
    pub id: Uuid,
    pub number: String,
    pub user_id: Option<Uuid>,
    pub cart_id: Option<Uuid>,
    pub status: String,
    pub payment_status: String,
    pub payment_id: Option<Uuid>,
    pub currency: String,
    pub total_minor: i64,
    pub refunded_minor: i64,
    /// What it holds.
    pub reservation_id: Option<Uuid>,
    /// What it is taking again just now.
    pub pending_reservation_id: Option<Uuid>,
    pub pieces: Pieces,
    pub version: i64,
    pub changed_at: Timestamp,
}

/// Stock that is or was held for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationEntry {
    pub id: Uuid,
    pub order_id: Uuid,
    /// `held`, `released` or `shipped`.
    pub state: String,
    pub pieces: Pieces,
    pub changed_at: Timestamp,
}

/// A payment. Amounts are minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentEntry {
    pub id: Uuid,
    pub order_id: Uuid,
    pub user_id: Uuid,
    pub status: String,
    pub currency: String,
    pub amount_minor: i64,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    /// Whether the provider is being asked for something just now, or the order is being told that it failed.
    pub is_moving: bool,
    pub changed_at: Timestamp,
}

/// A cart of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CartEntry {
    pub id: Uuid,
    /// `open`, `ordered` or `merged`.
    pub state: String,
    pub order_id: Option<Uuid>,
    pub changed_at: Timestamp,
}

/// The orders. Answers to several ids come in any order, without those that are unknown; a question has at most a thousand.
#[async_trait]
pub trait OrderBook: Send + Sync {
    /// The orders behind an id, by id.
    async fn page(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<OrderEntry>, BookError>;

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<OrderEntry>, BookError>;

    async fn of_carts(&self, carts: &[Uuid]) -> Result<Vec<OrderEntry>, BookError>;

    /// Those of the reservations that somebody here still speaks of: an order that holds or takes them, a placement that is open,
    /// an undoing that is not done.
    async fn spoken_of(&self, reservations: &[Uuid]) -> Result<BTreeSet<Uuid>, BookError>;
}

/// The reservations; answers as with [`OrderBook`].
#[async_trait]
pub trait StockBook: Send + Sync {
    /// The held reservations behind an id, by id.
    async fn held(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<ReservationEntry>, BookError>;

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<ReservationEntry>, BookError>;

    /// All that was ever reserved for these orders.
    async fn of_orders(&self, orders: &[Uuid]) -> Result<Vec<ReservationEntry>, BookError>;
}

/// The payments; answers as with [`OrderBook`].
#[async_trait]
pub trait PaymentBook: Send + Sync {
    /// The payments behind an id, by id.
    async fn page(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<PaymentEntry>, BookError>;

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<PaymentEntry>, BookError>;

    /// All payments of these orders.
    async fn of_orders(&self, orders: &[Uuid]) -> Result<Vec<PaymentEntry>, BookError>;

    /// Those of the ids that are wishes to pay, not yet payments.
    async fn intended(&self, ids: &[Uuid]) -> Result<BTreeSet<Uuid>, BookError>;
}

/// The carts; answers as with [`OrderBook`].
#[async_trait]
pub trait CartBook: Send + Sync {
    /// The carts behind an id that became orders, by id.
    async fn ordered(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<CartEntry>, BookError>;

    /// The open carts behind an id that somebody has tried to check out, by id.
    async fn checked_out(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<CartEntry>, BookError>;

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<CartEntry>, BookError>;
}
