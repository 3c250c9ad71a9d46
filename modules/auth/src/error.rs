//! Why a use case refuses, and what the client hears: one row a cause.

use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::http::header;
use contracts::port::{NoRefusal, PortError};
use platform::problem::{ErrorCode, Problem, codes};
use rand::Rng;
use sea_orm::DbErr;
use thiserror::Error;

use crate::domain::api_key::{ApiKeyFault, MAX_KEYS};
use crate::domain::password::PasswordRefused;
use crate::hashing::HashingError;
use crate::sealing::SealingError;

pub(crate) const INVALID_CREDENTIALS: ErrorCode =
    ErrorCode::new("invalid_credentials", 401, "The login name or the password is wrong");
pub(crate) const INVALID_REFRESH_TOKEN: ErrorCode =
    ErrorCode::new("invalid_refresh_token", 401, "The refresh token is not valid or no longer valid");
pub(crate) const EMAIL_TAKEN: ErrorCode =
    ErrorCode::new("email_taken", 409, "An account with this email exists");
pub(crate) const TOO_MANY_API_KEYS: ErrorCode =
    ErrorCode::new("too_many_api_keys", 409, "There are as many API keys as there may be");
pub(crate) const USERNAME_TAKEN: ErrorCode = ErrorCode::new("username_taken", 409, "This username is taken");

pub(crate) const INVALID_MAILED_TOKEN: ErrorCode =
    ErrorCode::new("invalid_mailed_token", 400, "The mailed token is not valid or no longer valid");
pub(crate) const WRONG_PASSWORD: ErrorCode =
    ErrorCode::new("wrong_password", 403, "The current password is another one");

pub(crate) const SECOND_FACTOR_REQUIRED: ErrorCode =
    ErrorCode::new("second_factor_required", 401, "This account needs a code as well");
pub(crate) const INVALID_SECOND_FACTOR: ErrorCode =
    ErrorCode::new("invalid_second_factor", 401, "The code is not good or no longer good");
pub(crate) const INVALID_CODE: ErrorCode = ErrorCode::new("invalid_code", 400, "This is not a code of now");
pub(crate) const NO_ENROLMENT: ErrorCode =
    ErrorCode::new("no_enrolment", 409, "No second factor is being set up");
pub(crate) const SECOND_FACTOR_IN_FORCE: ErrorCode =
    ErrorCode::new("second_factor_in_force", 409, "There is a second factor");
pub(crate) const NO_SECOND_FACTOR: ErrorCode =
    ErrorCode::new("no_second_factor", 409, "There is no second factor");
pub(crate) const SECOND_FACTOR_NEEDED: ErrorCode =
    ErrorCode::new("second_factor_needed", 409, "Admins need a second factor");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] = &[
    INVALID_CREDENTIALS,
    INVALID_REFRESH_TOKEN,
    EMAIL_TAKEN,
    USERNAME_TAKEN,
    INVALID_MAILED_TOKEN,
    WRONG_PASSWORD,
    TOO_MANY_API_KEYS,
    SECOND_FACTOR_REQUIRED,
    INVALID_SECOND_FACTOR,
    INVALID_CODE,
    NO_ENROLMENT,
    SECOND_FACTOR_IN_FORCE,
    NO_SECOND_FACTOR,
    SECOND_FACTOR_NEEDED,
];

/// When to come back if a queue is full, seconds: it empties within some. Not the same for all, or a crowd that was turned away together
/// would come back together.
const BUSY_RETRY_AFTER_S: RangeInclusive<u8> = 1..=4;

fn retry_after() -> String {
    rand::thread_rng().gen_range(BUSY_RETRY_AFTER_S).to_string()
}

