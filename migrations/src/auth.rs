//! The schema of `auth`.

use platform::migration::{AppendOnly, SqlMigration};
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        credentials_and_sessions(),
        key_states(),
        session_families(),
        mailed_tokens(),
        api_keys(),
        second_factors(),
        audit_log(),
        audit_log_is_append_only(),
        api_keys_keep_their_role(),
    ]
}

/// Keys by which machines act for their owners.
fn api_keys() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0006_api_keys",
        up: "
            CREATE TABLE api_keys (
                id {uuid} NOT NULL PRIMARY KEY,
                user_id {uuid} NOT NULL REFERENCES credentials (user_id),
                -- A living key holds one of its owner's numbered slots, so that an owner can never have more.
                slot {bigint} NOT NULL CONSTRAINT twenty_a_user CHECK (slot BETWEEN 0 AND 19),
                name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
                scopes TEXT NOT NULL CHECK (length(scopes) BETWEEN 1 AND 1000),
                secret_hash {bytes} NOT NULL CHECK (length(secret_hash) = 32),
                created_at_ms {bigint} NOT NULL,
                expires_at_ms {bigint} NOT NULL,
                last_used_at_ms {bigint} CONSTRAINT used_to_the_minute CHECK (last_used_at_ms % 60000 = 0),
                revoked_at_ms {bigint},
                CONSTRAINT lives_a_year_at_most
                    CHECK (expires_at_ms > created_at_ms AND expires_at_ms <= created_at_ms + 31536000000)
            ) {strict};
            CREATE UNIQUE INDEX api_keys_slots ON api_keys (user_id, slot) WHERE revoked_at_ms IS NULL;
            CREATE INDEX api_keys_by_end ON api_keys (expires_at_ms);
        ",
        down: "DROP TABLE api_keys;",
    })
}

/// What the owner of a key was when it was made: a key never grows with them. Of those that are there it is not known.
fn api_keys_keep_their_role() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0010_api_keys_keep_their_role",
        up: "
            ALTER TABLE api_keys ADD COLUMN made_as TEXT NOT NULL DEFAULT 'admin'
                CONSTRAINT made_as_somebody CHECK (made_as IN ('customer', 'admin'));
        ",
        down: "ALTER TABLE api_keys DROP COLUMN made_as;",
    })
}

/// Keys that no longer sign and still verify. SQLite cannot change a CHECK, so the table is made anew.
fn key_states() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0003_key_states",
        up: "
            CREATE TABLE signing_keys_with_states (
                kid TEXT NOT NULL PRIMARY KEY CHECK (length(kid) BETWEEN 1 AND 64),
                state TEXT NOT NULL CHECK (state IN ('active', 'retiring', 'retired')),
                private_key {bytes},
                public_key {bytes} NOT NULL CHECK (length(public_key) = 32),
                created_at_ms {bigint} NOT NULL,
                longest_life_s {bigint} NOT NULL CHECK (longest_life_s >= 0),
                retires_at_ms {bigint},
                -- Who does not sign has nothing to sign with.
                CONSTRAINT only_the_active_key_signs CHECK ((state = 'active') = (private_key IS NOT NULL)),
                CONSTRAINT others_run_out CHECK ((state = 'active') = (retires_at_ms IS NULL))
            ) {strict};
            INSERT INTO signing_keys_with_states
                SELECT kid, state, CASE WHEN state = 'active' THEN private_key END, public_key, created_at_ms, 0,
                    CASE WHEN state = 'active' THEN NULL ELSE created_at_ms END
                FROM signing_keys;
            DROP TABLE signing_keys;
            ALTER TABLE signing_keys_with_states RENAME TO signing_keys;
            CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';
        ",
        down: "
            CREATE TABLE signing_keys_before (
                kid TEXT NOT NULL PRIMARY KEY CHECK (length(kid) BETWEEN 1 AND 64),
                state TEXT NOT NULL CHECK (state IN ('active', 'retired')),
                private_key {bytes} NOT NULL,
                public_key {bytes} NOT NULL CHECK (length(public_key) = 32),
                created_at_ms {bigint} NOT NULL
            ) {strict};
            INSERT INTO signing_keys_before
                SELECT kid, state, private_key, public_key, created_at_ms FROM signing_keys WHERE state = 'active';
            DROP TABLE signing_keys;
            ALTER TABLE signing_keys_before RENAME TO signing_keys;
            CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';
        ",
    })
}

