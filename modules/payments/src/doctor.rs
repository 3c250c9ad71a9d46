//! What must be true of the money, checked on the live database. Each statement sees one instant; the provider's books
//! are read by its own queries and compared here, with what is still under way left out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use platform::db::Db;
use platform::doctor::{Examiner, OpenQuery, OpenWork, look_for, open_plumbing, speak};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::provider::{self, PaymentProvider, StatementLine};
use crate::store::attempts;

/// An attempt or intent that is open for longer has been forgotten, or its provider is down.
const ATTEMPT_BOUND: Duration = Duration::from_secs(300);
/// Rows that are compared at once with the provider's books.
const PAGE: u64 = 500;

#[derive(FromQueryResult)]
struct Violation {
    subject: String,
    detail: String,
}

const AMOUNTS_NESTED: &str = "
    SELECT 'payment' AS subject, {id} || ': refunded ' || p.refunded_minor || ', on its way ' ||
        p.refund_pending_minor || ', captured ' || p.captured_minor || ', authorized ' || p.authorized_minor AS detail
    FROM payments p
    WHERE NOT (0 <= p.refunded_minor AND 0 <= p.refund_pending_minor
        AND p.refunded_minor + p.refund_pending_minor <= p.captured_minor
        AND p.captured_minor <= p.authorized_minor AND p.authorized_minor <= p.amount_minor)
    ORDER BY p.id LIMIT ";

const REFUNDS_UNDER_WAY_ADD_UP: &str = "
    SELECT 'payment' AS subject, {id} || ': ' || p.refund_pending_minor || ' set aside, ' ||
        COALESCE(a.asked, 0) || ' in open refunds' AS detail
    FROM payments p LEFT JOIN (
        SELECT payment_id, SUM(amount_minor) AS asked FROM attempts WHERE state = 'open' AND kind = 'refund'
        GROUP BY payment_id
    ) a ON a.payment_id = p.id
    WHERE p.refund_pending_minor <> COALESCE(a.asked, 0) ORDER BY p.id LIMIT ";

const LEDGER_BALANCES: &str = "
    SELECT 'all payments' AS subject, 'debits less credits in ' || currency || ': ' ||
        SUM(CASE WHEN side = 'debit' THEN amount_minor ELSE -amount_minor END) AS detail
    FROM ledger GROUP BY currency
    HAVING SUM(CASE WHEN side = 'debit' THEN amount_minor ELSE -amount_minor END) <> 0 LIMIT ";

const TRANSACTIONS_BALANCE: &str = "
    SELECT 'payment' AS subject, {id} || ': debits less credits of transaction ' || {text:l.transaction_id} || ': ' || l.difference AS detail
    FROM (
        SELECT payment_id AS id, transaction_id, SUM(CASE WHEN side = 'debit' THEN amount_minor ELSE -amount_minor END) AS difference
        FROM ledger GROUP BY payment_id, transaction_id
        HAVING SUM(CASE WHEN side = 'debit' THEN amount_minor ELSE -amount_minor END) <> 0
    ) l ORDER BY l.id LIMIT ";

const LEDGER_AGREES: &str = "
    SELECT 'payment' AS subject, {id} || ' (' || p.status || '): authorized ' || p.authorized_minor || ' by the ledger ' || COALESCE(l.authorized, 0)
        || ', captured ' || p.captured_minor || ' by the ledger ' || COALESCE(l.captured, 0)
        || ', refunded ' || p.refunded_minor || ' by the ledger ' || COALESCE(l.refunded, 0)
        || ', held by the ledger ' || COALESCE(l.held, 0) AS detail
    FROM payments p LEFT JOIN (
        SELECT payment_id,
            SUM(CASE WHEN account = 'held' AND side = 'debit' THEN amount_minor ELSE 0 END) AS authorized,
            SUM(CASE WHEN account = 'shop' AND side = 'debit' THEN amount_minor ELSE 0 END) AS captured,
            SUM(CASE WHEN account = 'shop' AND side = 'credit' THEN amount_minor ELSE 0 END) AS refunded,
            SUM(CASE WHEN account = 'held' AND side = 'debit' THEN amount_minor WHEN account = 'held' THEN -amount_minor ELSE 0 END) AS held
        FROM ledger GROUP BY payment_id
    ) l ON l.payment_id = p.id
    WHERE p.authorized_minor <> COALESCE(l.authorized, 0) OR p.captured_minor <> COALESCE(l.captured, 0)
        OR p.refunded_minor <> COALESCE(l.refunded, 0)
        OR COALESCE(l.held, 0) <> CASE WHEN p.status = 'authorized' THEN p.authorized_minor ELSE 0 END
    ORDER BY p.id LIMIT ";

