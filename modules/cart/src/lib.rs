//! What a customer or a guest is about to buy, and the way from there to an order.
//!
//! Invariants, kept by the schema and by conditional updates, never by locks in the program:
//!
//! - a customer has at most one open cart; a guest's cart has exactly one token, of which only the SHA-256 is kept;
//! - a cart holds 1 to 10,000 pieces of each of at most 100 SKUs, and no price: prices are the catalogue's, at the
//!   moment in which they are shown, and the order's, at the moment in which it is placed;
//! - a cart ends once: `ordered` with its order, or `merged` with the cart that took it over, and is empty from then on;
//! - what was ordered leaves the cart exactly once, and what was added meanwhile stays;
//! - every change makes `version` greater, also from one cart of a customer to the next, so that `If-Match` with a
//!   version of the cart before never fits the cart of now.
//!
//! There is a row for a cart only once something is in it. Reading writes nothing: who has no cart sees an empty one
//! whose `id` is null. A guest is given a token by the first answer whatever it is, and the first change makes the cart
//! behind it real; so a well-formed token that the shop does not know simply names an empty cart, as one that was
//! purged does, while one that cannot be read or whose cart was merged is answered with a fresh token.
//!
//! A checkout first writes down what is in the cart, under the caller's `Idempotency-Key`, and then asks `orders`. A
//! retry with the key asks for the same lines of the same cart again, so `orders`, which alone knows whether there is
//! an order, can give it again even though the cart is gone. Rejected: to store the order's answer here as well, as two
//! memories of one fact drift; and to close the cart before the order is placed, as a refusal would have to reopen it.
//!
//! Nobody calls this module, so it has no port.

mod app;
mod book;
mod doctor;
mod domain;
mod error;
mod http;
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
use platform::idempotency;
use platform::lease::LOOK_EVERY;
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
    /// Seconds after its last change at which a guest's cart is deleted.
    pub guest_cart_ttl_s: u64,
    /// The currency of an empty cart's total; the currency of the catalogue.
    pub currency: Currency,
}

impl Default for Settings {
    fn default() -> Self {
        Self { guest_cart_ttl_s: 30 * 24 * 3600, currency: Currency::GBP }
    }
}

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
    pub catalog: Arc<dyn CatalogPort>,
    pub inventory: Arc<dyn InventoryPort>,
    pub orders: Arc<dyn OrdersPort>,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    settings: Settings,
    catalog: Arc<dyn CatalogPort>,
    inventory: Arc<dyn InventoryPort>,
    orders: Arc<dyn OrdersPort>,
}

/// The module.
#[derive(Clone)]
pub struct Cart {
    context: Arc<Context>,
}

impl Cart {
    /// Puts the module together.
    pub fn new(deps: Deps) -> Self {
        let Deps { db, settings, catalog, inventory, orders } = deps;
        Self { context: Arc::new(Context { db, settings, catalog, inventory, orders }) }
    }
}

#[async_trait]
impl Module for Cart {
    fn name(&self) -> &'static str {
        "cart"
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
        vec![Arc::new(app::on_order_created::OnOrderCreated { context: self.context.clone() })]
    }

    fn workers(&self) -> Vec<Worker> {
        let (context, db) = (self.context.clone(), self.context.db.clone());
        let purge = Worker::every("cart.purge", Duration::from_secs(3600), move || {
            let context = context.clone();
            async move { Ok(app::purge::purge(&context).await?) }
        });
        vec![
            purge,
            Worker::every("cart.withdraw_stale_keys", LOOK_EVERY, move || {
                let db = db.clone();
                async move { Ok(idempotency::withdraw_stale(&db, "POST /cart/merge").await?) }
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
