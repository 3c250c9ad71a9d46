//! What other modules know of `orders`: placing one, paying one, and what happened to one.

use async_trait::async_trait;
use kernel::{
    Address, CartId, Money, OrderId, PaymentId, ProductId, Quantity, ReservationId, Sku, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::catalog::ProductRef;
use crate::event::Event;
use crate::inventory::Shortage;
use crate::port::{NoRefusal, PortError};
use crate::users::Actor;

/// The most lines of one order.
pub const MAX_LINES: usize = 100;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Placed, stock held, not paid.
    Pending,
    /// Paid, or accepted by an admin.
    Confirmed,
    /// Being packed.
    Processing,
    /// On its way; the stock has left.
    Shipped,
    /// Arrived. The end.
    Delivered,
    /// Called off; the stock is free again.
    Cancelled,
}

impl OrderStatus {
    /// Every status, in the order of an order's life.
    pub const ALL: [OrderStatus; 6] = [
        OrderStatus::Pending,
        OrderStatus::Confirmed,
        OrderStatus::Processing,
        OrderStatus::Shipped,
        OrderStatus::Delivered,
        OrderStatus::Cancelled,
    ];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Pending => "pending",
            OrderStatus::Confirmed => "confirmed",
            OrderStatus::Processing => "processing",
            OrderStatus::Shipped => "shipped",
            OrderStatus::Delivered => "delivered",
            OrderStatus::Cancelled => "cancelled",
        }
    }

    /// Reads a name; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What is known of an order's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing was paid.
    Unpaid,
    /// A payment is under way: the order can neither expire nor be paid a second time.
    InProgress,
    /// The money is held, not taken.
    Authorized,
    /// The money was taken.
    Captured,
    /// Part of the money was given back.
    PartiallyRefunded,
    /// All of the money was given back.
    Refunded,
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [PaymentStatus; 6] = [
        PaymentStatus::Unpaid,
        PaymentStatus::InProgress,
        PaymentStatus::Authorized,
        PaymentStatus::Captured,
        PaymentStatus::PartiallyRefunded,
        PaymentStatus::Refunded,
    ];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            PaymentStatus::Unpaid => "unpaid",
            PaymentStatus::InProgress => "in_progress",
            PaymentStatus::Authorized => "authorized",
            PaymentStatus::Captured => "captured",
            PaymentStatus::PartiallyRefunded => "partially_refunded",
            PaymentStatus::Refunded => "refunded",
        }
    }

    /// Reads a name; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderItem {
    pub sku: Sku,
    /// Null in imported orders whose product was never in the catalogue.
    #[schema(required = true)]
    pub product_id: Option<ProductId>,
    /// The name on the day of the order.
    #[schema(example = "Blue mug")]
    pub name: String,
    #[schema(example = 2)]
    pub quantity: i64,
    /// The price on the day of the order.
    pub unit_price: Money,
    /// `quantity * unit_price`.
    pub line_total: Money,
}

/// An order, as its owner, an admin and the other modules see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    pub id: OrderId,
    /// What people call it; unique.
    #[schema(example = "261121-7K3QF9XM2A")]
    pub number: String,
    /// Null in imported orders of customers without an account.
    #[schema(required = true)]
    pub user_id: Option<UserId>,
    pub status: OrderStatus,
    pub items: Vec<OrderItem>,
    /// The sum of the lines.
    pub total: Money,
    #[schema(required = true)]
    pub shipping_address: Option<Address>,
    pub payment_status: PaymentStatus,
    /// True for orders of the past that were imported.
    pub imported: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One line of an order that is to be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrderLine {
    pub product: ProductRef,
    pub quantity: Quantity,
    /// What the client believes one piece costs; the order is refused if the catalogue says otherwise.
    pub expected_price: Option<Money>,
}

/// The caller's idempotency key with what it covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementKey {
    /// The route that was called, such as `POST /orders`.
    pub route: String,
    /// The `Idempotency-Key` header.
    pub key: String,
    /// SHA-256 of the request, in hexadecimal: the same key with another request is refused.
    pub request_hash: String,
}

/// A request to place an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// Who buys.
    pub customer: UserId,
    pub key: PlacementKey,
    pub lines: Vec<NewOrderLine>,
    /// What the client believes the whole costs; the order is refused if it does not.
    pub expected_total: Option<Money>,
    pub shipping_address: Option<Address>,
    /// The cart this order empties; a cart becomes at most one order.
    pub cart_id: Option<CartId>,
}

