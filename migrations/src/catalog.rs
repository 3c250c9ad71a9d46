//! The schema of `catalog`.

use platform::migration::{DialectMigration, SqlMigration, UpAndDown};
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
///
/// `name_key` and `search_text` are folded to lower case by the program, as the two databases do not agree on the case
/// of letters beyond ASCII; `name_key` is bytes, so that both sort it alike. Every list is of products on sale or of
/// retired ones, hence each of its indexes begins with `active`, and ends with `id`, which breaks ties.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![products(), stock_changes(), keys_of_stock_changes(), trigrams_of_products(), digits_of_products()]
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

/// What finds the products that have a word, by the parts of three letters in `search_text`.
///
/// PostgreSQL: an index of `pg_trgm`, wherever that was installed. Without it the shop works, and reads every product for a rare word.
/// An update of a price writes to every index; what an index of this kind puts aside for later is kept short, as each search reads it.
///
/// SQLite: a table of FTS5 that holds no texts of its own. It names rows by numbers, and those of `products` are free to change (`VACUUM`), so they
/// have numbers that stay. Products are never deleted.
fn trigrams_of_products() -> Box<dyn MigrationTrait> {
    Box::new(DialectMigration {
        name: "m0005_trigrams_of_products",
        postgres: UpAndDown {
            up: "
                DO $$
                DECLARE home name;
                BEGIN
                    SELECT n.nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                    WHERE e.extname = 'pg_trgm' AND has_schema_privilege(n.oid, 'USAGE');
                    IF home IS NULL THEN
                        RAISE WARNING 'searches for rare words read every product: there is no pg_trgm that this role may use';
                    ELSE
                        EXECUTE format('CREATE INDEX IF NOT EXISTS products_by_text ON products USING gin (search_text %I.gin_trgm_ops) '
                            'WITH (gin_pending_list_limit = 256)', home);
                    END IF;
                END $$;
            ",
            down: "DROP INDEX IF EXISTS products_by_text;",
        },
        sqlite: UpAndDown {
            up: "
                CREATE TABLE product_numbers (
                    number INTEGER PRIMARY KEY,
                    product_id BLOB NOT NULL UNIQUE REFERENCES products (id)
                ) STRICT;
                CREATE VIRTUAL TABLE product_texts USING fts5 (
                    text, content = '', contentless_delete = 1, detail = 'none', tokenize = 'trigram case_sensitive 1'
                );
                INSERT INTO product_numbers (product_id) SELECT id FROM products;
                INSERT INTO product_texts (rowid, text)
                    SELECT number, search_text FROM product_numbers JOIN products ON id = product_id;
                CREATE TRIGGER product_text_written AFTER INSERT ON products BEGIN
                    INSERT INTO product_numbers (product_id) VALUES (new.id);
                    INSERT INTO product_texts (rowid, text)
                        SELECT number, new.search_text FROM product_numbers WHERE product_id = new.id;
                END;
                CREATE TRIGGER product_text_changed AFTER UPDATE OF search_text ON products
                WHEN new.search_text <> old.search_text BEGIN
                    UPDATE product_texts SET text = new.search_text
                    WHERE rowid = (SELECT number FROM product_numbers WHERE product_id = new.id);
                END;
            ",
            down: "
                DROP TRIGGER product_text_changed;
                DROP TRIGGER product_text_written;
                DROP TABLE product_texts;
                DROP TABLE product_numbers;
            ",
        },
    })
}

/// What finds the products that have a number, by the parts of five digits in `search_text`: a trigram of digits is in every hundredth or tenth of
/// a million numbers, and an index of those reads a long list for each. No extension is needed. SQLite has the trigrams alone.
///
/// The function names nothing outside of `pg_catalog`, so that a dump can be restored into an empty `search_path`. It may be there already, and
/// somebody else's (OPERATING, Search).
fn digits_of_products() -> Box<dyn MigrationTrait> {
    Box::new(DialectMigration {
        name: "m0006_digits_of_products",
        postgres: UpAndDown {
            up: "
                DO $do$ BEGIN
                    IF to_regprocedure('digit_parts(text)') IS NULL THEN
                        CREATE FUNCTION digit_parts(content text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
                            SELECT coalesce(array_agg(DISTINCT substr(run[1], place, 5)), '{}')
                            FROM regexp_matches(content, '[0-9]{5,}', 'g') AS run, generate_series(1, length(run[1]) - 4) AS place
                        $$;
                    END IF;
                END $do$;
                CREATE INDEX IF NOT EXISTS products_by_digits ON products USING gin (digit_parts(search_text))
                    WITH (gin_pending_list_limit = 256);
            ",
            down: "
                DROP INDEX IF EXISTS products_by_digits;
                DROP FUNCTION IF EXISTS digit_parts(text);
            ",
        },
        sqlite: UpAndDown { up: "", down: "" },
    })
}
