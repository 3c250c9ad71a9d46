//! The schema of `cart`.

use platform::migration::SqlMigration;
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(SqlMigration {
        name: "m0002_carts",
        up: "
            CREATE TABLE carts (
                id {uuid} NOT NULL PRIMARY KEY,
                user_id {uuid},
                token_hash TEXT UNIQUE CHECK (length(token_hash) = 64),
                state TEXT NOT NULL CHECK (state IN ('open', 'ordered', 'merged')),
                version {bigint} NOT NULL CHECK (version >= 0),
                order_id {uuid} UNIQUE,
                merged_into {uuid},
                created_at_ms {bigint} NOT NULL,
                touched_at_ms {bigint} NOT NULL,
                closed_at_ms {bigint},
                CONSTRAINT one_owner CHECK ((user_id IS NULL) <> (token_hash IS NULL)),
                CONSTRAINT ordered_has_order CHECK ((state = 'ordered') = (order_id IS NOT NULL)),
                CONSTRAINT ordered_by_customer CHECK (state <> 'ordered' OR user_id IS NOT NULL),
                CONSTRAINT merged_has_target CHECK ((state = 'merged') = (merged_into IS NOT NULL)),
                CONSTRAINT merged_from_guest CHECK (state <> 'merged' OR token_hash IS NOT NULL),
                CONSTRAINT closed_has_time CHECK ((state = 'open') = (closed_at_ms IS NULL))
            ) {strict};
            CREATE UNIQUE INDEX carts_one_open_per_customer ON carts (user_id) WHERE state = 'open';
            CREATE INDEX carts_of_customer ON carts (user_id, version);
            CREATE INDEX carts_guests_by_touch ON carts (touched_at_ms) WHERE user_id IS NULL AND state = 'open';
            CREATE INDEX carts_closed ON carts (closed_at_ms) WHERE closed_at_ms IS NOT NULL;

            CREATE TABLE cart_lines (
                cart_id {uuid} NOT NULL REFERENCES carts (id) ON DELETE CASCADE,
                sku TEXT NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
                quantity {bigint} NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
                added_at_ms {bigint} NOT NULL,
                PRIMARY KEY (cart_id, sku)
            ) {strict};

            CREATE TABLE checkouts (
                user_id {uuid} NOT NULL,
                idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
                request_hash TEXT NOT NULL,
                cart_id {uuid} NOT NULL REFERENCES carts (id),
                lines {json} NOT NULL,
                outcome TEXT NOT NULL CHECK (outcome IN ('unknown', 'refused', 'declined')),
                created_at_ms {bigint} NOT NULL,
                touched_at_ms {bigint} NOT NULL,
                PRIMARY KEY (user_id, idempotency_key)
            ) {strict};
            CREATE INDEX checkouts_of_cart ON checkouts (cart_id);
            CREATE INDEX checkouts_by_touch ON checkouts (touched_at_ms);
        ",
        down: "DROP TABLE checkouts; DROP TABLE cart_lines; DROP TABLE carts;",
    })]
}
