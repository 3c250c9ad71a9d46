//! Tells people, and other programs, what happened in the shop.
//!
//! It reacts to events and is called by nobody, so a slow or broken mail server can never hold up an order. Invariants:
//!
//! - an event gives at most one notification and at most one delivery an endpoint, however often it arrives: both are written in the
//!   transaction of the inbox row;
//! - a notification is `sent` only after its transport took it; a crash in between sends it again under the same id, and
//!   the file transport then overwrites the same file;
//! - nobody reads another's notifications;
//! - a letter with a token goes to its reader only: no endpoint hears of it, and its text is deleted when it is sent or given up.
//!
//! Rejected: sending inside the event handler's transaction, which would hold a lock over the network and lose the
//! message or send it twice when the process dies.
//!
//! Deliveries to webhooks are recorded and can be listed and replayed; sending them is not part of this version.

mod app;
mod doctor;
mod domain;
mod error;
mod http;
mod store;
mod transport;

pub use doctor::examiner;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::users::UsersPort;
use platform::bus::EventHandler;
use platform::csv::Transfer;
use platform::db::Db;
use platform::gather::Reads;
use platform::idempotency;
use platform::lease::LOOK_EVERY;
use platform::module::{AnyError, Check, Module, Worker};
use platform::problem::ErrorCode;
use platform::routes::Routes;
use serde::{Deserialize, Serialize};

use crate::app::on_email_verification_requested::OnEmailVerificationRequested;
use crate::app::on_order_created::OnOrderCreated;
use crate::app::on_order_status_changed::OnOrderStatusChanged;
use crate::app::on_order_updated::OnOrderUpdated;
use crate::app::on_password_changed::OnPasswordChanged;
use crate::app::on_password_reset_requested::OnPasswordResetRequested;
use crate::app::on_payment_captured::OnPaymentCaptured;
use crate::app::on_payment_refunded::OnPaymentRefunded;
use crate::app::on_second_factor_removed::OnSecondFactorRemoved;
use crate::app::on_user_registered::OnUserRegistered;
use crate::transport::{FileTransport, Transport};

/// The codes of this module's errors.
pub const ERROR_CODES: &[ErrorCode] = error::CODES;

/// Settings of this module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the file transport writes mails, one `.eml` file each.
    pub outgoing_folder: PathBuf,
    /// The sender of mails.
    pub from: String,
    /// Endpoints that receive every event, beside those an admin creates.
    pub webhook_urls: Vec<String>,
    /// How often the sender looks for mails that are due, milliseconds.
    pub send_every_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            outgoing_folder: PathBuf::from("data/outgoing"),
            from: "Souk <shop@example.com>".to_owned(),
            webhook_urls: Vec::new(),
            send_every_ms: 1_000,
        }
    }
}

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
    pub users: Arc<dyn UsersPort>,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    settings: Settings,
    users: Arc<dyn UsersPort>,
    transport: Arc<dyn Transport>,
    /// All endpoints as they are now; events that come at the same time ask once.
    endpoints: Reads<(), Vec<store::webhooks::Model>>,
}

/// The module.
#[derive(Clone)]
pub struct Notifications {
    context: Arc<Context>,
}

impl Notifications {
    /// Puts the module together.
    pub fn new(deps: Deps) -> Self {
        let transport = Arc::new(FileTransport::new(deps.settings.outgoing_folder.clone()));
        let Deps { db, settings, users } = deps;
        let own = db.clone();
        let endpoints = Reads::new(db.system(), move |_all| {
            let db = own.clone();
            async move { Ok(HashMap::from([((), store::webhooks::all(db.reader()).await?)])) }
        });
        Self { context: Arc::new(Context { db, settings, users, transport, endpoints }) }
    }

    /// Makes an endpoint of each URL in the settings, and removes those that are no longer there.
    pub async fn sync_configured_webhooks(&self) -> Result<(), AnyError> {
        Ok(app::sync_configured_webhooks::sync_configured_webhooks(&self.context).await?)
    }
}

#[async_trait]
impl Module for Notifications {
    fn name(&self) -> &'static str {
        "notifications"
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
        let context = &self.context;
        vec![
            Arc::new(OnEmailVerificationRequested { context: context.clone() }),
            Arc::new(OnPasswordChanged { context: context.clone() }),
            Arc::new(OnPasswordResetRequested { context: context.clone() }),
            Arc::new(OnOrderCreated { context: context.clone() }),
            Arc::new(OnOrderStatusChanged { context: context.clone() }),
            Arc::new(OnOrderUpdated { context: context.clone() }),
            Arc::new(OnPaymentCaptured { context: context.clone() }),
            Arc::new(OnPaymentRefunded { context: context.clone() }),
            Arc::new(OnSecondFactorRemoved { context: context.clone() }),
            Arc::new(OnUserRegistered { context: context.clone() }),
        ]
    }

    fn workers(&self) -> Vec<Worker> {
        let context = self.context.clone();
        let every = Duration::from_millis(self.context.settings.send_every_ms.max(10));
        let db = self.context.db.clone();
        let send = Worker::every("notifications.send", every, move || {
            let context = context.clone();
            async move { Ok(app::send::send_due(&context).await?) }
        });
        vec![
            send,
            Worker::every("notifications.withdraw_stale_keys", LOOK_EVERY, move || {
                let db = db.clone();
                async move { Ok(idempotency::withdraw_stale(&db, "POST /notifications/").await?) }
            }),
        ]
    }

    fn transfers(&self) -> Vec<Arc<dyn Transfer>> {
        Vec::new()
    }

    async fn doctor(&self) -> Result<Vec<Check>, AnyError> {
        Ok(doctor::checks(&self.context.db).await?)
    }
}
