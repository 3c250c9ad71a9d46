//! Why a use case refuses, and what the client hears: one row a cause.

use contracts::inventory::{AdjustRefusal, ReleaseRefusal, Shortage};
use kernel::Sku;
use platform::idempotency::IdempotencyError;
use platform::problem::{ErrorCode, Problem};
use sea_orm::DbErr;
use thiserror::Error;

pub(crate) const INSUFFICIENT_STOCK: ErrorCode =
    ErrorCode::new("insufficient_stock", 409, "There is not enough stock");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] = &[INSUFFICIENT_STOCK, platform::csv::CSV_MALFORMED];

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum InventoryError {
    #[error("there is no stock of {0}")]
    NotFound(Sku),
    /// Falls short for a reservation.
    #[error("not enough stock for a reservation")]
    Insufficient(Vec<Shortage>),
    /// The reservation was released before.
    #[error("this reservation was released")]
    Released,
    #[error(transparent)]
    Release(#[from] ReleaseRefusal),
    #[error(transparent)]
    Adjust(#[from] AdjustRefusal),
    /// The client's `If-Match` names another version.
    #[error("the stock has changed since it was read")]
    Changed { version: i64 },
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("database error")]
    Database(#[from] DbErr),
}

impl From<InventoryError> for Problem {
    fn from(error: InventoryError) -> Self {
        match error {
            InventoryError::NotFound(sku) => Problem::new(
                platform::problem::codes::NOT_FOUND,
                format!("There is no stock record of {sku}."),
            ),
            InventoryError::Adjust(refusal) => match refusal {
                AdjustRefusal::Insufficient { ref sku, available } => Problem::new(
                    INSUFFICIENT_STOCK,
                    format!("Orders hold the rest of {sku}: at most {available} can be taken away."),
                ),
                AdjustRefusal::InvalidChange => Problem::invalid("/change", refusal.to_string()),
                AdjustRefusal::InvalidReason => Problem::invalid("/reason", refusal.to_string()),
            },
            InventoryError::Changed { version } => {
                platform::http::Conditional::changed(&platform::http::ETag::of(version))
            }
            InventoryError::Idempotency(error) => error.into(),
            InventoryError::Database(error) => error.into(),
            // Only the port reserves and releases; it maps these itself.
            InventoryError::Insufficient(_) | InventoryError::Released | InventoryError::Release(_) => {
                Problem::internal(&error)
            }
        }
    }
}
