//! Why a use case refuses, and what the client hears: one row a cause.

use actix_web::http::header::HeaderName;
use contracts::inventory::Shortage;
use contracts::orders::{OrderStatus, PlaceRefusal};
use contracts::port::PortError;
use platform::http::{Conditional, ETag};
use platform::idempotency::IdempotencyError;
use platform::problem::{ErrorCode, Problem, codes};
use sea_orm::DbErr;
use thiserror::Error;

use crate::domain::placement::Refused;
use crate::domain::transitions::TransitionRefusal;

pub(crate) const INSUFFICIENT_STOCK: ErrorCode =
    ErrorCode::new("insufficient_stock", 409, "There is not enough stock");
pub(crate) const CART_ALREADY_ORDERED: ErrorCode =
    ErrorCode::new("cart_already_ordered", 409, "This cart has already become an order");
pub(crate) const INVALID_TRANSITION: ErrorCode =
    ErrorCode::new("invalid_transition", 409, "The order cannot go from its status to that one");
pub(crate) const PAYMENT_IN_PROGRESS: ErrorCode =
    ErrorCode::new("payment_in_progress", 409, "A payment of this order is under way");
pub(crate) const REACTIVATION_IN_PROGRESS: ErrorCode =
    ErrorCode::new("reactivation_in_progress", 409, "The stock of this order is being taken again");
pub(crate) const PRICE_CHANGED: ErrorCode =
    ErrorCode::new("price_changed", 422, "The price is not what the request says");
pub(crate) const TOTAL_MISMATCH: ErrorCode =
    ErrorCode::new("total_mismatch", 422, "The total is not what the request says");
pub(crate) const TOTAL_TOO_LARGE: ErrorCode =
    ErrorCode::new("total_too_large", 422, "The total is too large");
pub(crate) const UNKNOWN_PRODUCT: ErrorCode =
    ErrorCode::new("unknown_product", 422, "There is no such product");
pub(crate) const RETIRED_PRODUCT: ErrorCode =
    ErrorCode::new("retired_product", 422, "This product is no longer sold");
pub(crate) const DUPLICATE_SKU: ErrorCode = ErrorCode::new("duplicate_sku", 422, "A SKU stands on two lines");
pub(crate) const LINE_COUNT_OUT_OF_RANGE: ErrorCode =
    ErrorCode::new("line_count_out_of_range", 422, "An order has 1 to 100 lines");
pub(crate) const QUANTITY_OUT_OF_RANGE: ErrorCode =
    ErrorCode::new("quantity_out_of_range", 422, "A quantity is from 1 to 10000");
