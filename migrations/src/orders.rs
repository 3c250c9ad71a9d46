//! The schema of `orders`.

use platform::migration::SqlMigration;
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![orders(), ended_payments()]
}

/// Payments that were refused or came to nothing: a late call must not begin them.
fn ended_payments() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0003_ended_payments",
        up: "
            CREATE TABLE ended_payments (
                payment_id {uuid} NOT NULL PRIMARY KEY,
                order_id {uuid} NOT NULL,
                at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX ended_payments_by_age ON ended_payments (at_ms);
        ",
        down: "DROP TABLE ended_payments;",
    })
}

fn orders() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0002_orders",
        up: "
            CREATE TABLE orders (
                id {uuid} NOT NULL PRIMARY KEY,
                number TEXT NOT NULL UNIQUE CHECK (length(number) BETWEEN 1 AND 64),
                user_id {uuid},
                customer_ref TEXT,
                status TEXT NOT NULL
                    CHECK (status IN ('pending', 'confirmed', 'processing', 'shipped', 'delivered', 'cancelled')),
                payment_status TEXT NOT NULL CHECK (payment_status IN
                    ('unpaid', 'in_progress', 'authorized', 'captured', 'partially_refunded', 'refunded')),
                payment_id {uuid},
                payment_begun_at_ms {bigint},
                payment_due_at_ms {bigint},
                total_minor {bigint} NOT NULL CHECK (total_minor >= 0),
                refunded_minor {bigint} NOT NULL DEFAULT 0,
                currency TEXT NOT NULL CHECK (length(currency) = 3),
                shipping_address {json},
                country TEXT,
                cart_id {uuid},
                reservation_id {uuid} UNIQUE,
                pending_reservation_id {uuid} UNIQUE,
                reactivating_since_ms {bigint},
                imported {bool} NOT NULL,
                version {bigint} NOT NULL DEFAULT 1,
                created_at_ms {bigint} NOT NULL,
                updated_at_ms {bigint} NOT NULL,
                CONSTRAINT one_order_per_cart UNIQUE (cart_id),
                CONSTRAINT refunded_within_total CHECK (refunded_minor >= 0 AND refunded_minor <= total_minor),
                CONSTRAINT placed_by_someone CHECK (imported OR user_id IS NOT NULL),
                CONSTRAINT paid_by_a_payment CHECK (imported OR (payment_status = 'unpaid') = (payment_id IS NULL)),
                CONSTRAINT being_paid_since CHECK ((payment_status = 'in_progress') = (payment_begun_at_ms IS NOT NULL)),
                CONSTRAINT not_cancelled_while_being_paid CHECK (status <> 'cancelled' OR payment_status <> 'in_progress'),
                CONSTRAINT holds_stock_until_it_leaves CHECK ((reservation_id IS NOT NULL) =
                    (NOT imported AND status IN ('pending', 'confirmed', 'processing'))),
                CONSTRAINT reactivated_from_cancelled CHECK (
                    (pending_reservation_id IS NULL) = (reactivating_since_ms IS NULL)
                    AND (pending_reservation_id IS NULL OR status = 'cancelled'))
            ) {strict};
            CREATE INDEX orders_by_time ON orders (created_at_ms, id);
            CREATE INDEX orders_of_user ON orders (user_id, created_at_ms, id);
            CREATE INDEX orders_by_status ON orders (status, created_at_ms, id);
            CREATE INDEX orders_unpaid ON orders (payment_due_at_ms)
                WHERE status = 'pending' AND payment_status = 'unpaid';
            CREATE INDEX orders_being_paid ON orders (payment_begun_at_ms) WHERE payment_status = 'in_progress';
            CREATE INDEX orders_being_reactivated ON orders (reactivating_since_ms)
                WHERE reactivating_since_ms IS NOT NULL;

            CREATE TABLE order_lines (
                order_id {uuid} NOT NULL REFERENCES orders (id),
                line_no {bigint} NOT NULL CHECK (line_no >= 1),
                sku TEXT NOT NULL CHECK (length(sku) BETWEEN 1 AND 64),
                product_id {uuid},
                name TEXT NOT NULL,
                quantity {bigint} NOT NULL CHECK (quantity >= 1),
                unit_price_minor {bigint} NOT NULL CHECK (unit_price_minor >= 0),
                line_total_minor {bigint} NOT NULL,
                PRIMARY KEY (order_id, line_no),
                CONSTRAINT line_total_is_the_product CHECK (line_total_minor = quantity * unit_price_minor)
            ) {strict};

            CREATE TABLE order_timeline (
                seq {serial},
                order_id {uuid} NOT NULL REFERENCES orders (id),
                kind TEXT NOT NULL,
                at_ms {bigint} NOT NULL,
                actor_id {uuid},
                from_status TEXT,
                to_status TEXT,
                data {json}
            ) {strict};
            CREATE INDEX order_timeline_of_order ON order_timeline (order_id, seq);

            -- Stock that may still be held for nothing, until inventory has confirmed its release.
            CREATE TABLE abandoned_reservations (
                reservation_id {uuid} NOT NULL PRIMARY KEY,
                order_id {uuid} NOT NULL,
                since_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX abandoned_reservations_by_age ON abandoned_reservations (since_ms);

            -- The order numbers that a running import has met, so that its memory does not grow with the file.
            CREATE TABLE import_numbers (
                run_id {uuid} NOT NULL,
                number TEXT NOT NULL,
                at_ms {bigint} NOT NULL,
                PRIMARY KEY (run_id, number)
            ) {strict};
            CREATE INDEX import_numbers_by_age ON import_numbers (at_ms);
        ",
        down: "
            DROP TABLE import_numbers;
            DROP TABLE abandoned_reservations;
            DROP TABLE order_timeline;
            DROP TABLE order_lines;
            DROP TABLE orders;
        ",
    })
}
