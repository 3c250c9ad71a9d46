//! Orders: what was bought, for how much, and where it stands.
//!
//! Invariants, kept by the schema and by conditional updates, never by locks in the program:
//!
//! - an `Idempotency-Key` places at most one order, and a cart becomes at most one;
//! - what an order costs is what the catalogue said, line by line, never what the client sent;
//! - an order holds exactly one reservation while it is pending, confirmed or processing, and none before or after;
//! - a status changes only along the table of `domain::transitions`, together with its timeline entry and event;
//! - one payment holds an order at a time; while it is under way the order neither expires nor is cancelled;
//! - what was refunded lies within the total.
//!
//! An order lives in this database and its stock in another, so placing one is a saga (`app::place_order`): every
//! step is either repeated or undone after a crash. Rejected: a transaction across modules (they would have to share
//! a database for ever), and orders that are written first and confirmed later (each reader would have to know the
//! half-placed ones).

mod app;
mod book;
mod doctor;
pub mod domain;
mod error;
mod http;
mod port;
mod store;

pub use book::book;
pub use doctor::examiner;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::catalog::CatalogPort;
use contracts::inventory::InventoryPort;
use contracts::orders::OrdersPort;
use kernel::Currency;
use platform::bus::EventHandler;
use platform::csv::Transfer;
use platform::db::Db;
use platform::lease::LOOK_EVERY_MS;
use platform::module::{AnyError, Check, Module, Worker};
use platform::problem::ErrorCode;
use platform::routes::Routes;
use serde::{Deserialize, Serialize};

/// The codes of this module's errors.
pub const ERROR_CODES: &[ErrorCode] = error::CODES;

/// Settings of this module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Seconds after which an order that nobody pays is cancelled.
    pub payment_window_s: u64,
    /// The one currency in which this shop sells and counts.
    pub currency: Currency,
    /// Milliseconds between two looks for placements that a crash left behind.
    pub recover_every_ms: u64,
    /// Milliseconds between two looks for unpaid orders whose time is up.
    pub expire_every_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            payment_window_s: 1_800,
            currency: Currency::GBP,
            recover_every_ms: LOOK_EVERY_MS,
            expire_every_ms: 5_000,
        }
    }
}

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
    /// Says what things cost.
    pub catalog: Arc<dyn CatalogPort>,
    /// Holds the stock.
    pub inventory: Arc<dyn InventoryPort>,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    settings: Settings,
    catalog: Arc<dyn CatalogPort>,
    inventory: Arc<dyn InventoryPort>,
}

impl Context {
    /// How long a pending order waits to be paid.
    fn payment_window(&self) -> Duration {
        Duration::from_secs(self.settings.payment_window_s)
    }
}

/// The module.
#[derive(Clone)]
pub struct Orders {
    context: Arc<Context>,
}

impl Orders {
    /// Puts the module together.
    pub fn new(deps: Deps) -> Self {
        let Deps { db, settings, catalog, inventory } = deps;
        Self { context: Arc::new(Context { db, settings, catalog, inventory }) }
    }

    /// What other modules call.
    pub fn port(&self) -> Arc<dyn OrdersPort> {
        Arc::new(port::LocalOrders { context: self.context.clone() })
    }
}

#[async_trait]
impl Module for Orders {
    fn name(&self) -> &'static str {
        "orders"
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
        let context = || self.context.clone();
        vec![
            Arc::new(app::on_payment_authorized::OnPaymentAuthorized { context: context() }),
            Arc::new(app::on_payment_captured::OnPaymentCaptured { context: context() }),
            Arc::new(app::on_payment_voided::OnPaymentVoided { context: context() }),
            Arc::new(app::on_payment_failed::OnPaymentFailed { context: context() }),
            Arc::new(app::on_payment_refunded::OnPaymentRefunded { context: context() }),
        ]
    }

    fn workers(&self) -> Vec<Worker> {
        let Settings { recover_every_ms, expire_every_ms, .. } = self.context.settings;
        let (recovering, expiring) = (self.context.clone(), self.context.clone());
        vec![
            Worker::taking_over(
                "orders.recover_placements",
                Duration::from_millis(recover_every_ms),
                move || {
                    let context = recovering.clone();
                    async move { Ok(app::recover_placements::recover_placements(&context).await?) }
                },
            ),
            Worker::every("orders.expire_unpaid", Duration::from_millis(expire_every_ms), move || {
                let context = expiring.clone();
                async move { Ok(app::expire_unpaid::expire_unpaid(&context).await?) }
            }),
        ]
    }

    fn transfers(&self) -> Vec<Arc<dyn Transfer>> {
        vec![Arc::new(app::transfer_orders::TransferOrders { context: self.context.clone() })]
    }

    async fn doctor(&self) -> Result<Vec<Check>, AnyError> {
        Ok(doctor::checks(&self.context.db).await?)
    }
}
