//! Why a use case refuses, and what the client hears: one row a cause.

use contracts::users::CreateProfileRefusal;
use platform::http::{Conditional, ETag};
use platform::idempotency::IdempotencyError;
use platform::problem::{ErrorCode, Problem};
use sea_orm::DbErr;
use thiserror::Error;

use crate::domain::preferences::PreferencesRefusal;

const OWN_ACCESS: ErrorCode =
    ErrorCode::new("own_access", 409, "You cannot change your own role or activity");
const LAST_ADMIN: ErrorCode = ErrorCode::new("last_admin", 409, "A shop keeps at least one active admin");
const TOO_MANY_ADDRESSES: ErrorCode = ErrorCode::new("too_many_addresses", 409, "The address book is full");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] =
    &[OWN_ACCESS, LAST_ADMIN, TOO_MANY_ADDRESSES, platform::csv::CSV_MALFORMED];

/// The most addresses of one user.
pub(crate) const MAX_ADDRESSES: u64 = 50;

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum UsersError {
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error(transparent)]
    Profile(#[from] CreateProfileRefusal),
    #[error(transparent)]
    Preferences(#[from] PreferencesRefusal),
    /// The token says admin, the database does not.
    #[error("the actor is no longer an admin")]
    NoLongerAdmin,
    #[error("an admin cannot change their own access")]
    OwnAccess,
    #[error("this is the last active admin")]
    LastAdmin,
    #[error("the address book is full")]
    TooManyAddresses,
    /// The client's `If-Match` names another version.
    #[error("the profile has changed since it was read")]
    Changed { version: i64 },
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("database error")]
    Database(#[from] DbErr),
}

impl From<UsersError> for Problem {
    fn from(error: UsersError) -> Self {
        match error {
            UsersError::NotFound(what) => Problem::not_found(what),
            UsersError::Profile(refusal) => Problem::invalid("/name", refusal.to_string()),
            UsersError::Preferences(refusal) => Problem::invalid("/preferences", refusal.to_string()),
            UsersError::NoLongerAdmin => {
                Problem::new(platform::problem::codes::FORBIDDEN, "You are no longer an admin.")
            }
            UsersError::OwnAccess => Problem::new(OWN_ACCESS, "Another admin has to do that."),
            UsersError::LastAdmin => Problem::new(LAST_ADMIN, "Make someone else an admin first."),
            UsersError::TooManyAddresses => Problem::new(
                TOO_MANY_ADDRESSES,
                format!("It holds {MAX_ADDRESSES} addresses; delete one first."),
            ),
            UsersError::Changed { version } => Conditional::changed(&ETag::of(version)),
            UsersError::Idempotency(error) => error.into(),
            UsersError::Database(error) => error.into(),
        }
    }
}
