//! What must be true of the orders, checked on the live database by single statements, each of which sees one instant.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use platform::db::Db;
use platform::doctor::{Examiner, OpenQuery, OpenWork, look_for, open_plumbing, speak};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::store::{abandoned_reservations, orders};

/// A payment ends within seconds; after this long its module has forgotten it.
const PAYMENT_BOUND: Duration = Duration::from_secs(600);
/// Unpaid orders are cancelled within seconds of their time.
const EXPIRY_BOUND: Duration = Duration::from_secs(300);
/// Stock that is to be given back waits at most this long, unless inventory is out of reach.
const UNDO_BOUND: Duration = Duration::from_secs(300);

#[derive(FromQueryResult)]
struct Violation {
    subject: String,
    left_side: i64,
    right_side: i64,
}

const ONE_ORDER_PER_CART: &str = "
    SELECT MIN(number) AS subject, COUNT(*) AS left_side, CAST(1 AS BIGINT) AS right_side
    FROM orders WHERE cart_id IS NOT NULL GROUP BY cart_id HAVING COUNT(*) > 1 ORDER BY 1 LIMIT ";

const LINES_ADD_UP: &str = "
    SELECT o.number AS subject, o.total_minor AS left_side, CAST(COALESCE(l.total, 0) AS BIGINT) AS right_side
    FROM orders o LEFT JOIN (
        SELECT order_id, SUM(line_total_minor) AS total FROM order_lines GROUP BY order_id
    ) l ON l.order_id = o.id
    WHERE o.total_minor <> COALESCE(l.total, 0) OR l.order_id IS NULL ORDER BY o.number LIMIT ";

const REFUNDED_WITHIN_TOTAL: &str = "
    SELECT number AS subject, refunded_minor AS left_side, total_minor AS right_side
    FROM orders WHERE refunded_minor < 0 OR refunded_minor > total_minor ORDER BY number LIMIT ";

/// Both sides count: 1 where it is so.
const STATUS_FITS_PAYMENT: &str = "
    SELECT number AS subject,
        CAST(CASE WHEN status = 'pending' THEN 1 ELSE 0 END AS BIGINT) AS left_side,
        CAST(CASE WHEN payment_status IN ('captured', 'partially_refunded', 'refunded') THEN 1 ELSE 0 END AS BIGINT)
            AS right_side
    FROM orders
    WHERE NOT imported AND (
        (status = 'pending' AND payment_status IN ('captured', 'partially_refunded', 'refunded'))
        OR (status = 'cancelled' AND payment_status = 'in_progress')
        OR (payment_status = 'unpaid' AND refunded_minor <> 0)
        OR (payment_status = 'captured' AND refunded_minor <> 0))
    ORDER BY number LIMIT ";

const STOCK_FITS_STATUS: &str = "
    SELECT number AS subject,
        CAST(CASE WHEN status IN ('pending', 'confirmed', 'processing') THEN 1 ELSE 0 END AS BIGINT) AS left_side,
        CAST(CASE WHEN reservation_id IS NOT NULL THEN 1 ELSE 0 END AS BIGINT) AS right_side
    FROM orders
    WHERE NOT imported AND (reservation_id IS NOT NULL) <> (status IN ('pending', 'confirmed', 'processing'))
    ORDER BY number LIMIT ";

/// A key and its order are written by one transaction, so no statement sees the one without the other.
const KEYS_FIT_ORDERS: &str = "
    SELECT subject, left_side, right_side FROM (
        SELECT 'key of order ' || {text:k.resource_id} AS subject, CAST(0 AS BIGINT) AS left_side, CAST(1 AS BIGINT) AS right_side
        FROM idempotency_keys k JOIN orders o ON o.id = k.resource_id WHERE k.state = 'open'
        UNION ALL
        SELECT 'key of order ' || {text:k.resource_id}, CAST(1 AS BIGINT), CAST(0 AS BIGINT)
        FROM idempotency_keys k
        WHERE k.state = 'done' AND k.route IN ('POST /orders', 'POST /cart/checkout')
            AND CAST(k.outcome AS TEXT) LIKE '{\"placed\"%'
            AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = k.resource_id)
        UNION ALL
        SELECT 'key ' || MIN(k.idempotency_key) || ' of ' || k.principal, COUNT(*), CAST(1 AS BIGINT)
        FROM idempotency_keys k GROUP BY k.principal, k.route, k.idempotency_key HAVING COUNT(*) > 1
    ) found ORDER BY subject LIMIT ";

