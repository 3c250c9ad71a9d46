//! What must be true of the orders, checked on the live database by single statements, each of which sees one instant.

use std::time::Duration;

use platform::db::Db;
use platform::module::{Check, MAX_VIOLATIONS};
use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::store::{abandoned_reservations, orders};

/// A payment ends within seconds; after this long its module has forgotten it.
const PAYMENT_BOUND: Duration = Duration::from_secs(600);
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
        payments_end_in_time(db).await?,
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
    let statement = Statement::from_string(db.backend(), format!("{sql}{MAX_VIOLATIONS}"));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows
        .iter()
        .map(|row| format!("{}: {} {left}, {} {right}", row.subject, row.left_side, row.right_side))
        .collect())
}
