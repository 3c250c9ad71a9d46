//! The built-in provider `sandbox`: a small bank with books of its own, for shops without a contract yet and for tests.
//!
//! It behaves like a provider behind a network: it is idempotent by key, it remembers across restarts, it can be slow
//! and its answer can get lost. Its tables are its own; nothing joins them with those of the shop.
//!
//! | token | what happens |
//! |---|---|
//! | `tok_ok` | succeeds |
//! | `tok_declined` | refused, `generic_decline` |
//! | `tok_insufficient_funds` | refused, `insufficient_funds` |
//! | `tok_timeout_then_ok` | succeeds, but the first answer never comes; the same key again gets it |
//! | `tok_slow` | succeeds, after about two seconds |
//! | any other | refused, `unknown_token` |

mod books;

use std::time::Duration;

use async_trait::async_trait;
use kernel::{Currency, Money};
use platform::batch::{Batch, Ran};
use platform::db::Db;
use sea_orm::DbErr;
use uuid::Uuid;

use crate::domain::movement::Movement;
use crate::provider::{ABANDONED, Authorization, NoAnswer, PaymentProvider, SANDBOX, StatementLine, Verdict};

/// How long `tok_slow` takes.
const SLOW: Duration = Duration::from_secs(2);

/// What the bank says to a movement that its books do not allow.
const NOT_POSSIBLE: &str = "not_possible";

/// The bank.
pub struct Sandbox {
    db: Db,
}

impl From<DbErr> for NoAnswer {
    fn from(error: DbErr) -> Self {
        Self(Box::new(error))
    }
}

impl Sandbox {
    /// A bank that keeps its books in the tables `sandbox_*` of this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Writes an operation and its effect, once for a key; the verdict with whether this call was the first.
    async fn operate(&self, order: Order<'_>) -> Result<(Verdict, bool), DbErr> {
        let system = self.db.system();
        let begins = order.movement.is_some_and(Movement::begins);
        let charge_id =
            if begins { Some(system.id()) } else { order.charge.and_then(|id| Uuid::parse_str(id).ok()) };
        let row = books::operations::Model {
            provider_key: order.key.to_owned(),
            kind: order.movement.map_or("abandon", Movement::as_str).to_owned(),
            charge_id,
            amount_minor: order.amount.map_or(0, |amount| amount.amount_minor),
            currency: order.amount.map_or_else(|| "XXX".to_owned(), |amount| amount.currency.to_string()),
            refusal: order.refusal.map(str::to_owned),
            at_ms: system.now().ms(),
        };
        if begins && row.refusal.is_none() && row.amount_minor > 0 {
            return self.begin(&row, order.movement == Some(Movement::Charge)).await;
        }
        // The key is taken first: a twin of this call waits for it and then finds its verdict.
        let tx = self.db.begin().await?;
        if !books::operations::insert(tx.conn(), row.clone()).await? {
            tx.rollback().await?;
            return self.known(order.key).await;
        }
        let mut row = row;
        if row.refusal.is_none() && !self.apply(&tx, &row, order.movement).await? {
            row.refusal = Some(NOT_POSSIBLE.to_owned());
            books::operations::refuse(tx.conn(), order.key, NOT_POSSIBLE).await?;
        }
        tx.commit().await?;
        Ok((row.verdict(), true))
    }

    /// A new charge, which the books always allow.
    async fn begin(&self, row: &books::operations::Model, is_taken: bool) -> Result<(Verdict, bool), DbErr> {
        let mut batch = Batch::default();
        books::operations::insert_in(&mut batch, row.clone());
        books::charges::open_in(&mut batch, row, is_taken);
        match self.db.commit(batch).await? {
            Ran::Done(_) => Ok((row.verdict(), true)),
            // A twin of this call has taken the key.
            Ran::Refused(_) => self.known(&row.provider_key).await,
        }
    }

    async fn known(&self, key: &str) -> Result<(Verdict, bool), DbErr> {
        let known = books::operations::find(self.db.reader(), key).await?;
        let known = known.ok_or_else(|| DbErr::Custom("the sandbox lost an operation".to_owned()))?;
        Ok((known.verdict(), false))
    }

