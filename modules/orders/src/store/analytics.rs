//! Sums over orders, computed by the database.

use kernel::{Currency, Timestamp};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};

/// Which orders count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Placed then or later.
    pub(crate) from: Timestamp,
    /// Placed before then.
    pub(crate) to: Timestamp,
    /// Sums are of one currency: the shop's.
    pub(crate) currency: Currency,
}

/// Orders of one status.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct StatusSum {
    pub status: String,
    pub orders: i64,
    /// Totals less refunds, minor units.
    pub revenue_minor: i64,
}

/// Orders of one day.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct DaySum {
    /// Days since the epoch.
    pub day: i64,
    pub orders: i64,
    pub revenue_minor: i64,
}

/// Orders of one country.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct CountrySum {
    pub country: Option<String>,
    pub orders: i64,
    pub revenue_minor: i64,
}

/// Sales of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct ProductSum {
    pub sku: String,
    pub name: String,
    pub quantity: i64,
    pub revenue_minor: i64,
}

/// Days of one answer at most: a hundred years.
const MOST_DAYS: u64 = 36_600;
/// Countries of one answer at most, those with the most revenue. Customers write them as they like.
const MOST_COUNTRIES: u64 = 500;
/// Products of one answer.
const TOP_PRODUCTS: u64 = 10;

/// SUM of a BIGINT is NUMERIC in PostgreSQL; these sums fit 64 bits as their parts do.
const COUNT_AND_REVENUE: &str = "COUNT(*) AS orders, \
    CAST(COALESCE(SUM(o.total_minor - o.refunded_minor), 0) AS BIGINT) AS revenue_minor";
const IN_SPAN: &str = "o.created_at_ms >= $1 AND o.created_at_ms < $2 AND o.currency = $3";
const SOLD: &str = "o.status <> 'cancelled'";

pub(crate) async fn by_status(conn: &impl ConnectionTrait, span: Span) -> Result<Vec<StatusSum>, DbErr> {
    let sql = format!(
        "SELECT o.status AS status, {COUNT_AND_REVENUE} FROM orders o WHERE {IN_SPAN} GROUP BY o.status"
    );
    StatusSum::find_by_statement(statement(conn, span, sql)).all(conn).await
}

/// Days with orders that count, oldest first.
pub(crate) async fn by_day(conn: &impl ConnectionTrait, span: Span) -> Result<Vec<DaySum>, DbErr> {
    let sql = format!(
        "SELECT o.created_at_ms / 86400000 AS day, {COUNT_AND_REVENUE} FROM orders o \
         WHERE {IN_SPAN} AND {SOLD} GROUP BY o.created_at_ms / 86400000 ORDER BY 1 LIMIT {MOST_DAYS}"
    );
    DaySum::find_by_statement(statement(conn, span, sql)).all(conn).await
}

/// Countries by revenue, the most first.
pub(crate) async fn by_country(conn: &impl ConnectionTrait, span: Span) -> Result<Vec<CountrySum>, DbErr> {
    let sql = format!(
        "SELECT o.country AS country, {COUNT_AND_REVENUE} FROM orders o \
         WHERE {IN_SPAN} AND {SOLD} GROUP BY o.country ORDER BY 3 DESC, 1 LIMIT {MOST_COUNTRIES}"
    );
    CountrySum::find_by_statement(statement(conn, span, sql)).all(conn).await
}

/// The products with the most revenue, refunds not deducted: they belong to orders, not to lines.
pub(crate) async fn top_products(conn: &impl ConnectionTrait, span: Span) -> Result<Vec<ProductSum>, DbErr> {
    let sql = format!(
        "SELECT l.sku AS sku, MAX(l.name) AS name, CAST(SUM(l.quantity) AS BIGINT) AS quantity, \
         CAST(SUM(l.line_total_minor) AS BIGINT) AS revenue_minor \
         FROM orders o JOIN order_lines l ON l.order_id = o.id \
         WHERE {IN_SPAN} AND {SOLD} GROUP BY l.sku ORDER BY 4 DESC, 1 LIMIT {TOP_PRODUCTS}"
    );
    ProductSum::find_by_statement(statement(conn, span, sql)).all(conn).await
}

fn statement(conn: &impl ConnectionTrait, span: Span, sql: String) -> Statement {
    let values: [Value; 3] = [span.from.ms().into(), span.to.ms().into(), span.currency.as_str().into()];
    Statement::from_sql_and_values(conn.get_database_backend(), sql, values)
}
