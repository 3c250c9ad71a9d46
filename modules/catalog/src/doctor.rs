//! What must be true of the catalogue, checked on the live database.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::Currency;
use platform::db::Db;
use platform::doctor::{Examiner, OpenQuery, OpenWork, SAGA_BOUND, look_for, open_plumbing, speak};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::domain::product::MAX_PRICE_MINOR;

#[derive(FromQueryResult)]
struct Violation {
    subject: String,
    detail: String,
}

const UPPER_CASE: &str = "
    SELECT sku AS subject, 'is not in upper case' AS detail
    FROM products WHERE sku <> upper(sku) ORDER BY sku LIMIT ";

const UNIQUE: &str = "
    SELECT upper(sku) AS subject, CAST(COUNT(*) AS TEXT) || ' products' AS detail
    FROM products GROUP BY upper(sku) HAVING COUNT(*) > 1 ORDER BY upper(sku) LIMIT ";

const OPEN: &[OpenQuery] = &[OpenQuery {
    kind: "stock_change",
    waits_for: "inventory, to say what became of a change of stock",
    advice: "see whether inventory answers; the worker of catalog asks it again then, and nothing moves twice",
    sql: "SELECT {text:movement_id} AS id, CAST(change AS TEXT) || ' of ' || sku AS what, created_at_ms AS since_ms,
            created_at_ms AS due_ms, CAST(NULL AS TEXT) AS last_error FROM stock_changes",
}];

/// Looks at the data of this module for the doctor.
pub fn examiner(db: Db, shop: Currency) -> Arc<dyn Examiner> {
    Arc::new(Books { db, shop })
}

struct Books {
    db: Db,
    shop: Currency,
}

#[async_trait]
impl Examiner for Books {
    fn db(&self) -> &Db {
        &self.db
    }

    async fn checks(&self) -> Result<Vec<Check>, AnyError> {
        Ok(checks(&self.db, self.shop).await?)
    }

    async fn open_work(&self) -> Result<Vec<OpenWork>, AnyError> {
        let mut found = open_plumbing(&self.db).await?;
        found.extend(look_for(&self.db, OPEN).await?);
        Ok(found)
    }
}

pub(crate) async fn checks(db: &Db, shop: Currency) -> Result<Vec<Check>, DbErr> {
    // A currency is three ASCII letters, so it cannot break out of the literal.
    let prices = format!(
        "SELECT sku AS subject, CAST(price_minor AS TEXT) || ' ' || currency AS detail FROM products
         WHERE price_minor < 0 OR price_minor > {MAX_PRICE_MINOR} OR currency <> '{shop}' ORDER BY sku LIMIT "
    );
    let mut checks = vec![
        Check::new(
            "catalog.skus_in_upper_case",
            "every SKU is in upper case",
            violations(db, UPPER_CASE).await?,
        ),
        stock_changes_end(db).await?,
        Check::new("catalog.skus_unique", "a SKU names one product", violations(db, UNIQUE).await?),
        Check::new(
            "catalog.prices_in_range",
            "every price is 0 to 1,000,000.00 in the shop's currency",
            violations(db, &prices).await?,
        ),
    ];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}

async fn stock_changes_end(db: &Db) -> Result<Check, DbErr> {
    let before_ms = db.system().now().minus(SAGA_BOUND).ms();
    let late = format!(
        "SELECT {{text:movement_id}} AS subject, CAST(change AS TEXT) || ' of ' || sku AS detail FROM stock_changes
         WHERE created_at_ms < {before_ms} ORDER BY created_at_ms LIMIT "
    );
    Ok(Check::new(
        "catalog.stock_changes_end",
        "the outcome of every change of stock is known within five minutes",
        violations(db, &late).await?,
    ))
}

async fn violations(db: &Db, sql: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(db.backend(), format!("{}{MAX_VIOLATIONS}", speak(db, sql)));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows.iter().map(|row| format!("{}: {}", row.subject, row.detail)).collect())
}