/// Why an account was not created.
#[derive(Debug, Error)]
pub enum AccountError {
    /// There is an account with this email address; nothing was changed.
    #[error("an account with this email exists")]
    EmailTaken,
    /// There is an account with this username; nothing was changed.
    #[error("this username is taken")]
    UsernameTaken,
    #[error("a password has 8 to 128 characters")]
    InvalidPassword,
    #[error("this password is one of the most usual ones, which attackers try first")]
    CommonPassword,
    #[error("a password must not be the email address or the username of its account")]
    PasswordIsName,
    #[error("a username is 3 to 64 characters of a-z, 0-9, dot, underscore and hyphen")]
    InvalidUsername,
    #[error("a name is 1 to 200 characters without control characters")]
    InvalidName,
    #[error("the password could not be hashed")]
    Hashing(#[from] HashingError),
    /// `users` could not be asked, so that the account may exist or not: trying again tells.
    #[error("the profile could not be stored")]
    Users(#[source] PortError<NoRefusal>),
    #[error("database error")]
    Database(#[from] DbErr),
}

/// Why the keys that sign were not changed or listed.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The other one has put in a new key; nothing was changed.
    #[error("another rotation was faster")]
    Beaten,
    /// Each of them is published and verifies; nothing was changed.
    #[error(
        "there are {0} keys whose tokens are still valid; wait until they have expired, or rotate with --now"
    )]
    TooMany(u64),
    #[error("a key could not be made: {0}")]
    Creation(String),
    #[error("database error")]
    Database(#[from] DbErr),
}

/// Why an operator could not take a second factor away; nothing was changed.
#[derive(Debug, Error)]
pub enum SecondFactorError {
    #[error("there is no user with this email or username")]
    NoSuchUser,
    #[error("this user has no second factor")]
    NoSecondFactor,
    #[error("the profile could not be read")]
    Users(#[from] PortError<NoRefusal>),
    #[error("database error")]
    Database(#[from] DbErr),
}

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum AuthError {
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Nobody of this name, another password, or an account that is switched off: the same in every respect.
    #[error("the login name or the password is wrong")]
    InvalidCredentials,
    #[error("too many failed logins")]
    Throttled { retry_after: Duration },
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    #[error("the new password cannot be one")]
    NewPassword(PasswordRefused),
    /// The caller is known; it is the password, typed once more, that is wrong.
    #[error("the current password is another one")]
    WrongPassword,
    /// Unknown, used, expired, or replaced by a later one.
    #[error("the mailed token is not valid")]
    InvalidMailedToken,
    /// The password is right, and a code of the second factor is missing.
    #[error("a code is needed as well")]
    SecondFactorRequired,
    #[error("the code of the second factor is not good")]
    InvalidSecondFactor,
    /// What was shown to put a second factor into force.
    #[error("this is not a code of now")]
    WrongCode,
    #[error("no second factor is being set up")]
    NoEnrolment,
    #[error("there is a second factor")]
    SecondFactorInForce,
    #[error("there is no second factor")]
    NoSecondFactor,
    #[error("admins need a second factor")]
    SecondFactorNeeded,
    #[error("a secret could not be sealed or opened")]
    Sealing(#[from] SealingError),
    /// Too many letters wait to be prepared.
    #[error("too many letters wait to be prepared")]
    Busy,
    /// What was asked for is no API key, and where it says so.
    #[error("{fault}")]
    ApiKey { pointer: String, fault: ApiKeyFault },
    #[error("there is no free slot for an API key")]
    TooManyApiKeys,
    /// None of the caller's, or one that was revoked before.
    #[error("there is no such API key")]
    NoApiKey,
    #[error(transparent)]
    Hashing(#[from] HashingError),
    #[error("the profile could not be read")]
    Users(#[from] PortError<NoRefusal>),
    #[error("a token could not be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
    #[error("the operating system gave no random bytes")]
    Random(#[from] rand::Error),
    #[error("the work was cut off")]
    CutOff(#[from] tokio::task::JoinError),
    #[error("database error")]
    Database(#[from] DbErr),
}

impl From<PasswordRefused> for AccountError {
    fn from(refused: PasswordRefused) -> Self {
        match refused {
            PasswordRefused::Length => AccountError::InvalidPassword,
            PasswordRefused::Common => AccountError::CommonPassword,
            PasswordRefused::Name => AccountError::PasswordIsName,
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Account(error) => error.into(),
            AuthError::InvalidCredentials => Problem::new(
                INVALID_CREDENTIALS,
                "There is no such login name, or its password is another one.",
            )
            .header(header::WWW_AUTHENTICATE, "Bearer"),
            AuthError::Throttled { retry_after } => Problem::new(
                codes::TOO_MANY_REQUESTS,
                "Too many failed logins with this name. Wait a while before you try again.",
            )
            // Rounded up: a client that waits exactly so long must get in.
            .header(header::RETRY_AFTER, retry_after.as_millis().div_ceil(1_000).max(1).to_string()),
            AuthError::InvalidRefreshToken => Problem::new(
                INVALID_REFRESH_TOKEN,
                "The refresh token is unknown, expired or spent. Log in again.",
            )
            .header(header::WWW_AUTHENTICATE, "Bearer"),
            AuthError::NewPassword(refused) => {
                Problem::invalid("/new_password", AccountError::from(refused).to_string())
            }
            AuthError::WrongPassword => Problem::new(
                WRONG_PASSWORD,
                "That is not your current password. POST /auth/password/forgot mails you a token to choose another one.",
            ),
            AuthError::InvalidMailedToken => Problem::new(
                INVALID_MAILED_TOKEN,
                "The token is unknown, used, expired or replaced by a later one. Ask for another one.",
            )
            .at("/token", "is not valid or no longer valid"),
            AuthError::SecondFactorRequired => Problem::new(
                SECOND_FACTOR_REQUIRED,
                "Log in again with `code`: what your authenticator app shows now, or a recovery code.",
            )
            .header(header::WWW_AUTHENTICATE, "Bearer"),
            AuthError::InvalidSecondFactor => Problem::new(
                INVALID_SECOND_FACTOR,
                "The code is wrong, expired or used. Wait for the next one, or use a recovery code.",
            )
            .header(header::WWW_AUTHENTICATE, "Bearer"),
            AuthError::WrongCode => Problem::new(
                INVALID_CODE,
                "That is not what the app shows now. Check the clock of the device and try the next code.",
            )
            .at("/code", "is not a code of now"),
            AuthError::NoEnrolment => {
                Problem::new(NO_ENROLMENT, "Nothing is being set up. POST /auth/totp begins it.")
            }
            AuthError::SecondFactorInForce => Problem::new(
                SECOND_FACTOR_IN_FORCE,
                "There is a second factor. DELETE /auth/totp takes it away, then set up another one.",
            ),
            AuthError::NoSecondFactor => Problem::new(NO_SECOND_FACTOR, "There is no second factor."),
            AuthError::SecondFactorNeeded => Problem::new(
                SECOND_FACTOR_NEEDED,
                "In this shop an admin needs a second factor, so it cannot be taken away.",
            ),
            AuthError::Busy => Problem::new(
                codes::UNAVAILABLE,
                "Very many letters are being written. Try again in some seconds.",
            )
            .header(header::RETRY_AFTER, retry_after()),
            AuthError::ApiKey { pointer, fault } => Problem::invalid(&pointer, fault.to_string()),
            AuthError::TooManyApiKeys => Problem::new(
                TOO_MANY_API_KEYS,
                format!("A user has at most {MAX_KEYS} API keys. Revoke one that is not needed any more."),
            ),
            AuthError::NoApiKey => Problem::not_found("API key"),
            AuthError::Hashing(error) => error.into(),
            AuthError::Users(error) => Problem::unavailable(&error),
            AuthError::Database(error) => error.into(),
            AuthError::Signing(_) | AuthError::Random(_) | AuthError::CutOff(_) | AuthError::Sealing(_) => {
                Problem::internal(&error)
            }
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::EmailTaken => Problem::new(
                EMAIL_TAKEN,
                "An account with this email exists. Log in, or use another address.",
            ),
            AccountError::UsernameTaken => {
                Problem::new(USERNAME_TAKEN, "This username is taken. Choose another one.")
            }
            AccountError::InvalidPassword | AccountError::CommonPassword | AccountError::PasswordIsName => {
                Problem::invalid("/password", error.to_string())
            }
            AccountError::InvalidUsername => Problem::invalid("/username", error.to_string()),
            AccountError::InvalidName => Problem::invalid("/name", error.to_string()),
            AccountError::Hashing(error) => error.into(),
            AccountError::Users(error) => Problem::unavailable(&error),
            AccountError::Database(error) => error.into(),
        }
    }
}

impl From<HashingError> for Problem {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Busy => {
                tracing::warn!("the queue of passwords to hash is full");
                Problem::new(
                    codes::UNAVAILABLE,
                    "Very many people are logging in. Try again in some seconds.",
                )
                .header(header::RETRY_AFTER, retry_after())
            }
            HashingError::Failed(_) => Problem::internal(&error),
        }
    }
}
