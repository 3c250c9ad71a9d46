//! What came of a keyed request, as it is stored with its key and given again to whoever repeats it.

use contracts::payments::PaymentFacts;
use kernel::{Money, OrderId, PaymentId, Timestamp, UserId};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::status::Status;
use crate::store::payments;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PaymentState)]
pub(crate) enum StatusName {
    /// The provider has been asked and has not answered yet.
    Pending,
    /// The money is held, not taken.
    Authorized,
    /// The money was taken, all of it or part.
    Captured,
    /// Part of what was taken was given back.
    PartiallyRefunded,
    /// All that was taken was given back.
    Refunded,
    /// The hold was lifted; nothing was taken.
    Voided,
    /// Declined or given up; nothing was held.
    Failed,
}

impl From<Status> for StatusName {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Authorized => Self::Authorized,
            Status::Captured => Self::Captured,
            Status::PartiallyRefunded => Self::PartiallyRefunded,
            Status::Refunded => Self::Refunded,
            Status::Voided => Self::Voided,
            Status::Failed => Self::Failed,
        }
    }
}

impl From<StatusName> for Status {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Pending => Self::Pending,
            StatusName::Authorized => Self::Authorized,
            StatusName::Captured => Self::Captured,
            StatusName::PartiallyRefunded => Self::PartiallyRefunded,
            StatusName::Refunded => Self::Refunded,
            StatusName::Voided => Self::Voided,
            StatusName::Failed => Self::Failed,
        }
    }
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Payment)]
pub(crate) struct PaymentBody {
    pub(crate) id: PaymentId,
    pub(crate) order_id: OrderId,
    pub(crate) status: StatusName,
    /// What was due.
    pub(crate) amount: Money,
    /// What was taken.
    pub(crate) captured: Money,
    /// What of it was given back.
    pub(crate) refunded: Money,
    /// Who moves the money.
    #[schema(example = "sandbox")]
    pub(crate) provider: String,
    pub(crate) created_at: Timestamp,
}

impl TryFrom<&payments::Model> for PaymentBody {
    type Error = DbErr;

    fn try_from(row: &payments::Model) -> Result<Self, DbErr> {
        Ok(Self {
            id: PaymentId(row.id),
            order_id: OrderId(row.order_id),
            status: row.balance()?.status.into(),
            amount: row.money(row.amount_minor)?,
            captured: row.money(row.captured_minor)?,
            refunded: row.money(row.refunded_minor)?,
            provider: row.provider.clone(),
            created_at: Timestamp::from_ms(row.created_at_ms),
        })
    }
}

/// What the events of a payment carry.
pub(crate) fn facts(row: &payments::Model) -> Result<PaymentFacts, DbErr> {
    Ok(PaymentFacts {
        payment_id: PaymentId(row.id),
        order_id: OrderId(row.order_id),
        user_id: UserId(row.user_id),
        amount: row.money(row.amount_minor)?,
        captured: row.money(row.captured_minor)?,
        refunded: row.money(row.refunded_minor)?,
    })
}

/// The final word of a keyed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The money moved; the payment as it was then.
    Done(PaymentBody),
    /// The provider declined the card.
    Declined { payment_id: PaymentId, decline_code: String },
    /// The payment was interrupted before the provider saw it, and was given up.
    GivenUp { payment_id: PaymentId },
    /// The provider refused a capture, void or refund.
    Refused { payment_id: PaymentId, code: String },
}