/// Authenticator apps, and the codes for whoever has lost one.
fn second_factors() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0007_second_factors",
        up: "
            CREATE TABLE second_factors (
                user_id {uuid} NOT NULL PRIMARY KEY REFERENCES credentials (user_id),
                sealed_secret {bytes} NOT NULL CHECK (length(sealed_secret) BETWEEN 40 AND 255),
                confirmed_at_ms {bigint},
                last_step {bigint} NOT NULL CHECK (last_step >= 0),
                created_at_ms {bigint} NOT NULL
            ) {strict};
            CREATE TABLE recovery_codes (
                user_id {uuid} NOT NULL REFERENCES second_factors (user_id) ON DELETE CASCADE,
                code_hash {bytes} NOT NULL CHECK (length(code_hash) = 32),
                PRIMARY KEY (user_id, code_hash)
            ) {strict};
        ",
        down: "DROP TABLE recovery_codes; DROP TABLE second_factors;",
    })
}

/// What is mailed to prove who owns an address, and which clients an owner has logged in from.
fn mailed_tokens() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0005_mailed_tokens",
        up: "
            ALTER TABLE credentials ADD COLUMN password_version {bigint} NOT NULL DEFAULT 1 CHECK (password_version >= 1);
            ALTER TABLE credentials ADD COLUMN password_changed_at_ms {bigint};
            CREATE TABLE verified_emails (
                user_id {uuid} NOT NULL PRIMARY KEY,
                verified_at_ms {bigint} NOT NULL
            ) {strict};
            -- The primary key makes an older token of the same purpose void.
            CREATE TABLE mailed_tokens (
                user_id {uuid} NOT NULL,
                purpose TEXT NOT NULL CHECK (purpose IN ('password_reset', 'email_verification')),
                token_hash {bytes} NOT NULL UNIQUE CHECK (length(token_hash) = 32),
                expires_at_ms {bigint} NOT NULL,
                PRIMARY KEY (user_id, purpose)
            ) {strict};
            CREATE INDEX mailed_tokens_by_expiry ON mailed_tokens (expires_at_ms);
            CREATE TABLE known_clients (
                client_hash {bytes} NOT NULL PRIMARY KEY CHECK (length(client_hash) = 32),
                seen_at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX known_clients_by_age ON known_clients (seen_at_ms);
        ",
        down: "
            DROP TABLE known_clients;
            DROP TABLE mailed_tokens;
            DROP TABLE verified_emails;
            ALTER TABLE credentials DROP COLUMN password_changed_at_ms;
            ALTER TABLE credentials DROP COLUMN password_version;
        ",
    })
}

/// What a repeated refresh is answered from, and what people know their sessions by.
fn session_families() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0004_session_families",
        up: "
            ALTER TABLE sessions ADD COLUMN user_agent TEXT CHECK (length(user_agent) BETWEEN 1 AND 200);
            ALTER TABLE sessions ADD COLUMN client_address TEXT CHECK (length(client_address) BETWEEN 1 AND 64);
            ALTER TABLE spent_refresh_tokens ADD COLUMN spent_at_ms {bigint} NOT NULL DEFAULT 0;
            ALTER TABLE spent_refresh_tokens ADD COLUMN successor_nonce {bytes} CHECK (length(successor_nonce) = 32);
            -- Only the token that was spent last can be answered once more: a session has one lineage.
            CREATE UNIQUE INDEX spent_refresh_tokens_one_successor ON spent_refresh_tokens (session_id)
                WHERE successor_nonce IS NOT NULL;
        ",
        down: "
            DROP INDEX spent_refresh_tokens_one_successor;
            ALTER TABLE spent_refresh_tokens DROP COLUMN successor_nonce;
            ALTER TABLE spent_refresh_tokens DROP COLUMN spent_at_ms;
            ALTER TABLE sessions DROP COLUMN client_address;
            ALTER TABLE sessions DROP COLUMN user_agent;
        ",
    })
}

