//! What a module is to the process that runs it.

use std::sync::Arc;
use std::time::Duration;

use crate::routes::Routes;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::bus::EventHandler;
use crate::csv::Transfer;
use crate::db::Db;
use crate::problem::ErrorCode;

/// The error of work that nobody waits for: it is logged, and the work comes again.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A module, as the composition root sees it.
#[async_trait]
pub trait Module: Send + Sync {
    /// Its name: of the folder, the Cargo feature, the schema, and the first part of its paths.
    fn name(&self) -> &'static str;

    /// One line for the index of docs.
    fn summary(&self) -> &'static str {
        contracts::modules::summary_of(self.name())
    }

    /// Its database.
    fn db(&self) -> &Db;

    /// Registers its routes, with full paths, in the server and in the module's OpenAPI document.
    fn routes(&self, routes: &mut Routes<'_, '_>);

    /// Its own error codes, beside [`crate::problem::codes::ALL`].
    fn error_codes(&self) -> &'static [ErrorCode];

    /// What it does when others publish events.
    fn handlers(&self) -> Vec<Arc<dyn EventHandler>>;

    /// What it does from time to time.
    fn workers(&self) -> Vec<Worker>;

    /// Its tables that go in and out as CSV.
    fn transfers(&self) -> Vec<Arc<dyn Transfer>>;

    /// Checks its invariants on the live database, read-only.
    async fn doctor(&self) -> Result<Vec<Check>, AnyError>;
}

/// Work that comes again and again.
pub struct Worker {
    /// For logs: `orders.expire_unpaid`.
    pub name: &'static str,
    /// The pause between two runs.
    pub every: Duration,
    /// Whether it goes on with what others left behind, whose clients may come back for it.
    pub takes_over: bool,
    /// One run; it must be safe to run in several processes at once.
    pub run: Box<dyn Fn() -> BoxFuture<'static, Result<(), AnyError>> + Send + Sync>,
}

impl Worker {
    /// Work that runs every so often.
    pub fn every<F>(name: &'static str, every: Duration, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), AnyError>> + Send + 'static,
    {
        Self {
            name,
            every,
            takes_over: false,
            run: Box::new(move || -> BoxFuture<'static, Result<(), AnyError>> { Box::pin(run()) }),
        }
    }

    /// Work that goes on with what others left behind, and gives their clients the first turn.
    pub fn taking_over<F>(
        name: &'static str,
        every: Duration,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), AnyError>> + Send + 'static,
    {
        Self { takes_over: true, ..Self::every(name, every, run) }
    }
}

/// The result of checking one invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name: `inventory.reserved_within_on_hand`.
    pub name: &'static str,
    /// What must be true.
    pub promise: &'static str,
    /// Each place where it is not, at most [`MAX_VIOLATIONS`].
    pub violations: Vec<String>,
}

/// The most violations that one check lists.
pub const MAX_VIOLATIONS: u64 = 100;

impl Check {
    /// A check with what it found.
    pub fn new(name: &'static str, promise: &'static str, violations: Vec<String>) -> Self {
        Self { name, promise, violations }
    }

    /// Whether the promise holds.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}
