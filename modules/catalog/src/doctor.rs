//! What must be true of the catalogue, checked on the live database.

use kernel::Currency;
use platform::db::Db;
use platform::module::{Check, MAX_VIOLATIONS};
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

async fn violations(db: &Db, sql: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(db.backend(), format!("{sql}{MAX_VIOLATIONS}"));
    let rows = Violation::find_by_statement(statement).all(db.reader()).await?;
    Ok(rows.iter().map(|row| format!("{}: {}", row.subject, row.detail)).collect())
}
