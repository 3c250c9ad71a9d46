//! What must be true of the stock, checked on the live database by single statements, each of which sees one instant.

use std::sync::Arc;

use async_trait::async_trait;
use platform::db::Db;
use platform::doctor::{Examiner, OpenWork, open_plumbing};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::{DbErr, FromQueryResult, Statement};

#[derive(FromQueryResult)]
struct Violation {
    subject: String,
    left_side: i64,
    right_side: i64,
}

const RESERVED_WITHIN_ON_HAND: &str = "
    SELECT sku AS subject, reserved AS left_side, on_hand AS right_side
    FROM stock WHERE reserved < 0 OR reserved > on_hand ORDER BY sku LIMIT ";

const RESERVATIONS_ADD_UP: &str = "
    SELECT s.sku AS subject, s.reserved AS left_side, CAST(COALESCE(h.held, 0) AS BIGINT) AS right_side
    FROM stock s LEFT JOIN (
        SELECT l.stock_id, SUM(l.quantity) AS held FROM reservation_lines l
        JOIN reservations r ON r.id = l.reservation_id AND r.state = 'held' GROUP BY l.stock_id
    ) h ON h.stock_id = s.id
    WHERE s.reserved <> COALESCE(h.held, 0) ORDER BY s.sku LIMIT ";

const LEDGER_ADDS_UP: &str = "
    SELECT s.sku AS subject, s.on_hand AS left_side, CAST(COALESCE(m.moved, 0) AS BIGINT) AS right_side
    FROM stock s LEFT JOIN (SELECT stock_id, SUM(change) AS moved FROM movements GROUP BY stock_id) m
        ON m.stock_id = s.id
    WHERE s.on_hand <> COALESCE(m.moved, 0) ORDER BY s.sku LIMIT ";

const SHIPMENTS_IN_THE_LEDGER: &str = "
    SELECT s.sku AS subject, CAST(SUM(b.shipped) AS BIGINT) AS left_side, CAST(SUM(b.moved) AS BIGINT) AS right_side
    FROM (
        SELECT l.stock_id, r.order_id, l.quantity AS shipped, 0 AS moved FROM reservation_lines l
        JOIN reservations r ON r.id = l.reservation_id AND r.state = 'shipped'
        UNION ALL
        SELECT stock_id, order_id, 0 AS shipped, -change AS moved FROM movements WHERE kind = 'shipped'
    ) b JOIN stock s ON s.id = b.stock_id
    GROUP BY s.sku, b.order_id HAVING SUM(b.shipped) <> SUM(b.moved) ORDER BY s.sku LIMIT ";

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
            "inventory.reserved_within_on_hand",
            "0 <= reserved <= on_hand for every SKU",
            violations(db, RESERVED_WITHIN_ON_HAND, "reserved", "on hand").await?,
        ),
        Check::new(
            "inventory.reservations_add_up",
            "the open reservations add up to reserved",
            violations(db, RESERVATIONS_ADD_UP, "reserved", "held by reservations").await?,
        ),
        Check::new(
            "inventory.ledger_adds_up",
            "the movement ledger adds up to on_hand",
            violations(db, LEDGER_ADDS_UP, "on hand", "by the ledger").await?,
        ),
        Check::new(
            "inventory.shipments_are_in_the_ledger",
            "what the shipped reservations of an order took out of the house is in the movement ledger under that order, once",
            violations(db, SHIPMENTS_IN_THE_LEDGER, "shipped", "by the ledger").await?,
        ),
    ];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}

async fn violations(db: &Db, sql: &str, left: &str, right: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(db.backend(), format!("{sql}{MAX_VIOLATIONS}"));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows
        .iter()
        .map(|row| format!("{}: {} {left}, {} {right}", row.subject, row.left_side, row.right_side))
        .collect())
}