    /// The effect on the charge; false if the books do not allow it.
    async fn apply(
        &self,
        tx: &platform::db::Tx,
        row: &books::operations::Model,
        movement: Option<Movement>,
    ) -> Result<bool, DbErr> {
        let (Some(movement), Some(charge_id)) = (movement, row.charge_id) else {
            return Ok(false);
        };
        let amount_minor = row.amount_minor;
        match movement {
            // Of nothing, or it would have begun.
            Movement::Authorize | Movement::Charge => Ok(false),
            Movement::Capture => {
                books::charges::take(tx.conn(), charge_id, amount_minor, &row.currency).await
            }
            Movement::Void => books::charges::let_go(tx.conn(), charge_id).await,
            Movement::Refund => {
                books::charges::give_back(tx.conn(), charge_id, amount_minor, &row.currency).await
            }
        }
    }
}

/// What the bank is told to do.
struct Order<'a> {
    key: &'a str,
    /// None abandons the key.
    movement: Option<Movement>,
    charge: Option<&'a str>,
    amount: Option<Money>,
    refusal: Option<&'a str>,
}

#[async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &'static str {
        SANDBOX
    }

    async fn authorize(&self, call: Authorization<'_>) -> Result<Verdict, NoAnswer> {
        let refusal = match call.token {
            "tok_ok" | "tok_timeout_then_ok" | "tok_slow" => None,
            "tok_declined" => Some("generic_decline"),
            "tok_insufficient_funds" => Some("insufficient_funds"),
            _ => Some("unknown_token"),
        };
        let movement = if call.capture { Movement::Charge } else { Movement::Authorize };
        let (verdict, first) = self
            .operate(Order {
                key: call.key,
                movement: Some(movement),
                charge: None,
                amount: Some(call.amount),
                refusal,
            })
            .await?;
        match call.token {
            // The money has moved, and the answer is lost.
            "tok_timeout_then_ok" if first => std::future::pending::<()>().await,
            "tok_slow" if first => tokio::time::sleep(SLOW).await,
            _ => {}
        }
        Ok(verdict)
    }

    async fn capture(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer> {
        let (charge, amount) = (Some(charge), Some(amount));
        Ok(self
            .operate(Order { key, movement: Some(Movement::Capture), charge, amount, refusal: None })
            .await?
            .0)
    }

    async fn void(&self, key: &str, charge: &str) -> Result<Verdict, NoAnswer> {
        let held = match Uuid::parse_str(charge) {
            Ok(id) => books::charges::find(self.db.reader(), id).await?,
            Err(_) => None,
        };
        let amount =
            held.and_then(|row| Some(Money::new(row.amount_minor, Currency::parse(&row.currency).ok()?)));
        let charge = Some(charge);
        Ok(self
            .operate(Order { key, movement: Some(Movement::Void), charge, amount, refusal: None })
            .await?
            .0)
    }

    async fn refund(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer> {
        let (charge, amount) = (Some(charge), Some(amount));
        Ok(self
            .operate(Order { key, movement: Some(Movement::Refund), charge, amount, refusal: None })
            .await?
            .0)
    }

    async fn find(&self, key: &str) -> Result<Option<Verdict>, NoAnswer> {
        let known = books::operations::find(self.db.reader(), key).await?;
        Ok(known.map(|row| row.verdict()))
    }

    async fn abandon(&self, key: &str) -> Result<Verdict, NoAnswer> {
        let order = Order { key, movement: None, charge: None, amount: None, refusal: Some(ABANDONED) };
        Ok(self.operate(order).await?.0)
    }

    async fn statement(&self, after: Option<&str>, limit: u64) -> Result<Vec<StatementLine>, NoAnswer> {
        let rows = books::operations::done_after(self.db.reader(), after, limit).await?;
        Ok(rows.iter().filter_map(books::operations::Model::line).collect())
    }

    async fn statement_of(&self, keys: &[String]) -> Result<Vec<StatementLine>, NoAnswer> {
        let rows = books::operations::done_of(self.db.reader(), keys).await?;
        Ok(rows.iter().filter_map(books::operations::Model::line).collect())
    }
}
