//! Why a use case refuses, and what the client hears: one row a cause.

use contracts::orders::BeginPaymentRefusal;
use kernel::{Money, PaymentId};
use platform::idempotency::IdempotencyError;
use platform::problem::{ErrorCode, Problem, codes};
use sea_orm::DbErr;
use thiserror::Error;

use crate::domain::balance::Impossible;
use crate::domain::status::Status;

pub(crate) const CARD_DECLINED: ErrorCode = ErrorCode::new("card_declined", 402, "The card was declined");
pub(crate) const PAYMENT_GIVEN_UP: ErrorCode =
    ErrorCode::new("payment_given_up", 402, "The payment was interrupted and nothing was charged");
pub(crate) const ALREADY_PAID: ErrorCode = ErrorCode::new("already_paid", 409, "This order has been paid");
pub(crate) const ORDER_NOT_PAYABLE: ErrorCode =
    ErrorCode::new("order_not_payable", 409, "This order cannot be paid now");
pub(crate) const PAYMENT_IN_PROGRESS: ErrorCode =
    ErrorCode::new("payment_in_progress", 409, "Another movement of this payment or order is under way");
pub(crate) const PAYMENT_NOT_AUTHORIZED: ErrorCode =
    ErrorCode::new("payment_not_authorized", 409, "Only an authorized payment can be captured or voided");
pub(crate) const CAPTURE_EXCEEDS_AUTHORIZED: ErrorCode =
    ErrorCode::new("capture_exceeds_authorized", 409, "More cannot be captured than was authorized");
pub(crate) const REFUND_EXCEEDS_CAPTURED: ErrorCode =
    ErrorCode::new("refund_exceeds_captured", 409, "More cannot be refunded than was captured");
pub(crate) const PROVIDER_REFUSED: ErrorCode =
    ErrorCode::new("provider_refused", 409, "The payment provider refused this");
pub(crate) const INVALID_SIGNATURE: ErrorCode =
    ErrorCode::new("invalid_signature", 401, "The signature of this webhook is not valid");
pub(crate) const PROVIDER_SILENT: ErrorCode =
    ErrorCode::new("provider_silent", 503, "The payment provider does not answer now");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] = &[
    CARD_DECLINED,
    PAYMENT_GIVEN_UP,
    ALREADY_PAID,
    ORDER_NOT_PAYABLE,
    PAYMENT_IN_PROGRESS,
    PAYMENT_NOT_AUTHORIZED,
    CAPTURE_EXCEEDS_AUTHORIZED,
    REFUND_EXCEEDS_CAPTURED,
    PROVIDER_REFUSED,
    INVALID_SIGNATURE,
    PROVIDER_SILENT,
];

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum PaymentError {
    #[error("there is no payment {0}")]
    NotFound(PaymentId),
    /// The order's own refusal.
    #[error(transparent)]
    Order(#[from] BeginPaymentRefusal),
    /// An order whose total is zero.
    #[error("there is nothing to pay")]
    NothingDue,
    #[error("another movement of this payment is under way")]
    Busy,
    #[error("a payment that is {} can be neither captured nor voided", .0.as_str())]
    NotAuthorized(Status),
    #[error("only {authorized} is authorized")]
    ExceedsAuthorized { authorized: Money },
    #[error("only {left} is left to refund")]
    ExceedsCaptured { left: Money },
    #[error("{detail}")]
    Invalid { pointer: &'static str, detail: String },
    /// Bounded tries brought no verdict; the worker goes on.
    #[error("the payment provider did not answer")]
    ProviderSilent,
    /// `orders` did not answer; what it did is unknown.
    #[error("the order could not be asked")]
    Orders(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there is no payment provider {0}")]
    UnknownProvider(String),
    #[error("the provider contradicts the books")]
    Contradiction(#[from] Impossible),
    #[error("the work was cut off")]
    CutOff(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("database error")]
    Database(#[from] DbErr),
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::NotFound(_) => Problem::not_found("payment"),
            PaymentError::Order(BeginPaymentRefusal::NotFound) => Problem::not_found("order"),
            PaymentError::Order(BeginPaymentRefusal::AlreadyPaid) => {
                Problem::new(ALREADY_PAID, "This order has been paid; GET /payments?order_id= shows by which payment.")
            }
            PaymentError::Order(BeginPaymentRefusal::InProgress) => Problem::new(
                PAYMENT_IN_PROGRESS,
                "Another payment of this order is under way. Wait for its end before you try again.",
            )
            .retry_soon(),
            PaymentError::Order(refusal @ BeginPaymentRefusal::NotPayable(_)) => {
                Problem::new(ORDER_NOT_PAYABLE, format!("Not now: {refusal}."))
            }
            PaymentError::NothingDue => Problem::new(ORDER_NOT_PAYABLE, "Nothing is due for this order."),
            PaymentError::Busy => Problem::new(
                PAYMENT_IN_PROGRESS,
                "A capture or void of this payment is under way. Wait for its end before you try again.",
            )
            .retry_soon(),
            PaymentError::NotAuthorized(status) => Problem::new(
                PAYMENT_NOT_AUTHORIZED,
                format!("This payment is {}; only an authorized one can be captured or voided.", status.as_str()),
            ),
            PaymentError::ExceedsAuthorized { authorized } => {
                Problem::new(CAPTURE_EXCEEDS_AUTHORIZED, format!("At most {authorized} can be captured."))
                    .with("authorized", authorized)
            }
            PaymentError::ExceedsCaptured { left } => {
                Problem::new(REFUND_EXCEEDS_CAPTURED, format!("At most {left} can still be refunded."))
                    .with("refundable", left)
            }
            PaymentError::Invalid { pointer, detail } => Problem::invalid(pointer, detail),
            PaymentError::ProviderSilent => Problem::new(
                PROVIDER_SILENT,
                "The payment provider did not answer in time. Ask again with the same Idempotency-Key: it tells what \
                 came of this request, and nothing is charged twice.",
            )
            .retry_soon(),
            PaymentError::Orders(cause) => Problem::unavailable(cause.as_ref()),
            PaymentError::Idempotency(error) => error.into(),
            PaymentError::Database(error) => error.into(),
            PaymentError::UnknownProvider(_) | PaymentError::Contradiction(_) | PaymentError::CutOff(_) => {
                Problem::internal(&error)
            }
        }
    }
}

/// The answer to a webhook whose signature does not hold, or that lacks one.
pub(crate) fn invalid_signature() -> Problem {
    Problem::new(
        INVALID_SIGNATURE,
        "Sign it as Standard Webhooks 1.0 says: webhook-id, webhook-timestamp (at most five minutes off) and \
         webhook-signature.",
    )
}

/// The answer to a webhook that is too large.
pub(crate) fn too_large(most_bytes: usize) -> Problem {
    Problem::new(codes::PAYLOAD_TOO_LARGE, format!("A webhook has at most {most_bytes} bytes."))
}