const ONE_LIVE_PAYMENT: &str = "
    SELECT 'order' AS subject, {id} || ': ' || o.live || ' live payments' AS detail
    FROM (
        SELECT order_id AS id, COUNT(*) AS live FROM payments
        WHERE status NOT IN ('failed', 'voided', 'refunded') GROUP BY order_id HAVING COUNT(*) > 1
    ) o ORDER BY o.id LIMIT ";

const ATTEMPTS_END: &str = "
    SELECT subject, detail FROM (
        SELECT 'attempt' AS subject, {id} || ' (' || a.kind || ') is open since ' || a.created_at_ms AS detail
        FROM attempts a WHERE a.state = 'open' AND a.created_at_ms < {before}
        UNION ALL
        SELECT 'intent' AS subject, {text:i.id} || ' is open since ' || i.created_at_ms AS detail
        FROM intents i WHERE i.created_at_ms < {before}
        UNION ALL
        SELECT 'payment' AS subject, {text:p.id} || ' failed and its order does not know' AS detail
        FROM payments p WHERE p.release_due AND p.updated_at_ms < {before}
    ) late LIMIT ";

const PENDING_IS_UNDER_WAY: &str = "
    SELECT 'payment' AS subject, {id} || ' is pending, but nobody asks the provider' AS detail
    FROM payments p WHERE p.status = 'pending' AND NOT EXISTS (
        SELECT 1 FROM attempts a WHERE a.payment_id = p.id AND a.state = 'open' AND a.kind IN ('authorize', 'charge'))
    ORDER BY p.id LIMIT ";

/// An attempt and the answer to its client end in one transaction, so no statement sees the one without the other.
const KEYS_END_WITH_ATTEMPTS: &str = "
    SELECT 'attempt' AS subject, {id} || ' (' || a.kind || ') has ended, its key is open' AS detail
    FROM attempts a JOIN idempotency_keys k
        ON k.resource_id = CASE WHEN a.kind IN ('authorize', 'charge') THEN a.payment_id ELSE a.id END
    WHERE k.state = 'open' AND a.state <> 'open' ORDER BY a.id LIMIT ";

const CALLED_OFF_IS_UNDONE: &str = "
    SELECT 'payment' AS subject, {id} || ' (' || p.status || ') is of a cancelled order and keeps ' ||
        CASE WHEN p.status = 'authorized' THEN p.authorized_minor ELSE p.captured_minor - p.refunded_minor END AS detail
    FROM payments p
    WHERE p.called_off_at_ms < {before} AND p.status IN ('authorized', 'captured', 'partially_refunded')
    ORDER BY p.id LIMIT ";

