//! Payment providers: who really moves the money.
//!
//! Every call carries a key of ours under which the provider acts at most once, so a call whose answer was lost may be
//! repeated, and [`PaymentProvider::find`] tells what became of it. A provider's verdict about a key never changes.
//! Rejected: trusting what a webhook's body says; it only makes us look sooner.

mod sandbox;
mod watched;

use std::sync::Arc;

use async_trait::async_trait;
use kernel::Money;
use platform::db::Db;
use thiserror::Error;

pub use crate::domain::movement::Movement;
pub use sandbox::Sandbox;

use watched::Watched;

/// The name of the built-in provider.
pub const SANDBOX: &str = "sandbox";

/// What a provider says of a call, once and for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Done. `charge` is the provider's name for the money, which later calls refer to.
    Done { charge: String },
    /// Not done, and never will be under this key. `code` is the provider's word: `insufficient_funds`.
    Refused { code: String },
}

/// The code of a key that was abandoned before its call came.
pub const ABANDONED: &str = "abandoned";

/// No verdict: the effect is unknown. Every call may be repeated with its key.
#[derive(Debug, Error)]
#[error("the payment provider did not answer")]
pub struct NoAnswer(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Takes money, or only holds it.
#[derive(Clone)]
pub struct Authorization<'a> {
    pub key: &'a str,
    /// What stands for the card. Must not be logged.
    pub token: &'a str,
    pub amount: Money,
    /// Take it at once.
    pub capture: bool,
}

/// One movement in the provider's own books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    pub key: String,
    pub movement: Movement,
    pub amount: Money,
}

/// Who holds, takes and gives back money.
///
/// A call may hang: the caller sets the deadline. Dropping a call does not undo it.
#[async_trait]
pub trait PaymentProvider: Send + Sync {
    /// As in settings, in the address of its webhooks, and in `Payment.provider`.
    fn name(&self) -> &'static str;

    /// Holds money, and takes it at once if asked.
    async fn authorize(&self, call: Authorization<'_>) -> Result<Verdict, NoAnswer>;

    /// Takes what is held, or part of it; the rest of the hold ends.
    async fn capture(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer>;

    /// Ends a hold.
    async fn void(&self, key: &str, charge: &str) -> Result<Verdict, NoAnswer>;

    /// Gives back what was taken, or part of it.
    async fn refund(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer>;

    /// The fate of a call; `None` if it never arrived, which does not mean that it never will.
    async fn find(&self, key: &str) -> Result<Option<Verdict>, NoAnswer>;

    /// The fate of a call; if it has not arrived, it is refused now ([`ABANDONED`]) and whenever it still comes. Without this fence
    /// a call that was slow on its way could take money for a payment that was given up.
    async fn abandon(&self, key: &str) -> Result<Verdict, NoAnswer>;

    /// The movements that were done, in the order of keys, from one on; for the doctor.
    async fn statement(&self, after: Option<&str>, limit: u64) -> Result<Vec<StatementLine>, NoAnswer>;

    /// Those of the keys whose movement was done.
    async fn statement_of(&self, keys: &[String]) -> Result<Vec<StatementLine>, NoAnswer>;
}

/// The provider of a name. Settings know only names that exist, so everything else is the sandbox.
pub(crate) fn of_settings(db: &Db) -> Arc<dyn PaymentProvider> {
    Arc::new(Watched { provider: Arc::new(Sandbox::new(db.clone())) })
}
