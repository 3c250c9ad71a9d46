//! Typed ids. All are UUIDv7 (RFC 9562), so they sort by creation time and spread well in a B-tree.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where ids come from. Injected, so that a test can make them predictable.
pub trait IdGenerator: Send + Sync {
    /// A fresh UUIDv7, greater than every one this generator gave before.
    fn next(&self) -> Uuid;
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid, example = "019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e")]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id as the plain UUID that databases store.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

typed_id! {
    /// A person with an account.
    UserId,
    /// One login of one user on one device; ends by logout.
    SessionId,
    /// A key by which a machine acts as its owner; ends by revocation or expiry.
    ApiKeyId,
    /// A postal address in a user's address book.
    AddressId,
    /// A product of the catalogue.
    ProductId,
    /// A cart, until it becomes an order.
    CartId,
    /// An order.
    OrderId,
    /// Stock held for one round of an order; a reactivated order takes a new one.
    ReservationId,
    /// A payment of an order.
    PaymentId,
    /// A refund of a payment.
    RefundId,
    /// A message to a user.
    NotificationId,
    /// An endpoint of a third party that receives events.
    WebhookId,
    /// One event; consumers remember it to handle it once.
    EventId,
}
