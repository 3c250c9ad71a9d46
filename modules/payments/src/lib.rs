//! What was paid for an order: authorizations, captures, voids and refunds, and the ledger that proves them.
//!
//! Money never moves twice. What keeps it so, in the schema and in conditional updates, never in locks of the program:
//!
//! - `0 <= refunded <= captured <= authorized <= due`, refunds under way included;
//! - an order has at most one live payment, a payment at most one charge, and a hold ends once;
//! - every call to a provider is written down first, with the key it is made under, and a repeated call has the same
//!   key; the provider does nothing twice under one key;
//! - an attempt ends once: its result, the ledger's rows, the event and the client's stored answer are one transaction;
//! - every movement is a debit and a credit of one transaction, and the payment's amounts follow from the ledger.
//!
//! A power failure may strike between any two steps. Each step leaves a row behind that says what was meant, and the
//! worker `payments.recover` brings it to an end: a payment that the provider never saw is given up and fenced off, so
//! that a late call cannot charge; captures, voids and refunds are carried out.
//!
//! A fully refunded payment is not live: an order that is taken up again after its money went back can be paid anew.
//!
//! Rejected: one row per order with a status and no attempts, as it cannot say what a lost answer was about; calling
//! the provider inside the transaction, as it holds the database for as long as the provider likes.

mod app;
mod book;
mod doctor;
pub mod domain;
mod error;
mod http;
pub mod provider;
mod store;

pub use book::book;
pub use doctor::examiner;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::orders::OrdersPort;
use platform::bus::EventHandler;
use platform::csv::Transfer;
use platform::db::Db;
use platform::lease::LOOK_EVERY_MS;
use platform::module::{AnyError, Check, Module, Worker};
use platform::problem::ErrorCode;
use platform::routes::Routes;
use serde::{Deserialize, Deserializer, Serialize};

use crate::provider::PaymentProvider;

/// The webhook secret of a shop that has set none. Good for trying things out, and for nothing else.
pub const DEVELOPMENT_WEBHOOK_SECRET: &str = "whsec_souk-development-secret";

/// The codes of this module's errors.
pub const ERROR_CODES: &[ErrorCode] = error::CODES;

/// Settings of this module.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Who moves the money: `sandbox`.
    #[serde(deserialize_with = "known_provider")]
    pub provider: String,
    /// How long one call to the provider may take, milliseconds.
    pub provider_timeout_ms: u64,
    /// The pause between two runs of the worker that finishes what was left behind, milliseconds.
    pub recover_every_ms: u64,
    /// What the provider signs its webhooks with: `whsec_` and base64. Secret.
    pub webhook_secret: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            provider: provider::SANDBOX.to_owned(),
            provider_timeout_ms: 5_000,
            recover_every_ms: LOOK_EVERY_MS,
            webhook_secret: DEVELOPMENT_WEBHOOK_SECRET.to_owned(),
        }
    }
}

// By hand, because the secret must not come into logs.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("provider", &self.provider)
            .field("provider_timeout_ms", &self.provider_timeout_ms)
            .field("recover_every_ms", &self.recover_every_ms)
            .field("webhook_secret", &"********")
            .finish()
    }
}

/// A provider that does not exist is refused where settings are read, with the others' mistakes.
fn known_provider<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name == provider::SANDBOX {
        Ok(name)
    } else {
        Err(serde::de::Error::custom(format!(
            "there is no payment provider `{name}`; there is `{}`",
            provider::SANDBOX
        )))
    }
}

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
    pub orders: Arc<dyn OrdersPort>,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    settings: Settings,
    orders: Arc<dyn OrdersPort>,
    provider: Arc<dyn PaymentProvider>,
}

impl Context {
    /// How long one call to the provider may take.
    fn provider_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.provider_timeout_ms)
    }
}

/// The module.
#[derive(Clone)]
pub struct Payments {
    context: Arc<Context>,
}

impl Payments {
    /// Puts the module together, with the provider that the settings name.
    pub fn new(deps: Deps) -> Self {
        let provider = provider::of_settings(&deps.db);
        Self::with_provider(deps, provider)
    }

    /// The same with a provider of the caller's.
    pub fn with_provider(deps: Deps, provider: Arc<dyn PaymentProvider>) -> Self {
        Self {
            context: Arc::new(Context {
                db: deps.db,
                settings: deps.settings,
                orders: deps.orders,
                provider,
            }),
        }
    }
}

#[async_trait]
impl Module for Payments {
    fn name(&self) -> &'static str {
        "payments"
    }

    fn db(&self) -> &Db {
        &self.context.db
    }

    fn routes(&self, routes: &mut Routes<'_, '_>) {
        http::routes(routes, &self.context);
    }

    fn error_codes(&self) -> &'static [ErrorCode] {
        ERROR_CODES
    }

    fn handlers(&self) -> Vec<Arc<dyn EventHandler>> {
        vec![Arc::new(app::on_order_status_changed::OnOrderStatusChanged { context: self.context.clone() })]
    }

    fn workers(&self) -> Vec<Worker> {
        let context = self.context.clone();
        let every = Duration::from_millis(self.context.settings.recover_every_ms);
        vec![Worker::taking_over("payments.recover", every, move || {
            let context = context.clone();
            async move { app::recover::recover(&context).await.map_err(AnyError::from) }
        })]
    }

    fn transfers(&self) -> Vec<Arc<dyn Transfer>> {
        Vec::new()
    }

    async fn doctor(&self) -> Result<Vec<Check>, AnyError> {
        doctor::checks(&self.context.db, self.context.provider.as_ref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_hide_the_secret_and_know_their_providers() {
        assert!(!format!("{:?}", Settings::default()).contains("development-secret"));
        let read = |text: &str| serde_json::from_str::<Settings>(text);
        assert_eq!(read("{}").unwrap(), Settings::default());
        assert!(
            read(r#"{"provider":"strip"}"#).unwrap_err().to_string().contains("no payment provider `strip`")
        );
        assert!(read(r#"{"unknown":1}"#).is_err());
    }
}
