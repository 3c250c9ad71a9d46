//! What the shop sells, what it is called, and what it costs.
//!
//! Invariants, kept by the schema:
//!
//! - a SKU is in upper case and names one product, and so does a slug;
//! - a price is 0 to 1,000,000.00 in the shop's currency;
//! - a product is never deleted, only retired: what an order refers to stays readable;
//! - every change publishes `ProductChanged` in its own transaction, and only a change does.
//!
//! **Freshness.** [`CatalogPort::quote`] always reads the database: what is sold now must have the price of now. Pages,
//! single products and [`CatalogPort::find`] may come from memory, or from the store that replicas share; a change by
//! this process shows at once, one by another process with its event, and within `cache_ttl_s` whatever happens.
//!
//! **Search** reads a folded copy of name, SKU and description with `LIKE`, because the databases do not agree on the
//! case of letters beyond ASCII, and has an index of its trigrams on each; `store::search` says when which is asked. Rejected: full-text
//! indexes of words, as they split and stem words each in its own way, while `100%` and `a_b` are to be found as they stand on both; and an index of
//! our own making, which would do without the extension and find words of two letters, for a second copy of each text and some hundred entries a product.
//!
//! **Stock** belongs to `inventory`. Rejected: a quantity column here, as it would put every sale and every edit of a
//! description on the same row. The opening stock of an import is handed over after its products were committed, and
//! only gives a first record to SKUs that have none; importing a file again therefore never undoes what was sold.

mod app;
mod cache;
mod doctor;
mod domain;
mod doorkeeper;
mod error;
mod http;
mod port;
mod product;
mod store;

pub use doctor::examiner;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::catalog::{CatalogPort, ProductRef};
use contracts::inventory::InventoryPort;
use kernel::Currency;
use platform::bus::EventHandler;
use platform::csv::Transfer;
use platform::db::Db;
use platform::gather::Reads;
use platform::idempotency;
use platform::lease::LOOK_EVERY;
use platform::module::{AnyError, Check, Module, Worker};
use platform::problem::ErrorCode;
use platform::routes::Routes;
use platform::shared_store::SharedStore;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};

use crate::product::Versioned;

/// The codes of this module's errors.
pub const ERROR_CODES: &[ErrorCode] = error::CODES;

/// How often the log says again that something is slow.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of this module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Every price is in this currency.
    pub currency: Currency,
    /// Products kept in memory, about: a product of more than 1 KiB counts as several. One is kept when it is asked for again. 0 keeps nothing, nor
    /// shares it.
    pub cache_entries: u64,
    /// Seconds after which a change by another process shows at the latest.
    pub cache_ttl_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { currency: Currency::GBP, cache_entries: 10_000, cache_ttl_s: 30 }
    }
}

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
    pub inventory: Arc<dyn InventoryPort>,
    /// What replicas remember in common; none keeps it to this process.
    pub shared_store: Option<SharedStore>,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    settings: Settings,
    inventory: Arc<dyn InventoryPort>,
    cache: cache::Cache,
    /// Products as they are now; those that are asked for at the same time come with one query.
    products: Reads<ProductRef, Result<Arc<Versioned>, DbErr>>,
    pages: app::list::Pages,
}

/// The module.
#[derive(Clone)]
pub struct Catalog {
    context: Arc<Context>,
}

impl Catalog {
    /// Puts the module together.
    pub fn new(deps: Deps) -> Self {
        let cache = cache::Cache::new(&deps.settings, deps.db.system(), deps.shared_store);
        let db = deps.db.clone();
        let products = Reads::new(deps.db.system(), move |references| {
            let db = db.clone();
            async move { store::products::shown(db.reader(), references).await }
        });
        let pages = app::list::Pages::new(&deps.db);
        let context = Context {
            db: deps.db,
            settings: deps.settings,
            inventory: deps.inventory,
            cache,
            products,
            pages,
        };
        Self { context: Arc::new(context) }
    }

    /// What other modules call.
    pub fn port(&self) -> Arc<dyn CatalogPort> {
        Arc::new(port::LocalCatalog { context: self.context.clone() })
    }

    /// Forgets whatever was remembered. For when events may have passed this process by, as while it had no broker.
    pub fn forget_all(&self) {
        self.context.cache.forget_all();
    }
}

#[async_trait]
impl Module for Catalog {
    fn name(&self) -> &'static str {
        "catalog"
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
        vec![Arc::new(app::on_product_changed::OnProductChanged { context: self.context.clone() })]
    }

    fn workers(&self) -> Vec<Worker> {
        let (context, db) = (self.context.clone(), self.context.db.clone());
        let finish = Worker::taking_over("catalog.finish_stock_changes", LOOK_EVERY, move || {
            let context = context.clone();
            async move { Ok(app::finish_stock_changes::finish_stock_changes(&context).await?) }
        });
        let indexed = db.clone();
        vec![
            finish,
            Worker::every("catalog.look_at_index", REMIND_EVERY, move || {
                let db = indexed.clone();
                async move { Ok(app::look_at_index::look_at_index(&db).await?) }
            }),
            Worker::every("catalog.withdraw_stale_keys", LOOK_EVERY, move || {
                let db = db.clone();
                async move { Ok(idempotency::withdraw_stale(&db, "POST /catalog/").await?) }
            }),
        ]
    }

    fn transfers(&self) -> Vec<Arc<dyn Transfer>> {
        vec![Arc::new(app::transfer_products::TransferProducts { context: self.context.clone() })]
    }

    async fn doctor(&self) -> Result<Vec<Check>, AnyError> {
        Ok(doctor::checks(&self.context.db, self.context.settings.currency).await?)
    }
}
