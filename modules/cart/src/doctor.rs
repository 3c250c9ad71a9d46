//! What must be true of the carts, checked on the live database by single statements, each of which sees one instant.

use std::sync::Arc;

use async_trait::async_trait;
use platform::db::Db;
use platform::doctor::{Examiner, OpenWork, open_plumbing};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::{DbErr, FromQueryResult, Statement};
use uuid::Uuid;

#[derive(FromQueryResult)]
struct Violation {
    subject: Uuid,
    number: i64,
}

const ONE_OPEN_PER_CUSTOMER: &str = "
    SELECT user_id AS subject, COUNT(*) AS number FROM carts
    WHERE state = 'open' AND user_id IS NOT NULL GROUP BY user_id HAVING COUNT(*) > 1 ORDER BY user_id LIMIT ";

const CLOSED_FOR_A_REASON: &str = "
    SELECT id AS subject, version AS number FROM carts
    WHERE (state = 'ordered') <> (order_id IS NOT NULL) OR (state = 'merged') <> (merged_into IS NOT NULL)
        OR (state = 'open') <> (closed_at_ms IS NULL)
    ORDER BY id LIMIT ";

const CLOSED_ARE_EMPTY: &str = "
    SELECT c.id AS subject, COUNT(*) AS number FROM carts c JOIN cart_lines l ON l.cart_id = c.id
    WHERE c.state <> 'open' GROUP BY c.id ORDER BY c.id LIMIT ";

const QUANTITIES_IN_RANGE: &str = "
    SELECT cart_id AS subject, quantity AS number FROM cart_lines
    WHERE quantity NOT BETWEEN 1 AND 10000 ORDER BY cart_id, sku LIMIT ";

const AT_MOST_100_LINES: &str = "
    SELECT cart_id AS subject, COUNT(*) AS number FROM cart_lines
    GROUP BY cart_id HAVING COUNT(*) > 100 ORDER BY cart_id LIMIT ";

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
        Ok(open_plumbing(&self.db).await?)
    }
}

pub(crate) async fn checks(db: &Db) -> Result<Vec<Check>, DbErr> {
    let mut checks = vec![
        Check::new(
            "cart.one_open_per_customer",
            "a customer has at most one open cart",
            violations(db, ONE_OPEN_PER_CUSTOMER, "customer", "open carts").await?,
        ),
        Check::new(
            "cart.closed_for_a_reason",
            "a closed cart has its order, or the cart it was merged into",
            violations(db, CLOSED_FOR_A_REASON, "cart", "is its version").await?,
        ),
        Check::new(
            "cart.closed_are_empty",
            "nothing is left in a closed cart",
            violations(db, CLOSED_ARE_EMPTY, "cart", "lines left").await?,
        ),
        Check::new(
            "cart.quantities_in_range",
            "a line holds 1 to 10,000 pieces",
            violations(db, QUANTITIES_IN_RANGE, "cart", "pieces on a line").await?,
        ),
        Check::new(
            "cart.at_most_100_lines",
            "a cart has at most 100 lines",
            violations(db, AT_MOST_100_LINES, "cart", "lines").await?,
        ),
    ];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}

async fn violations(db: &Db, sql: &str, of: &str, what: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(db.backend(), format!("{sql}{MAX_VIOLATIONS}"));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows.iter().map(|row| format!("{of} {}: {} {what}", row.subject, row.number)).collect())
}
