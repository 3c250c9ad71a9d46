//! Schema changes as SQL that reads the same for both databases, but for a few type names.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

/// One step of a schema, up and down.
///
/// The SQL may use these names, which become the database's own:
///
/// | name | PostgreSQL | SQLite |
/// |---|---|---|
/// | `{uuid}` | `UUID` | `BLOB` |
/// | `{json}` | `JSONB` | `TEXT` |
/// | `{bigint}` | `BIGINT` | `INTEGER` |
/// | `{bool}` | `BOOLEAN` | `INTEGER` |
/// | `{bytes}` | `BYTEA` | `BLOB` |
/// | `{serial}` | `BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY` | `INTEGER PRIMARY KEY AUTOINCREMENT` |
/// | `{strict}` (after the closing bracket of a table) | | `STRICT` |
pub struct SqlMigration {
    /// Sorts by time: `m0001_plumbing`.
    pub name: &'static str,
    pub up: &'static str,
    pub down: &'static str,
}

impl MigrationName for SqlMigration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SqlMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.up).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.down).await
    }

    /// On SQLite too, where the default is none: a step that a power failure leaves half done could never be applied.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A step that the two databases take in different ways, with what only one of them has. The names of [`SqlMigration`] may be used.
pub struct DialectMigration {
    pub name: &'static str,
    pub postgres: UpAndDown,
    pub sqlite: UpAndDown,
}

/// How a step is taken, and taken back.
pub struct UpAndDown {
    pub up: &'static str,
    pub down: &'static str,
}

impl DialectMigration {
    fn on(&self, backend: DbBackend) -> &UpAndDown {
        match backend {
            DbBackend::Sqlite => &self.sqlite,
            _ => &self.postgres,
        }
    }
}

impl MigrationName for DialectMigration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for DialectMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.on(manager.get_connection().get_database_backend()).up).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.on(manager.get_connection().get_database_backend()).down).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A step that lets rows only be added to a table: from then on the database itself refuses to change or delete any.
pub struct AppendOnly {
    pub name: &'static str,
    /// One that an earlier step has made.
    pub table: &'static str,
}

impl MigrationName for AppendOnly {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AppendOnly {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = self.table;
        run(
            manager,
            &match manager.get_connection().get_database_backend() {
                DbBackend::Sqlite => format!(
                    "CREATE TRIGGER {table}_unchanged BEFORE UPDATE ON {table}
                    BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END;
                CREATE TRIGGER {table}_undeleted BEFORE DELETE ON {table}
                    BEGIN SELECT RAISE(ABORT, 'rows of {table} are never deleted'); END;"
                ),
                _ => format!(
                    "CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'rows of {table} are never changed or deleted'; END $$;
                CREATE TRIGGER {table}_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
                    FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only();"
                ),
            },
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = self.table;
        run(
            manager,
            &match manager.get_connection().get_database_backend() {
                DbBackend::Sqlite => {
                    format!("DROP TRIGGER {table}_unchanged; DROP TRIGGER {table}_undeleted;")
                }
                _ => format!(
                    "DROP TRIGGER {table}_unchanged ON {table}; DROP FUNCTION {table}_is_append_only();"
                ),
            },
        )
        .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let sql = speak(sql, connection.get_database_backend());
    connection.execute_unprepared(&sql).await.map(|_| ())
}

/// Replaces the type names of [`SqlMigration`] by those of a database.
pub fn speak(sql: &str, backend: DbBackend) -> String {
    let names: [(&str, &str); 7] = match backend {
        DbBackend::Sqlite => [
            ("{uuid}", "BLOB"),
            ("{json}", "TEXT"),
            ("{bigint}", "INTEGER"),
            ("{bool}", "INTEGER"),
            ("{bytes}", "BLOB"),
            ("{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
            ("{strict}", "STRICT"),
        ],
        _ => [
            ("{uuid}", "UUID"),
            ("{json}", "JSONB"),
            ("{bigint}", "BIGINT"),
            ("{bool}", "BOOLEAN"),
            ("{bytes}", "BYTEA"),
            ("{serial}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
            ("{strict}", ""),
        ],
    };
    names.iter().fold(sql.to_owned(), |sql, (name, own)| sql.replace(name, own))
}

/// The tables that every module has for its events and idempotency keys.
pub fn plumbing() -> Box<dyn MigrationTrait> {
    Box::new(SqlMigration {
        name: "m0001_plumbing",
        up: "
            CREATE TABLE outbox (
                seq {serial},
                event_id {uuid} NOT NULL UNIQUE,
                event_type TEXT NOT NULL,
                aggregate_id {uuid} NOT NULL,
                payload {json} NOT NULL,
                trace_id TEXT,
                occurred_at_ms {bigint} NOT NULL,
                claimed_until_ms {bigint} NOT NULL DEFAULT 0,
                attempts {bigint} NOT NULL DEFAULT 0 CHECK (attempts >= 0),
                last_error TEXT,
                published_at_ms {bigint},
                dead_at_ms {bigint},
                CHECK (published_at_ms IS NULL OR dead_at_ms IS NULL)
            ) {strict};
            CREATE INDEX outbox_pending ON outbox (seq) WHERE published_at_ms IS NULL AND dead_at_ms IS NULL;
            CREATE INDEX outbox_pending_by_aggregate ON outbox (aggregate_id, seq)
                WHERE published_at_ms IS NULL AND dead_at_ms IS NULL;
            CREATE INDEX outbox_published ON outbox (published_at_ms) WHERE published_at_ms IS NOT NULL;
            CREATE TABLE inbox (
                event_id {uuid} NOT NULL,
                handler TEXT NOT NULL,
                handled_at_ms {bigint} NOT NULL,
                PRIMARY KEY (event_id, handler)
            ) {strict};
            CREATE INDEX inbox_by_age ON inbox (handled_at_ms);
            CREATE TABLE idempotency_keys (
                principal TEXT NOT NULL,
                route TEXT NOT NULL,
                idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
                request_hash TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('open', 'done')),
                resource_id {uuid} NOT NULL,
                outcome {json},
                created_at_ms {bigint} NOT NULL,
                lease_until_ms {bigint} NOT NULL,
                PRIMARY KEY (principal, route, idempotency_key),
                CHECK ((state = 'done') = (outcome IS NOT NULL))
            ) {strict};
            CREATE UNIQUE INDEX idempotency_keys_resource ON idempotency_keys (resource_id);
            CREATE INDEX idempotency_keys_open ON idempotency_keys (lease_until_ms) WHERE state = 'open';
            CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_ms);
        ",
        down: "DROP TABLE idempotency_keys; DROP TABLE inbox; DROP TABLE outbox;",
    })
}