fn credentials_and_sessions() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0002_credentials_and_sessions",
        up: "
            CREATE TABLE signing_keys (
                kid TEXT NOT NULL PRIMARY KEY CHECK (length(kid) BETWEEN 1 AND 64),
                state TEXT NOT NULL CHECK (state IN ('active', 'retired')),
                private_key {bytes} NOT NULL,
                public_key {bytes} NOT NULL CHECK (length(public_key) = 32),
                created_at_ms {bigint} NOT NULL
            ) {strict};
            -- Processes that start at once on an empty database agree on one key through this.
            CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';

            CREATE TABLE credentials (
                user_id {uuid} NOT NULL PRIMARY KEY,
                password_hash TEXT NOT NULL CHECK (length(password_hash) BETWEEN 1 AND 255),
                created_at_ms {bigint} NOT NULL,
                changed_at_ms {bigint} NOT NULL
            ) {strict};

            CREATE TABLE sessions (
                id {uuid} NOT NULL PRIMARY KEY,
                user_id {uuid} NOT NULL REFERENCES credentials (user_id),
                role TEXT NOT NULL CHECK (role IN ('customer', 'admin')),
                created_at_ms {bigint} NOT NULL,
                refreshed_at_ms {bigint} NOT NULL,
                access_as_of_ms {bigint} NOT NULL,
                tokens_expire_at_ms {bigint} NOT NULL,
                refresh_hash {bytes} NOT NULL UNIQUE CHECK (length(refresh_hash) = 32),
                refresh_expires_at_ms {bigint} NOT NULL,
                ended_at_ms {bigint},
                end_reason TEXT CHECK (end_reason IN ('logout', 'reuse', 'access_changed')),
                CHECK ((ended_at_ms IS NULL) = (end_reason IS NULL))
            ) {strict};
            CREATE INDEX sessions_of_user ON sessions (user_id, id);
            CREATE INDEX sessions_live_by_expiry ON sessions (refresh_expires_at_ms) WHERE ended_at_ms IS NULL;
            CREATE INDEX sessions_ended_by_expiry ON sessions (tokens_expire_at_ms) WHERE ended_at_ms IS NOT NULL;

            CREATE TABLE spent_refresh_tokens (
                token_hash {bytes} NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
                session_id {uuid} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
                expires_at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX spent_refresh_tokens_of_session ON spent_refresh_tokens (session_id);
            CREATE INDEX spent_refresh_tokens_by_expiry ON spent_refresh_tokens (expires_at_ms);

            CREATE TABLE user_revocations (
                user_id {uuid} NOT NULL PRIMARY KEY,
                issued_until_ms {bigint} NOT NULL,
                tokens_expire_at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX user_revocations_by_expiry ON user_revocations (tokens_expire_at_ms);

            -- A failure takes one of the numbered slots of its login name, so that a name can never have more.
            CREATE TABLE login_failures (
                login_hash {bytes} NOT NULL CHECK (length(login_hash) = 32),
                slot {bigint} NOT NULL CHECK (slot >= 0),
                failed_at_ms {bigint} NOT NULL,
                PRIMARY KEY (login_hash, slot)
            ) {strict};
            CREATE INDEX login_failures_by_age ON login_failures (failed_at_ms);
        ",
        down: "
            DROP TABLE login_failures;
            DROP TABLE user_revocations;
            DROP TABLE spent_refresh_tokens;
            DROP TABLE sessions;
            DROP TABLE credentials;
            DROP TABLE signing_keys;
        ",
    })
}

/// Who did what. Each filter of the list has its index, in the order of the list.
fn audit_log() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0008_audit_log",
        up: "
            CREATE TABLE audit_log (
                -- Of what came as an event, the event's.
                id {uuid} NOT NULL PRIMARY KEY,
                at_ms {bigint} NOT NULL,
                by_kind TEXT NOT NULL CHECK (by_kind IN ('user', 'api_key', 'operator', 'shop')),
                user_id {uuid},
                api_key_id {uuid},
                action TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 64),
                target_kind TEXT NOT NULL CHECK (length(target_kind) BETWEEN 1 AND 64),
                target TEXT NOT NULL CHECK (length(target) BETWEEN 1 AND 200),
                details {json} NOT NULL,
                trace_id TEXT,
                CONSTRAINT somebody_is_named CHECK ((by_kind IN ('user', 'api_key')) = (user_id IS NOT NULL)),
                CONSTRAINT a_machine_has_a_key CHECK ((by_kind = 'api_key') = (api_key_id IS NOT NULL))
            ) {strict};
            CREATE INDEX audit_log_by_age ON audit_log (at_ms, id);
            CREATE INDEX audit_log_of_user ON audit_log (user_id, at_ms, id);
            CREATE INDEX audit_log_of_action ON audit_log (action, at_ms, id);
            CREATE INDEX audit_log_of_target ON audit_log (target, at_ms, id);
        ",
        down: "DROP TABLE audit_log;",
    })
}

fn audit_log_is_append_only() -> Box<dyn MigrationTrait> {
    Box::new(AppendOnly { name: "m0009_audit_log_is_append_only", table: "audit_log" })
}
