//! Who people are to the shop: profile, role, address book, and whether the account is active.
//!
//! Invariants:
//!
//! - an email address, and a username, belongs to one user; both are stored in lower case, so no two differ only in case;
//! - a shop that has an active admin keeps one: the last can be neither demoted nor switched off;
//! - a change of role or activity is published with its commit, so that sessions which say otherwise end.
//!
//! Passwords and sessions are `auth`'s, which asks this module at each login. Rejected: the role in a table of `auth`,
//! as two modules would then have to agree on who runs the shop.

mod app;
mod doctor;
mod domain;
mod error;
mod http;
mod port;
mod store;

pub use doctor::examiner;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::users::UsersPort;
use kernel::UserId;
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

/// Settings of this module; it has none yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}

/// The codes of this module's errors.
pub const ERROR_CODES: &[ErrorCode] = error::CODES;

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    /// Users as they are now; those that are asked for at the same time come with one query.
    users: Reads<UserId, store::users::Model>,
}

/// The module.
#[derive(Clone)]
pub struct Users {
    context: Arc<Context>,
}

impl Users {
    /// Puts the module together.
    pub fn new(deps: Deps) -> Self {
        let Deps { db, settings: Settings {} } = deps;
        let own = db.clone();
        let users = Reads::new(db.system(), move |ids| {
            let db = own.clone();
            async move { store::users::find_all(db.reader(), ids).await }
        });
        Self { context: Arc::new(Context { db, users }) }
    }

    /// What other modules call.
    pub fn port(&self) -> Arc<dyn UsersPort> {
        Arc::new(port::LocalUsers { context: self.context.clone() })
    }
}

#[async_trait]
impl Module for Users {
    fn name(&self) -> &'static str {
        "users"
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
        Vec::new()
    }

    fn workers(&self) -> Vec<Worker> {
        let db = self.context.db.clone();
        vec![Worker::every("users.withdraw_stale_keys", LOOK_EVERY, move || {
            let db = db.clone();
            async move { Ok(idempotency::withdraw_stale(&db, "POST /users/").await?) }
        })]
    }

    fn transfers(&self) -> Vec<Arc<dyn Transfer>> {
        vec![Arc::new(app::transfer_users::TransferUsers { context: self.context.clone() })]
    }

    async fn doctor(&self) -> Result<Vec<Check>, AnyError> {
        Ok(doctor::checks(&self.context.db).await?)
    }
}