/// A placed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedOrder {
    pub order: Order,
    /// True if the key had placed it before.
    pub replayed: bool,
}

/// Why an order is not placed.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum PlaceRefusal {
    /// The final word for this key: a retry with the same key gets it again.
    #[error("not enough stock of {}", .0.iter().map(|s| s.sku.to_string()).collect::<Vec<_>>().join(", "))]
    InsufficientStock(Vec<Shortage>),
    #[error("the price of {sku} is {actual}, not {expected}")]
    PriceChanged { sku: Sku, expected: Money, actual: Money },
    #[error("the total is {actual}, not {expected}")]
    TotalMismatch { expected: Money, actual: Money },
    #[error("there is no product {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    UnknownProduct(Vec<ProductRef>),
    #[error("no longer sold: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    RetiredProduct(Vec<ProductRef>),
    #[error("{0} stands on two lines; put the quantities together")]
    DuplicateSku(Sku),
    #[error("an order has 1 to 100 lines")]
    LineCount,
    #[error("{0} costs more than 1,000,000.00 a piece")]
    PriceTooHigh(Sku),
    /// The sum does not fit.
    #[error("the total is too large")]
    TotalTooLarge,
    /// Another request has turned this cart into an order.
    #[error("this cart has already been checked out")]
    CartAlreadyOrdered,
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    #[error("a request with this Idempotency-Key is still running")]
    KeyInProgress,
}

/// What is due for an order that is now being paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayableOrder {
    pub order_id: OrderId,
    pub number: String,
    pub user_id: UserId,
    pub amount: Money,
}

/// Why an order cannot be paid now.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum BeginPaymentRefusal {
    /// There is none, or it belongs to someone else.
    #[error("there is no such order")]
    NotFound,
    #[error("this order has been paid")]
    AlreadyPaid,
    /// Another payment of it is under way.
    #[error("another payment of this order is under way")]
    InProgress,
    #[error("an order that is {} cannot be paid", .0.as_str())]
    NotPayable(OrderStatus),
}

/// The port of `orders`. Every call is idempotent and may be retried.
#[async_trait]
pub trait OrdersPort: Send + Sync {
    /// Places an order; idempotent by `(customer, route, key)`.
    async fn place(&self, request: PlaceOrder) -> Result<PlacedOrder, PortError<PlaceRefusal>>;

    /// Marks an order as being paid by one payment and says what is due; idempotent by payment id. From here on the
    /// order does not expire until the payment was captured, voided or given up. A payment that was refused, voided or given
    /// up never begins again, so a call that comes late holds nothing.
    async fn begin_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
        actor: Actor,
    ) -> Result<PayableOrder, PortError<BeginPaymentRefusal>>;

    /// Ends a payment that came to nothing (declined, given up): the order is unpaid again. Nothing happens if another
    /// payment, or none, holds the order.
    async fn give_up_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
    ) -> Result<(), PortError<NoRefusal>>;
}

/// An order was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    pub order: Order,
    /// The cart it came from.
    pub cart_id: Option<CartId>,
}

impl Event for OrderCreated {
    const TYPE: &'static str = "order.created";

    fn aggregate_id(&self) -> Uuid {
        self.order.id.uuid()
    }
}

/// An order went from one status to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStatusChanged {
    pub order_id: OrderId,
    pub number: String,
    pub user_id: Option<UserId>,
    pub from: OrderStatus,
    pub to: OrderStatus,
    pub total: Money,
    /// The stock that the order held until now: released when `to` is cancelled, taken out when it is shipped.
    pub reservation_id: Option<ReservationId>,
    /// Who did it; none for the shop itself.
    pub actor_id: Option<UserId>,
    /// Why, where there is something to say: `payment_window_passed`, `payment_captured`.
    pub reason: Option<String>,
}

impl Event for OrderStatusChanged {
    const TYPE: &'static str = "order.status_changed";

    fn aggregate_id(&self) -> Uuid {
        self.order_id.uuid()
    }
}

/// Something other than the status of an order changed, such as what is known of its payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderUpdated {
    pub order: Order,
}

impl Event for OrderUpdated {
    const TYPE: &'static str = "order.updated";

    fn aggregate_id(&self) -> Uuid {
        self.order.id.uuid()
    }
}