const OPEN: &[OpenQuery] = &[
    OpenQuery {
        kind: "abandoned_reservation",
        waits_for: "inventory, to release the stock of a placement or reactivation that came to nothing",
        advice: "see whether inventory answers; the worker releases it then",
        sql: "SELECT {text:reservation_id} AS id, 'of order ' || {text:order_id} AS what, since_ms, since_ms AS due_ms,
                CAST(NULL AS TEXT) AS last_error FROM abandoned_reservations",
    },
    OpenQuery {
        kind: "reactivation",
        waits_for: "inventory, to hold the stock of a cancelled order again; the worker undoes what takes too long",
        advice: "see whether inventory answers and the worker of orders runs",
        sql: "SELECT {text:id} AS id, 'order ' || number AS what, reactivating_since_ms AS since_ms,
                reactivating_since_ms AS due_ms, CAST(NULL AS TEXT) AS last_error
              FROM orders WHERE reactivating_since_ms IS NOT NULL",
    },
    OpenQuery {
        kind: "payment_in_progress",
        waits_for: "payments, to say what became of the payment",
        advice: "look at the open work of payments for the same payment, and at the events on their way to orders",
        sql: "SELECT {text:id} AS id, 'order ' || number || ', payment ' || {text:payment_id} AS what,
                payment_begun_at_ms AS since_ms,
                CASE WHEN payment_begun_at_ms < {begun_before} THEN payment_begun_at_ms ELSE {now} END AS due_ms,
                CAST(NULL AS TEXT) AS last_error
              FROM orders WHERE payment_status = 'in_progress'",
    },
    OpenQuery {
        kind: "unpaid_too_long",
        waits_for: "the worker that cancels unpaid orders",
        advice: "see whether orders runs and what its worker logs",
        sql: "SELECT {text:id} AS id, 'order ' || number AS what, payment_due_at_ms AS since_ms, payment_due_at_ms AS due_ms,
                CAST(NULL AS TEXT) AS last_error
              FROM orders WHERE status = 'pending' AND payment_status = 'unpaid' AND payment_due_at_ms < {now}",
    },
];

/// Looks at the data of this module for the doctor.
pub fn examiner(db: Db) -> Arc<dyn Examiner> {
    Arc::new(Books { db })
}

struct Books {
    db: Db,
}

#[async_trait]
impl Examiner for Books {
    fn db(&self) -> &Db {
        &self.db
    }

    async fn checks(&self) -> Result<Vec<Check>, AnyError> {
        Ok(checks(&self.db).await?)
    }

    async fn open_work(&self) -> Result<Vec<OpenWork>, AnyError> {
        let mut found = open_plumbing(&self.db).await?;
        found.extend(look_for(&self.db, OPEN).await?);
        Ok(found)
    }
}

pub(crate) async fn checks(db: &Db) -> Result<Vec<Check>, DbErr> {
    let mut checks = vec![
        Check::new(
            "orders.one_order_per_cart",
            "a cart becomes at most one order",
            violations(db, ONE_ORDER_PER_CART, "orders of its cart", "allowed").await?,
        ),
        Check::new(
            "orders.lines_add_up",
            "the lines of an order add up to its total",
            violations(db, LINES_ADD_UP, "in total", "by its lines").await?,
        ),
        Check::new(
            "orders.refunded_within_total",
            "no order is refunded more than its total",
            violations(db, REFUNDED_WITHIN_TOTAL, "refunded", "in total").await?,
        ),
        Check::new(
            "orders.status_fits_payment",
            "a captured order is not pending, a cancelled one is not being paid, and refunds show in the status",
            violations(db, STATUS_FITS_PAYMENT, "pending", "paid").await?,
        ),
        Check::new(
            "orders.stock_fits_status",
            "an order holds stock while it is pending, confirmed or processing, and only then",
            violations(db, STOCK_FITS_STATUS, "should hold stock", "does").await?,
        ),
        Check::new(
            "orders.one_order_per_key",
            "a key that was answered with an order has that order, and no other key and no open one has it",
            violations(db, KEYS_FIT_ORDERS, "answered with it", "written").await?,
        ),
        payments_end_in_time(db).await?,
        unpaid_expire_in_time(db).await?,
        undone_in_time(db).await?,
    ];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}

async fn payments_end_in_time(db: &Db) -> Result<Check, DbErr> {
    let before = db.system().now().minus(PAYMENT_BOUND);
    let stuck = orders::being_paid_since(db.reader(), before, MAX_VIOLATIONS).await?;
    Ok(Check::new(
        "orders.payments_end_in_time",
        "no order is being paid for more than ten minutes",
        stuck.iter().map(|id| format!("order {id}")).collect(),
    ))
}

async fn unpaid_expire_in_time(db: &Db) -> Result<Check, DbErr> {
    let before = db.system().now().minus(EXPIRY_BOUND);
    let overdue = orders::overdue(db.reader(), before, MAX_VIOLATIONS).await?;
    Ok(Check::new(
        "orders.unpaid_expire_in_time",
        "an order that nobody pays is cancelled five minutes after its time at the latest",
        overdue.iter().map(|id| format!("order {id}")).collect(),
    ))
}

async fn undone_in_time(db: &Db) -> Result<Check, DbErr> {
    let before = db.system().now().minus(UNDO_BOUND);
    let abandoned = abandoned_reservations::before(db.reader(), before, MAX_VIOLATIONS).await?;
    let reactivating = orders::reactivating_since(db.reader(), before, MAX_VIOLATIONS).await?;
    let abandoned = abandoned.iter().map(|row| format!("abandoned reservation {}", row.reservation_id));
    let reactivating = reactivating.iter().map(|(order, _)| format!("reactivation of order {order}"));
    Ok(Check::new(
        "orders.undone_in_time",
        "stock of placements and reactivations that came to nothing is released within five minutes",
        abandoned.chain(reactivating).collect(),
    ))
}

async fn violations(db: &Db, sql: &str, left: &str, right: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(db.backend(), format!("{}{MAX_VIOLATIONS}", speak(db, sql)));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows
        .iter()
        .map(|row| format!("{}: {} {left}, {} {right}", row.subject, row.left_side, row.right_side))
        .collect())
}
