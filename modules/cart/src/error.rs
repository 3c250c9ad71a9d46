//! Why a use case refuses, and what the client hears: one row a cause.

use actix_web::http::header::HeaderName;
use contracts::orders::PlaceRefusal;
use contracts::port::{NoRefusal, PortError};
use kernel::{MoneyError, Quantity, Sku};
use platform::http::{Conditional, ETag};
use platform::idempotency::IdempotencyError;
use platform::problem::{ErrorCode, Problem};
use platform::rate_limit::LimitReached;
use sea_orm::DbErr;
use thiserror::Error;

use crate::domain::basket::TooManyLines;

pub(crate) const QUANTITY_OUT_OF_RANGE: ErrorCode =
    ErrorCode::new("quantity_out_of_range", 422, "A quantity is from 1 to 10000");
pub(crate) const TOO_MANY_LINES: ErrorCode =
    ErrorCode::new("too_many_lines", 422, "There are more than 100 lines");
pub(crate) const UNKNOWN_PRODUCT: ErrorCode =
    ErrorCode::new("unknown_product", 422, "There is no such product");
pub(crate) const RETIRED_PRODUCT: ErrorCode =
    ErrorCode::new("retired_product", 422, "This product is no longer sold");
pub(crate) const CART_EMPTY: ErrorCode = ErrorCode::new("cart_empty", 422, "There is nothing in the cart");
pub(crate) const CART_ALREADY_ORDERED: ErrorCode =
    ErrorCode::new("cart_already_ordered", 409, "This cart has already become an order");
pub(crate) const INSUFFICIENT_STOCK: ErrorCode =
    ErrorCode::new("insufficient_stock", 409, "There is not enough stock");
pub(crate) const PRICE_CHANGED: ErrorCode =
    ErrorCode::new("price_changed", 422, "The price is not what the request says");
pub(crate) const TOTAL_MISMATCH: ErrorCode =
    ErrorCode::new("total_mismatch", 422, "The total is not what the request says");
pub(crate) const PRICE_TOO_HIGH: ErrorCode =
    ErrorCode::new("price_too_high", 422, "One piece costs more than 1,000,000.00");
pub(crate) const TOTAL_TOO_LARGE: ErrorCode =
    ErrorCode::new("total_too_large", 422, "The total is too large");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] = &[
    QUANTITY_OUT_OF_RANGE,
    TOO_MANY_LINES,
    UNKNOWN_PRODUCT,
    RETIRED_PRODUCT,
    CART_EMPTY,
    CART_ALREADY_ORDERED,
    INSUFFICIENT_STOCK,
    PRICE_CHANGED,
    TOTAL_MISMATCH,
    PRICE_TOO_HIGH,
    TOTAL_TOO_LARGE,
];

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum CartError {
    #[error("{0} is no quantity of a cart line")]
    QuantityOutOfRange(i64),
    #[error("there is no product {0}")]
    UnknownProduct(Sku),
    #[error("{0} is no longer sold")]
    RetiredProduct(Sku),
    #[error(transparent)]
    TooManyLines(#[from] TooManyLines),
    /// There is nothing to check out, and this key has checked nothing out before.
    #[error("the cart is empty")]
    Empty,
    /// No guest's cart has this token, or it became part of another customer's cart.
    #[error("there is no such guest cart")]
    UnknownToken,
    /// The client's `If-Match` names another version.
    #[error("the cart has changed since it was read")]
    Changed { version: i64 },
    /// `orders` refused to place the order.
    #[error("{refusal}")]
    Place { refusal: PlaceRefusal, replayed: bool },
    /// Another module did not answer.
    #[error(transparent)]
    Unanswered(#[from] PortError<NoRefusal>),
    /// The guest's address has made too many carts.
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// Others were faster too many times in a row.
    #[error("the cart is changed by too many requests at once")]
    Busy,
    #[error("the total cannot be computed")]
    Total(#[from] MoneyError),
    /// A row holds what this program never writes.
    #[error("a stored cart cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("database error")]
    Database(#[from] DbErr),
}

impl CartError {
    /// Wraps what a stored value failed to be.
    pub(crate) fn unreadable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unreadable(cause.into())
    }
}

impl From<CartError> for Problem {
    fn from(error: CartError) -> Self {
        match error {
            CartError::QuantityOutOfRange(number) => {
                let detail = format!("A line holds 0 (none) to {} pieces, not {number}.", Quantity::MAX);
                Problem::new(QUANTITY_OUT_OF_RANGE, detail.clone()).at("/quantity", detail)
            }
            CartError::UnknownProduct(sku) => {
                Problem::new(UNKNOWN_PRODUCT, format!("There is no product {sku}."))
            }
            CartError::RetiredProduct(sku) => {
                Problem::new(RETIRED_PRODUCT, format!("{sku} is no longer sold."))
            }
            CartError::TooManyLines(cause) => Problem::new(TOO_MANY_LINES, format!("{cause}.")),
            CartError::Empty => {
                Problem::new(CART_EMPTY, "Put something in the cart first: PUT /cart/items/{sku}.")
            }
            CartError::UnknownToken => Problem::not_found("guest cart"),
            CartError::Changed { version } => Conditional::changed(&ETag::of(version)),
            CartError::Place { refusal, replayed } => {
                let problem = refused(refusal);
                if replayed {
                    problem.header(HeaderName::from_static("idempotency-replayed"), "true")
                } else {
                    problem
                }
            }
            CartError::Total(MoneyError::Overflow) => Problem::new(
                TOTAL_TOO_LARGE,
                "The lines add up to more than can be counted; take some pieces out.",
            ),
            CartError::LimitReached(reached) => reached.into(),
            CartError::Idempotency(error) => error.into(),
            CartError::Database(error) => error.into(),
            CartError::Unanswered(_) | CartError::Busy => Problem::unavailable(&error),
            CartError::Total(_) | CartError::Unreadable(_) => Problem::internal(&error),
        }
    }
}

/// What the client hears of a refusal of `orders`.
fn refused(refusal: PlaceRefusal) -> Problem {
    let detail = format!("{refusal}.");
    match refusal {
        PlaceRefusal::InsufficientStock(shortages) => {
            Problem::new(INSUFFICIENT_STOCK, detail).with("shortages", shortages)
        }
        PlaceRefusal::PriceChanged { .. } => Problem::new(PRICE_CHANGED, detail),
        PlaceRefusal::TotalMismatch { expected, actual } => Problem::new(TOTAL_MISMATCH, detail.clone())
            .at("/expected_total", detail)
            .with("expected", expected)
            .with("actual", actual),
        PlaceRefusal::UnknownProduct(_) => Problem::new(UNKNOWN_PRODUCT, detail),
        PlaceRefusal::RetiredProduct(_) => Problem::new(RETIRED_PRODUCT, detail),
        PlaceRefusal::PriceTooHigh(_) => Problem::new(PRICE_TOO_HIGH, detail),
        PlaceRefusal::TotalTooLarge => Problem::new(TOTAL_TOO_LARGE, detail),
        PlaceRefusal::CartAlreadyOrdered => Problem::new(
            CART_ALREADY_ORDERED,
            "Another request has turned this cart into an order; GET /orders lists it.",
        ),
        PlaceRefusal::KeyReused => IdempotencyError::KeyReused.into(),
        PlaceRefusal::KeyInProgress => IdempotencyError::InProgress.into(),
        // A cart has one line a SKU and 1 to 100 lines, so these two are faults of this program.
        PlaceRefusal::DuplicateSku(_) | PlaceRefusal::LineCount => Problem::internal(&refusal),
    }
}
