//! The schema of `inventory`.

use platform::migration::SqlMigration;
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![stock(), refused_movements()]
}

/// Changes of stock that were refused: a late twin of the call must not make them.
fn refused_movements() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0003_refused_movements",
        up: "
            CREATE TABLE refused_movements (
                id {uuid} NOT NULL PRIMARY KEY,
                at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX refused_movements_by_age ON refused_movements (at_ms);
        ",
        down: "DROP TABLE refused_movements;",
    })
}

fn stock() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0002_stock",
        up: "
            CREATE TABLE stock (
                id {uuid} NOT NULL PRIMARY KEY,
                sku TEXT NOT NULL UNIQUE CHECK (length(sku) BETWEEN 1 AND 64),
                on_hand {bigint} NOT NULL CHECK (on_hand BETWEEN 0 AND 1000000000),
                reserved {bigint} NOT NULL DEFAULT 0,
                low_stock_threshold {bigint} NOT NULL CHECK (low_stock_threshold >= 0),
                version {bigint} NOT NULL DEFAULT 1,
                updated_at_ms {bigint} NOT NULL,
                CONSTRAINT reserved_within_on_hand CHECK (reserved >= 0 AND reserved <= on_hand)
            ) {strict};
            CREATE INDEX stock_low ON stock (sku) WHERE on_hand - reserved <= low_stock_threshold;

            CREATE TABLE movements (
                id {uuid} NOT NULL PRIMARY KEY,
                stock_id {uuid} NOT NULL REFERENCES stock (id),
                kind TEXT NOT NULL CHECK (kind IN ('opening', 'set', 'adjusted', 'shipped')),
                change {bigint} NOT NULL CHECK (change <> 0 OR kind = 'opening'),
                on_hand_after {bigint} NOT NULL CHECK (on_hand_after >= 0),
                reason TEXT NOT NULL,
                order_id {uuid},
                actor_id {uuid},
                at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX movements_of_stock ON movements (stock_id, id);

            CREATE TABLE reservations (
                id {uuid} NOT NULL PRIMARY KEY,
                order_id {uuid} NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('held', 'released', 'shipped')),
                created_at_ms {bigint} NOT NULL,
                ended_at_ms {bigint},
                CHECK ((state = 'held') = (ended_at_ms IS NULL))
            ) {strict};
            CREATE INDEX reservations_held ON reservations (created_at_ms) WHERE state = 'held';
            CREATE INDEX reservations_of_order ON reservations (order_id);

            CREATE TABLE reservation_lines (
                reservation_id {uuid} NOT NULL REFERENCES reservations (id),
                stock_id {uuid} NOT NULL REFERENCES stock (id),
                quantity {bigint} NOT NULL CHECK (quantity > 0),
                PRIMARY KEY (reservation_id, stock_id)
            ) {strict};
            CREATE INDEX reservation_lines_of_stock ON reservation_lines (stock_id);
        ",
        down: "DROP TABLE reservation_lines; DROP TABLE reservations; DROP TABLE movements; DROP TABLE stock;",
    })
}