const OPEN: &[OpenQuery] = &[
    OpenQuery {
        kind: "intent",
        waits_for: "orders, to let the payment begin; the worker takes back what its request has left",
        advice: "see whether orders answers and the worker of payments runs",
        sql: "SELECT {text:id} AS id, 'payment of order ' || {text:order_id} || ' (' || state || ')' AS what, created_at_ms AS since_ms,
                CASE WHEN created_at_ms < {begun_before} THEN created_at_ms ELSE lease_until_ms END AS due_ms,
                CAST(NULL AS TEXT) AS last_error FROM intents",
    },
    OpenQuery {
        kind: "attempt",
        waits_for: "the provider's verdict",
        advice: "see whether the provider answers; the worker asks it again under the same key, so nothing moves twice",
        sql: "SELECT {text:id} AS id, kind || ' of payment ' || {text:payment_id} AS what, created_at_ms AS since_ms,
                CASE WHEN created_at_ms < {begun_before} THEN created_at_ms ELSE lease_until_ms END AS due_ms,
                CAST(NULL AS TEXT) AS last_error FROM attempts WHERE state = 'open'",
    },
    OpenQuery {
        kind: "order_to_tell",
        waits_for: "orders, to hear that the payment came to nothing",
        advice: "see whether orders answers; the worker tells it then",
        sql: "SELECT {text:id} AS id, 'payment of order ' || {text:order_id} AS what, updated_at_ms AS since_ms,
                updated_at_ms AS due_ms, CAST(NULL AS TEXT) AS last_error FROM payments WHERE release_due",
    },
    OpenQuery {
        kind: "money_to_give_back",
        waits_for: "the void or refund of a cancelled order",
        advice: "look at its attempts; if the provider refused, somebody has to give the money back by hand",
        sql: "SELECT {text:p.id} AS id, 'payment of order ' || {text:p.order_id} || ' (' || p.status || ')' AS what,
                p.called_off_at_ms AS since_ms,
                CASE WHEN p.called_off_at_ms < {begun_before} THEN p.called_off_at_ms ELSE {now} END AS due_ms,
                (SELECT MAX(a.failure) FROM attempts a WHERE a.payment_id = p.id AND a.undo) AS last_error
              FROM payments p
              WHERE p.called_off_at_ms IS NOT NULL AND p.status IN ('authorized', 'captured', 'partially_refunded')",
    },
];

/// Looks at the data of this module for the doctor.
pub fn examiner(db: Db) -> Arc<dyn Examiner> {
    Arc::new(Books { provider: provider::of_settings(&db), db })
}

struct Books {
    db: Db,
    provider: Arc<dyn PaymentProvider>,
}

#[async_trait]
impl Examiner for Books {
    fn db(&self) -> &Db {
        &self.db
    }

    async fn checks(&self) -> Result<Vec<Check>, AnyError> {
        checks(&self.db, self.provider.as_ref()).await
    }

    async fn open_work(&self) -> Result<Vec<OpenWork>, AnyError> {
        let mut found = open_plumbing(&self.db).await?;
        found.extend(look_for(&self.db, OPEN).await?);
        Ok(found)
    }
}

pub(crate) async fn checks(db: &Db, provider: &dyn PaymentProvider) -> Result<Vec<Check>, AnyError> {
    let mut checks = vec![
        Check::new(
            "payments.amounts_nested",
            "0 <= refunded <= captured <= authorized <= due for every payment",
            violations(db, AMOUNTS_NESTED, "p.id").await?,
        ),
        Check::new(
            "payments.refunds_under_way_add_up",
            "what is set aside for refunds is what the open refunds ask for",
            violations(db, REFUNDS_UNDER_WAY_ADD_UP, "p.id").await?,
        ),
        Check::new(
            "payments.ledger_balances",
            "debits equal credits, over all and in every transaction",
            [
                violations(db, LEDGER_BALANCES, "id").await?,
                violations(db, TRANSACTIONS_BALANCE, "l.id").await?,
            ]
            .concat(),
        ),
        Check::new(
            "payments.ledger_agrees",
            "authorized, captured, refunded and held follow from the ledger",
            violations(db, LEDGER_AGREES, "p.id").await?,
        ),
        Check::new(
            "payments.one_live_payment",
            "an order has at most one live payment",
            violations(db, ONE_LIVE_PAYMENT, "o.id").await?,
        ),
        Check::new(
            "payments.attempts_end",
            "every attempt ends, and every order hears of it, within five minutes",
            violations(db, ATTEMPTS_END, "a.id").await?,
        ),
        Check::new(
            "payments.keys_end_with_attempts",
            "whoever asked for money to be moved is answered when the attempt ends",
            violations(db, KEYS_END_WITH_ATTEMPTS, "a.id").await?,
        ),
        Check::new(
            "payments.pending_is_under_way",
            "a payment is pending only while the provider is being asked",
            violations(db, PENDING_IS_UNDER_WAY, "p.id").await?,
        ),
        Check::new(
            "payments.called_off_is_undone",
            "the payment of a cancelled order is given back within five minutes",
            violations(db, CALLED_OFF_IS_UNDONE, "p.id").await?,
        ),
        Check::new(
            "payments.provider_agrees",
            "the provider and the shop know of the same movements, each once",
            disagreements(db, provider).await?,
        ),
    ];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}

