//! One process migrates a module at a time.
//!
//! On PostgreSQL the lock is an advisory one that ends with its transaction, so that neither an error nor a lost
//! connection leaves it behind, and no pool hands it to someone else. Rejected: a lock of the session on a connection
//! of its own, for which a pool of one connection has no room. SQLite has one writer anyway; there the lock is the
//! transaction.

use std::time::{Duration, Instant};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, RuntimeErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

/// Between two tries to take a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(20);

/// Begins the transaction of a migration, when no other process migrates this module.
pub(crate) async fn take(
    patience: Duration,
    module: &str,
    connection: &DatabaseConnection,
) -> Result<DatabaseTransaction, DbErr> {
    let taken = match connection.get_database_backend() {
        DbBackend::Sqlite => on_sqlite(patience, connection).await,
        _ => on_postgres(patience, module, connection).await,
    };
    taken.map_err(|error| match is_held(&error) {
        true => DbErr::Custom(format!(
            "another process has been migrating {module} for {} s; see what it waits for, then try again",
            patience.as_secs()
        )),
        false => error,
    })
}

async fn on_postgres(
    patience: Duration,
    module: &str,
    connection: &DatabaseConnection,
) -> Result<DatabaseTransaction, DbErr> {
    // Whoever waited for the lock must see what its holder has done: no snapshot from before.
    let options = TransactionOptions {
        isolation_level: Some(IsolationLevel::ReadCommitted),
        ..TransactionOptions::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    // A step may take as long as it needs, unlike a request's statement.
    let lock = format!(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {}; \
         SELECT pg_advisory_xact_lock(hashtextextended('souk migrates {module}', 0))",
        patience.as_millis()
    );
    transaction.execute_unprepared(&lock).await?;
    Ok(transaction)
}

/// The driver waits for the writer for as long as `Db` has told it; that is a bound for requests and may be too short
/// here.
async fn on_sqlite(
    patience: Duration,
    connection: &DatabaseConnection,
) -> Result<DatabaseTransaction, DbErr> {
    let begun = Instant::now();
    loop {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        match connection.begin_with_options(options).await {
            Err(error) if is_held(&error) && begun.elapsed() < patience => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// PostgreSQL: the lock was not to be had in time. SQLite: busy, of whichever kind (the kind is in the higher bits).
fn is_held(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(cause))
    | DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    let Some(code) = cause.as_database_error().and_then(|cause| cause.code()) else { return false };
    code == "55P03" || code.parse::<u32>().is_ok_and(|code| code & 0xff == 5)
}
