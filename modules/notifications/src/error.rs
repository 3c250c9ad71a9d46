//! Why a use case refuses, and what the client hears: one row a cause.

use platform::idempotency::IdempotencyError;
use platform::problem::{ErrorCode, Problem};
use sea_orm::DbErr;
use thiserror::Error;

use crate::domain::endpoint::EndpointRefusal;

const DELIVERY_PENDING: ErrorCode =
    ErrorCode::new("delivery_pending", 409, "This delivery has not been made yet");
const WEBHOOK_CONFIGURED: ErrorCode =
    ErrorCode::new("webhook_configured", 409, "This endpoint stands in the settings of the shop");
const TOO_MANY_WEBHOOKS: ErrorCode = ErrorCode::new("too_many_webhooks", 409, "There are too many endpoints");

/// The codes of this module.
pub(crate) const CODES: &[ErrorCode] = &[DELIVERY_PENDING, WEBHOOK_CONFIGURED, TOO_MANY_WEBHOOKS];

/// The most endpoints of a shop: each event is stored once for each.
pub(crate) const MAX_WEBHOOKS: u64 = 100;

/// What can go wrong in a use case.
#[derive(Debug, Error)]
pub(crate) enum NotificationsError {
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error(transparent)]
    Endpoint(#[from] EndpointRefusal),
    #[error("this delivery has not been made yet")]
    DeliveryPending,
    #[error("this endpoint stands in the settings")]
    WebhookConfigured,
    #[error("there are too many endpoints")]
    TooManyWebhooks,
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error("database error")]
    Database(#[from] DbErr),
}

impl From<NotificationsError> for Problem {
    fn from(error: NotificationsError) -> Self {
        match error {
            NotificationsError::NotFound(what) => Problem::not_found(what),
            NotificationsError::Endpoint(refusal) => Problem::invalid(refusal.pointer(), refusal.to_string()),
            NotificationsError::DeliveryPending => Problem::new(
                DELIVERY_PENDING,
                "It is still waiting for its turn; there is nothing to replay.",
            ),
            NotificationsError::WebhookConfigured => {
                Problem::new(WEBHOOK_CONFIGURED, "Take its URL out of `notifications.webhook_urls` instead.")
            }
            NotificationsError::TooManyWebhooks => Problem::new(
                TOO_MANY_WEBHOOKS,
                format!("A shop has at most {MAX_WEBHOOKS}; delete one first."),
            ),
            NotificationsError::Idempotency(error) => error.into(),
            NotificationsError::Database(error) => error.into(),
        }
    }
}
