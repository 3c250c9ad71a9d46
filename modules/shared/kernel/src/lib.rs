//! The values that every module speaks in: money, ids, time, quantities, pages.
//!
//! Everything here is pure: no I/O, no async, no database, no HTTP. A value that exists is valid, because the only way
//! in is a `parse` (or a checked constructor) that refuses anything else.

mod address;
mod email;
mod id;
mod money;
mod page;
mod quantity;
mod sku;
mod time;

pub use address::{Address, AddressError};
pub use email::{EmailAddress, EmailError};
pub use id::{
    AddressId, ApiKeyId, CartId, EventId, IdGenerator, NotificationId, OrderId, PaymentId, ProductId,
    RefundId, ReservationId, SessionId, UserId, WebhookId,
};
pub use money::{Currency, CurrencyError, Money, MoneyError};
pub use page::{Cursor, CursorError, Limit, Page, PageError};
pub use quantity::{Quantity, QuantityError};
pub use sku::{Sku, SkuError};
pub use time::{Clock, Timestamp, TimestampError};