pub(crate) const PRICE_TOO_HIGH: ErrorCode =
    ErrorCode::new("price_too_high", 422, "One piece costs more than 1,000,000.00");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] = &[
    INSUFFICIENT_STOCK,
    CART_ALREADY_ORDERED,
    INVALID_TRANSITION,
    PAYMENT_IN_PROGRESS,
    REACTIVATION_IN_PROGRESS,
    PRICE_CHANGED,
    TOTAL_MISMATCH,
    TOTAL_TOO_LARGE,
    UNKNOWN_PRODUCT,
    RETIRED_PRODUCT,
    DUPLICATE_SKU,
    LINE_COUNT_OUT_OF_RANGE,
    QUANTITY_OUT_OF_RANGE,
    PRICE_TOO_HIGH,
    platform::csv::CSV_MALFORMED,
];

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum OrdersError {
    /// There is none, or it belongs to someone else; both look the same.
    #[error("there is no such order")]
    NotFound,
    /// Not placed, and nothing is left of the attempt.
    #[error("{}", .0.refusal)]
    Refused(Refused),
    /// Not placed or not reactivated; of a placement this is the final word for its key.
    #[error("there is not enough stock")]
    Insufficient { shortages: Vec<Shortage>, replayed: bool },
    #[error(transparent)]
    Transition(#[from] TransitionRefusal),
    /// It is no longer what the client, or this use case, has read.
    #[error("the order has changed since it was read")]
    Changed { version: i64 },
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("database error")]
    Database(#[from] DbErr),
    /// Another module did not answer.
    #[error("a part of the shop does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Detached work panicked.
    #[error("the work did not end")]
    Panicked(#[from] tokio::task::JoinError),
}

impl OrdersError {
    /// A port that could not be asked.
    pub(crate) fn silent<R>(error: PortError<R>) -> Self
    where
        R: std::error::Error + Send + Sync + 'static,
    {
        Self::Unavailable(Box::new(error))
    }
}

impl From<Refused> for OrdersError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<PlaceRefusal> for OrdersError {
    fn from(refusal: PlaceRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<OrdersError> for Problem {
    fn from(error: OrdersError) -> Self {
        match error {
            OrdersError::NotFound => Problem::not_found("order"),
            OrdersError::Refused(refused) => of_placement(refused),
            OrdersError::Insufficient { shortages, replayed } => insufficient(shortages, replayed),
            OrdersError::Transition(refusal) => of_transition(refusal),
            OrdersError::Changed { version } => Conditional::changed(&ETag::of(version)),
            OrdersError::Idempotency(error) => error.into(),
            OrdersError::Database(error) => error.into(),
            OrdersError::Unavailable(ref cause) => Problem::unavailable(cause.as_ref()),
            OrdersError::Panicked(ref cause) => Problem::internal(cause),
        }
    }
}

fn of_placement(refused: Refused) -> Problem {
    let Refused { refusal, lines } = refused;
    let detail = format!("{refusal}.");
    let (code, field) = match &refusal {
        PlaceRefusal::InsufficientStock(shortages) => return insufficient(shortages.clone(), false),
        PlaceRefusal::KeyReused => return IdempotencyError::KeyReused.into(),
        PlaceRefusal::KeyInProgress => return IdempotencyError::InProgress.into(),
        PlaceRefusal::CartAlreadyOrdered => return Problem::new(CART_ALREADY_ORDERED, detail),
        PlaceRefusal::LineCount => {
            return Problem::new(LINE_COUNT_OUT_OF_RANGE, detail.clone()).at("/items", detail);
        }
        PlaceRefusal::TotalMismatch { .. } => {
            return Problem::new(TOTAL_MISMATCH, detail.clone()).at("/total", detail);
        }
        PlaceRefusal::TotalTooLarge => (TOTAL_TOO_LARGE, ""),
        PlaceRefusal::PriceChanged { .. } => (PRICE_CHANGED, "/price"),
        PlaceRefusal::UnknownProduct(_) => (UNKNOWN_PRODUCT, ""),
        PlaceRefusal::RetiredProduct(_) => (RETIRED_PRODUCT, ""),
        PlaceRefusal::DuplicateSku(_) => (DUPLICATE_SKU, ""),
        PlaceRefusal::PriceTooHigh(_) => (PRICE_TOO_HIGH, ""),
    };
    let problem = Problem::new(code, detail.clone());
    lines.iter().fold(problem, |problem, line| problem.at(format!("/items/{line}{field}"), detail.clone()))
}

fn insufficient(shortages: Vec<Shortage>, replayed: bool) -> Problem {
    let skus: Vec<&str> = shortages.iter().map(|shortage| shortage.sku.as_str()).collect();
    let problem = Problem::new(INSUFFICIENT_STOCK, format!("There is not enough of: {}.", skus.join(", ")))
        .with("shortages", &shortages);
    if replayed { problem.header(HeaderName::from_static("idempotency-replayed"), "true") } else { problem }
}

fn of_transition(refusal: TransitionRefusal) -> Problem {
    let code = match refusal {
        TransitionRefusal::AdminOnly(_) => codes::FORBIDDEN,
        TransitionRefusal::PaymentInProgress | TransitionRefusal::NotYetVoided => PAYMENT_IN_PROGRESS,
        TransitionRefusal::BeingReactivated => REACTIVATION_IN_PROGRESS,
        TransitionRefusal::Invalid { .. } | TransitionRefusal::WasPaid => INVALID_TRANSITION,
    };
    let problem = Problem::new(code, sentence(&refusal.to_string()));
    match refusal {
        TransitionRefusal::Invalid { from, to } => {
            problem.with("from", OrderStatus::as_str(from)).with("to", OrderStatus::as_str(to))
        }
        TransitionRefusal::PaymentInProgress
        | TransitionRefusal::NotYetVoided
        | TransitionRefusal::BeingReactivated => problem.retry_soon(),
        _ => problem,
    }
}

/// Begins with a capital and ends with a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}
