//! How much there is of every SKU, and who holds it.
//!
//! Invariants, kept by the schema and by conditional updates, never by locks in the program:
//!
//! - `0 <= reserved <= on_hand` for every SKU: what cannot be delivered cannot be sold;
//! - `reserved` is the sum of the lines of the reservations that are held;
//! - `on_hand` is the sum of the movement ledger;
//! - a reservation is held once, and ends once: released (its id is burnt) or shipped.
//!
//! Stock is keyed by SKU alone: this module knows no product, price or order, only ids that others gave it. Rejected:
//! a quantity column in the catalogue, as it would put every sale and every edit of a description on the same row.

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
use contracts::inventory::InventoryPort;
use platform::bus::EventHandler;
use platform::csv::Transfer;
use platform::db::Db;
use platform::module::{AnyError, Check, Module, Worker};
use platform::problem::ErrorCode;
use platform::routes::Routes;
use serde::{Deserialize, Serialize};

use crate::app::levels::Levels;

/// The codes of this module's errors.
pub const ERROR_CODES: &[ErrorCode] = error::CODES;

/// Settings of this module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// At or under this many available pieces a SKU counts as low, unless it has a threshold of its own.
    pub low_stock_threshold: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { low_stock_threshold: 5 }
    }
}

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    settings: Settings,
    levels: Levels,
}

/// The module.
#[derive(Clone)]
pub struct Inventory {
    context: Arc<Context>,
}

impl Inventory {
    /// Puts the module together.
    pub fn new(deps: Deps) -> Self {
        let Deps { db, settings } = deps;
        let levels = Levels::new(&db);
        Self { context: Arc::new(Context { db, settings, levels }) }
    }

    /// What other modules call.
    pub fn port(&self) -> Arc<dyn InventoryPort> {
        Arc::new(port::LocalInventory { context: self.context.clone() })
    }
}

#[async_trait]
impl Module for Inventory {
    fn name(&self) -> &'static str {
        "inventory"
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
        vec![Worker::every("inventory.forget_refused", Duration::from_secs(3_600), move || {
            let context = context.clone();
            async move { Ok(app::forget_refused::forget_refused(&context).await?) }
        })]
    }

    fn transfers(&self) -> Vec<Arc<dyn Transfer>> {
        vec![Arc::new(app::transfer_stock::TransferStock { context: self.context.clone() })]
    }

    async fn doctor(&self) -> Result<Vec<Check>, AnyError> {
        Ok(doctor::checks(&self.context.db).await?)
    }
}
