//! The schema of `users`.

use platform::migration::SqlMigration;
use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(SqlMigration {
        name: "m0002_users",
        up: "
            CREATE TABLE users (
                id {uuid} NOT NULL PRIMARY KEY,
                email TEXT NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
                username TEXT UNIQUE CHECK (username = lower(username) AND length(username) BETWEEN 3 AND 64),
                name TEXT CHECK (length(name) BETWEEN 1 AND 200),
                role TEXT NOT NULL CHECK (role IN ('customer', 'admin')),
                active {bool} NOT NULL,
                preferences {json} NOT NULL,
                version {bigint} NOT NULL DEFAULT 1,
                created_at_ms {bigint} NOT NULL,
                updated_at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX users_by_role ON users (role, id);

            CREATE TABLE addresses (
                id {uuid} NOT NULL PRIMARY KEY,
                user_id {uuid} NOT NULL REFERENCES users (id),
                address {json} NOT NULL,
                created_at_ms {bigint} NOT NULL
            ) {strict};
            CREATE INDEX addresses_of_user ON addresses (user_id, id);
        ",
        down: "DROP TABLE addresses; DROP TABLE users;",
    })]
}
