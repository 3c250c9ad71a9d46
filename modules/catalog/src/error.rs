//! Why a use case refuses, and what the client hears: one row a cause.

use contracts::inventory::AdjustRefusal;
use contracts::port::{NoRefusal, PortError};
use kernel::{CursorError, Sku};
use platform::idempotency::IdempotencyError;
use platform::problem::{ErrorCode, Problem, codes, from_port};
use sea_orm::DbErr;
use thiserror::Error;

use crate::domain::product::Refusal;
use crate::domain::search::SearchError;
use crate::domain::sort::SortError;

const SKU_FIXED: ErrorCode = ErrorCode::new("sku_fixed", 409, "A product keeps its SKU");
pub(crate) const SKU_TAKEN: ErrorCode = ErrorCode::new("sku_taken", 409, "Another product has this SKU");
/// The same row as inventory's: the client asked for the same thing by another path.
pub(crate) const INSUFFICIENT_STOCK: ErrorCode =
    ErrorCode::new("insufficient_stock", 409, "There is not enough stock");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] =
    &[SKU_FIXED, SKU_TAKEN, INSUFFICIENT_STOCK, platform::csv::CSV_MALFORMED];

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum CatalogError {
    #[error("there is no such product")]
    NotFound,
    #[error("another product has the SKU {0}")]
    SkuTaken(Sku),
    /// The product as sent breaks rules; at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refusal>),
    /// The client's `If-Match` names another version.
    #[error("the product has changed since it was read")]
    Changed { version: i64 },
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Sort(#[from] SortError),
    /// A filter, a page or a combination of parameters that there is not.
    #[error("{0}")]
    Query(String),
    #[error(transparent)]
    Adjust(#[from] PortError<AdjustRefusal>),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("database error")]
    Database(#[from] DbErr),
    #[error("JSON cannot be written")]
    Json(#[from] serde_json::Error),
    #[error("more than {0} products in one call")]
    TooMany(usize),
    /// Its stock lies under that SKU.
    #[error("this product keeps its SKU {0}")]
    SkuFixed(String),
    /// Every slug that this product could have is taken.
    #[error("no slug is left for {0}")]
    NoSlug(Sku),
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound => Problem::not_found("product"),
            CatalogError::SkuTaken(sku) => {
                Problem::new(SKU_TAKEN, format!("Another product has the SKU {sku}."))
            }
            CatalogError::SkuFixed(sku) => Problem::new(
                SKU_FIXED,
                format!("Its stock lies under {sku}. Retire this product and create another instead."),
            ),
            CatalogError::Refused(refusals) => invalid(&refusals),
            CatalogError::Changed { version } => {
                platform::http::Conditional::changed(&platform::http::ETag::of(version))
            }
            CatalogError::Cursor(error) => error.into(),
            CatalogError::Search(error) => invalid_query(&error),
            CatalogError::Sort(error) => invalid_query(&error),
            CatalogError::Query(ref _detail) => invalid_query(&error),
            CatalogError::Adjust(error) => from_port(error, |refusal| match refusal {
                AdjustRefusal::Insufficient { ref sku, available } => Problem::new(
                    INSUFFICIENT_STOCK,
                    format!("Orders hold the rest of {sku}: at most {available} can be taken away."),
                ),
                AdjustRefusal::InvalidChange => Problem::invalid("/change", refusal.to_string()),
                AdjustRefusal::InvalidReason => Problem::invalid("/reason", refusal.to_string()),
            }),
            CatalogError::Idempotency(error) => error.into(),
            CatalogError::Database(error) => error.into(),
            CatalogError::Json(_) | CatalogError::TooMany(_) | CatalogError::NoSlug(_) => {
                Problem::internal(&error)
            }
        }
    }
}

fn invalid_query(error: &dyn std::error::Error) -> Problem {
    Problem::new(codes::INVALID_QUERY, format!("{error}."))
}

/// Every broken rule with its pointer.
fn invalid(refusals: &[Refusal]) -> Problem {
    let detail = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    refusals.iter().fold(Problem::new(codes::INVALID_BODY, format!("{detail}.")), |problem, refusal| {
        problem.at(format!("/{}", refusal.field), refusal.rule.to_string())
    })
}

/// Inventory refuses nothing when it is only read, so a failure is always silence.
pub(crate) fn inventory_is_silent(error: PortError<NoRefusal>) -> Problem {
    from_port(error, |refusal| match refusal {})
}
