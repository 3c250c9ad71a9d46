//! The schema of `payments`, and of the little bank behind the provider `sandbox` (tables `sandbox_*`).

use platform::migration::SqlMigration;
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(SqlMigration { name: "m0002_payments", up: PAYMENTS, down: PAYMENTS_DOWN }),
        Box::new(SqlMigration { name: "m0003_sandbox", up: SANDBOX, down: SANDBOX_DOWN }),
    ]
}

const PAYMENTS: &str = "
    CREATE TABLE intents (
        id {uuid} NOT NULL PRIMARY KEY,
        order_id {uuid} NOT NULL,
        token TEXT NOT NULL,
        capture {bool} NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'ending')),
        created_at_ms {bigint} NOT NULL,
        lease_until_ms {bigint} NOT NULL
    ) {strict};
    CREATE INDEX intents_by_lease ON intents (lease_until_ms);
    CREATE INDEX intents_of_order ON intents (order_id);

    CREATE TABLE payments (
        id {uuid} NOT NULL PRIMARY KEY,
        order_id {uuid} NOT NULL,
        user_id {uuid} NOT NULL,
        provider TEXT NOT NULL,
        charge TEXT,
        status TEXT NOT NULL,
        currency TEXT NOT NULL CHECK (length(currency) = 3),
        amount_minor {bigint} NOT NULL CHECK (amount_minor > 0),
        authorized_minor {bigint} NOT NULL DEFAULT 0,
        captured_minor {bigint} NOT NULL DEFAULT 0,
        refunded_minor {bigint} NOT NULL DEFAULT 0,
        refund_pending_minor {bigint} NOT NULL DEFAULT 0,
        release_due {bool} NOT NULL DEFAULT FALSE,
        called_off_at_ms {bigint},
        created_at_ms {bigint} NOT NULL,
        updated_at_ms {bigint} NOT NULL,
        CONSTRAINT refunded_within_captured_within_authorized CHECK (
            0 <= refunded_minor AND refunded_minor <= captured_minor
            AND captured_minor <= authorized_minor AND authorized_minor <= amount_minor),
        CONSTRAINT refunds_under_way_within_captured CHECK (
            0 <= refund_pending_minor AND refunded_minor + refund_pending_minor <= captured_minor),
        CONSTRAINT status_fits_amounts CHECK (
            (status IN ('pending', 'failed') AND authorized_minor = 0)
            OR (status IN ('authorized', 'voided') AND authorized_minor > 0 AND captured_minor = 0)
            OR (status = 'captured' AND captured_minor > 0 AND refunded_minor = 0)
            OR (status = 'partially_refunded' AND refunded_minor > 0 AND refunded_minor < captured_minor)
            OR (status = 'refunded' AND captured_minor > 0 AND refunded_minor = captured_minor)),
        CONSTRAINT held_money_has_a_charge CHECK (authorized_minor = 0 OR charge IS NOT NULL)
    ) {strict};
    CREATE UNIQUE INDEX payments_one_live ON payments (order_id)
        WHERE status NOT IN ('failed', 'voided', 'refunded');
    CREATE INDEX payments_of_order ON payments (order_id, id);
    CREATE INDEX payments_of_user ON payments (user_id, id);
    CREATE INDEX payments_by_status ON payments (status, id);
    CREATE INDEX payments_release_due ON payments (id) WHERE release_due;

    CREATE TABLE attempts (
        id {uuid} NOT NULL PRIMARY KEY,
        payment_id {uuid} NOT NULL REFERENCES payments (id),
        kind TEXT NOT NULL CHECK (kind IN ('authorize', 'charge', 'capture', 'void', 'refund')),
        amount_minor {bigint} NOT NULL CHECK (amount_minor > 0),
        provider_key TEXT NOT NULL UNIQUE,
        token TEXT,
        state TEXT NOT NULL CHECK (state IN ('open', 'succeeded', 'failed')),
        failure TEXT,
        reason TEXT,
        actor_id {uuid},
        undo {bool} NOT NULL DEFAULT FALSE,
        created_at_ms {bigint} NOT NULL,
        lease_until_ms {bigint} NOT NULL,
        ended_at_ms {bigint},
        CHECK ((state = 'open') = (ended_at_ms IS NULL)),
        CHECK ((state = 'failed') = (failure IS NOT NULL)),
        CHECK (token IS NULL OR state = 'open')
    ) {strict};
    CREATE INDEX attempts_of_payment ON attempts (payment_id);
    CREATE INDEX attempts_open ON attempts (lease_until_ms) WHERE state = 'open';
    CREATE INDEX attempts_open_by_age ON attempts (created_at_ms) WHERE state = 'open';
    CREATE UNIQUE INDEX attempts_one_at_a_time ON attempts (payment_id) WHERE state = 'open' AND kind <> 'refund';
    CREATE UNIQUE INDEX attempts_charged_once ON attempts (payment_id) WHERE kind IN ('authorize', 'charge');
    CREATE UNIQUE INDEX attempts_hold_ended_once ON attempts (payment_id)
        WHERE state = 'succeeded' AND kind IN ('charge', 'capture', 'void');

    CREATE TABLE ledger (
        id {uuid} NOT NULL PRIMARY KEY,
        transaction_id {uuid} NOT NULL REFERENCES attempts (id),
        payment_id {uuid} NOT NULL REFERENCES payments (id),
        account TEXT NOT NULL CHECK (account IN ('customer', 'held', 'shop')),
        side TEXT NOT NULL CHECK (side IN ('debit', 'credit')),
        amount_minor {bigint} NOT NULL CHECK (amount_minor > 0),
        currency TEXT NOT NULL,
        at_ms {bigint} NOT NULL,
        UNIQUE (transaction_id, account, side)
    ) {strict};
    CREATE INDEX ledger_of_payment ON ledger (payment_id);

    CREATE TABLE webhooks_seen (
        provider TEXT NOT NULL,
        webhook_id TEXT NOT NULL,
        at_ms {bigint} NOT NULL,
        PRIMARY KEY (provider, webhook_id)
    ) {strict};
    CREATE INDEX webhooks_seen_by_age ON webhooks_seen (at_ms);
";

const PAYMENTS_DOWN: &str = "
    DROP TABLE webhooks_seen; DROP TABLE ledger; DROP TABLE attempts; DROP TABLE payments; DROP TABLE intents;
";

const SANDBOX: &str = "
    CREATE TABLE sandbox_charges (
        id {uuid} NOT NULL PRIMARY KEY,
        currency TEXT NOT NULL,
        amount_minor {bigint} NOT NULL CHECK (amount_minor > 0),
        held_minor {bigint} NOT NULL,
        taken_minor {bigint} NOT NULL,
        returned_minor {bigint} NOT NULL DEFAULT 0,
        CHECK (held_minor >= 0 AND taken_minor >= 0 AND held_minor + taken_minor <= amount_minor),
        CHECK (returned_minor >= 0 AND returned_minor <= taken_minor)
    ) {strict};

    CREATE TABLE sandbox_operations (
        provider_key TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('authorize', 'charge', 'capture', 'void', 'refund', 'abandon')),
        charge_id {uuid},
        amount_minor {bigint} NOT NULL CHECK (amount_minor >= 0),
        currency TEXT NOT NULL,
        refusal TEXT,
        at_ms {bigint} NOT NULL
    ) {strict};
    CREATE INDEX sandbox_operations_of_charge ON sandbox_operations (charge_id);
";

const SANDBOX_DOWN: &str = "DROP TABLE sandbox_operations; DROP TABLE sandbox_charges;";