async fn violations(db: &Db, sql: &str, id: &str) -> Result<Vec<String>, DbErr> {
    let before_ms = db.system().now().minus(ATTEMPT_BOUND).ms();
    let sql = sql.replace("{id}", &format!("{{text:{id}}}")).replace("{before}", &before_ms.to_string());
    let statement = Statement::from_string(db.backend(), format!("{}{MAX_VIOLATIONS}", speak(db, &sql)));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows.iter().map(|row| format!("{} {}", row.subject, row.detail)).collect())
}

/// Both ways, page by page, so that memory stays bounded whatever the age of the shop.
async fn disagreements(db: &Db, provider: &dyn PaymentProvider) -> Result<Vec<String>, AnyError> {
    let mut found = unknown_to_the_shop(db, provider).await?;
    found.extend(unknown_to_the_provider(db, provider).await?);
    found.truncate(usize::try_from(MAX_VIOLATIONS)?);
    Ok(found)
}

/// The provider's books are read first: an attempt is written before its call, so what the provider knows, the shop
/// must know. An open attempt is not settled yet; that is no disagreement.
async fn unknown_to_the_shop(db: &Db, provider: &dyn PaymentProvider) -> Result<Vec<String>, AnyError> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let lines = provider.statement(after.as_deref(), PAGE).await?;
        let Some(last) = lines.last() else {
            return Ok(found);
        };
        after = Some(last.key.clone());
        let keys: Vec<String> = lines.iter().map(|line| line.key.clone()).collect();
        let known: HashMap<String, attempts::Model> = attempts::by_provider_keys(db.reader(), &keys)
            .await?
            .into_iter()
            .map(|attempt| (attempt.provider_key.clone(), attempt))
            .collect();
        found.extend(lines.iter().filter_map(|line| match known.get(&line.key) {
            None => Some(format!(
                "{}: the provider moved {}, the shop knows nothing of it",
                line.key, line.amount
            )),
            Some(attempt) if attempt.state == attempts::FAILED => Some(format!(
                "{}: the provider moved {}, the shop takes it for failed",
                line.key, line.amount
            )),
            Some(attempt) if !agree(attempt, line) => Some(format!(
                "{}: {} {} at the provider, {} {} in the shop",
                line.key,
                line.movement.as_str(),
                line.amount.amount_minor,
                attempt.kind,
                attempt.amount_minor
            )),
            Some(_) => None,
        }));
    }
}

/// The shop's books are read first: an attempt succeeds only after the provider has done it.
async fn unknown_to_the_provider(db: &Db, provider: &dyn PaymentProvider) -> Result<Vec<String>, AnyError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let succeeded = attempts::succeeded_after(db.reader(), after, PAGE).await?;
        let Some(last) = succeeded.last() else {
            return Ok(found);
        };
        after = Some(last.id);
        let keys: Vec<String> = succeeded.iter().map(|attempt| attempt.provider_key.clone()).collect();
        let lines = provider.statement_of(&keys).await?;
        let done: std::collections::HashSet<&str> = lines.iter().map(|line| line.key.as_str()).collect();
        found.extend(succeeded.iter().filter(|attempt| !done.contains(attempt.provider_key.as_str())).map(
            |attempt| {
                format!(
                    "{}: {} in the shop, nothing at the provider",
                    attempt.provider_key, attempt.amount_minor
                )
            },
        ));
    }
}

fn agree(attempt: &attempts::Model, line: &StatementLine) -> bool {
    attempt.kind == line.movement.as_str() && attempt.amount_minor == line.amount.amount_minor
}
