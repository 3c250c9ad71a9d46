//! What other modules know of `payments`: only its events. Nobody calls it.

use kernel::{Money, OrderId, PaymentId, RefundId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::By;
use crate::event::Event;

/// The data that every payment event carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFacts {
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    /// Who pays.
    pub user_id: UserId,
    /// What was due.
    pub amount: Money,
    /// What has been taken so far.
    pub captured: Money,
    /// What of it has been given back so far.
    pub refunded: Money,
}

macro_rules! payment_events {
    ($($(#[$doc:meta])* $name:ident = $type:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            pub payment: PaymentFacts,
        }

        impl Event for $name {
            const TYPE: &'static str = $type;

            fn aggregate_id(&self) -> Uuid {
                self.payment.payment_id.uuid()
            }
        }
    )+};
}

payment_events! {
    /// The provider holds the money.
    PaymentAuthorized = "payment.authorized",
    /// The money was taken.
    PaymentCaptured = "payment.captured",
    /// The hold was lifted; nothing was taken.
    PaymentVoided = "payment.voided",
    /// The attempt came to nothing: declined or given up.
    PaymentFailed = "payment.failed",
}

/// Money was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The state after this refund.
    pub payment: PaymentFacts,
    pub refund_id: RefundId,
    /// This refund alone.
    pub amount: Money,
    pub reason: Option<String>,
}

impl Event for PaymentRefunded {
    const TYPE: &'static str = "payment.refunded";

    fn aggregate_id(&self) -> Uuid {
        self.payment.payment_id.uuid()
    }
}

/// Somebody decided that the money of a payment is to move: whether it did, other events say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyMoveRequested {
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    /// Of a refund, the refund's id.
    pub movement_id: Uuid,
    pub movement: MoneyMove,
    pub amount: Money,
    pub reason: Option<String>,
    pub by: By,
}

/// Where money is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyMove {
    /// From the card, where it is held, to the shop.
    Capture,
    /// Nowhere: the hold is lifted.
    Void,
    /// Back.
    Refund,
}

impl Event for MoneyMoveRequested {
    const TYPE: &'static str = "payment.move_requested";

    fn aggregate_id(&self) -> Uuid {
        self.payment_id.uuid()
    }
}
