//! The schema of `catalog`.

use platform::migration::SqlMigration;
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
///
/// `name_key` and `search_text` are folded to lower case by the program, as the two databases do not agree on the case
/// of letters beyond ASCII; `name_key` is bytes, so that both sort it alike. Every list is of products on sale or of
/// retired ones, hence each of its indexes begins with `active`, and ends with `id`, which breaks ties.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![products(), stock_changes(), keys_of_stock_changes()]
}

fn products() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0002_products",
        up: "
            CREATE TABLE products (
                id {uuid} NOT NULL PRIMARY KEY,
                sku TEXT NOT NULL UNIQUE CHECK (length(sku) BETWEEN 1 AND 64),
                slug TEXT NOT NULL UNIQUE CHECK (length(slug) BETWEEN 1 AND 200),
                name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
                name_key {bytes} NOT NULL,
                description TEXT CHECK (length(description) BETWEEN 1 AND 10000),
                category TEXT NOT NULL CHECK (length(category) BETWEEN 1 AND 100),
                price_minor {bigint} NOT NULL,
                currency TEXT NOT NULL CHECK (length(currency) = 3),
                active {bool} NOT NULL,
                attributes {json} NOT NULL,
                image_url TEXT CHECK (length(image_url) BETWEEN 1 AND 2000),
                search_text TEXT NOT NULL,
                version {bigint} NOT NULL DEFAULT 1 CHECK (version >= 1),
                created_at_ms {bigint} NOT NULL,
                updated_at_ms {bigint} NOT NULL,
                CONSTRAINT sku_upper_case CHECK (sku = upper(sku)),
                CONSTRAINT price_in_range CHECK (price_minor BETWEEN 0 AND 100000000)
            ) {strict};
            CREATE INDEX products_by_name ON products (active, name_key, id);
            CREATE INDEX products_by_price ON products (active, price_minor, id);
            CREATE INDEX products_by_age ON products (active, created_at_ms, id);
            CREATE INDEX products_of_category_by_name ON products (active, category, name_key, id);
            CREATE INDEX products_of_category_by_price ON products (active, category, price_minor, id);
            CREATE INDEX products_of_category_by_age ON products (active, category, created_at_ms, id);
        ",
        down: "DROP TABLE products;",
    })
}

fn stock_changes() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0003_stock_changes",
        up: "
            -- What inventory was asked for under an Idempotency-Key, until the outcome is known.
            CREATE TABLE stock_changes (
                movement_id {uuid} NOT NULL PRIMARY KEY,
                sku TEXT NOT NULL,
                change {bigint} NOT NULL,
                reason TEXT NOT NULL,
                actor_id {uuid},
                created_at_ms {bigint} NOT NULL
            ) {strict};
        ",
        down: "DROP TABLE stock_changes;",
    })
}

fn keys_of_stock_changes() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0004_keys_of_stock_changes",
        up: "ALTER TABLE stock_changes ADD COLUMN api_key_id {uuid};",
        down: "ALTER TABLE stock_changes DROP COLUMN api_key_id;",
    })
}
