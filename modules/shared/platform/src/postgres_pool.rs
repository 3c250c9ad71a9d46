//! The connections of a module to PostgreSQL.
//!
//! A statement outside a transaction costs one round trip and nothing else: a connection whose last answer was read to its end goes back
//! as it is. One that was left in the middle of something, because whoever used it went away or the server did, is dropped: the server ends
//! the statement that it is at, if only by its timeout, and undoes what was open.
//!
//! The server bounds how long it works on a statement. Where it cannot answer any more, as behind a network that has gone, we give up
//! [`GRACE`] later: a connection that waits for ever would be one less for everybody.
//!
//! Rejected: sqlx's own pool. It asks the server after every use whether the connection still works, in a task of its own: twice the round
//! trips and wake-ups of a shop whose statements take tens of microseconds (`docs/PERFORMANCE.md`).

use std::sync::Weak;
use std::time::Duration;

use deadpool::managed::{
    self, Metrics, Object, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
};
use futures_util::lock::Mutex;
use sea_orm::sea_query::{Value, Values};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor};
use sea_orm::{ConnAcquireErr, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sea_query_sqlx::SqlxValues;
use std::io::ErrorKind;
use std::sync::Arc;

use crate::db::DbOptions;
use crate::system::System;

/// A connection that nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// A connection this old is replaced: its server process has collected plans and memory.
const OLD: Duration = Duration::from_secs(30 * 60);
/// How often idle connections are looked for.
const REAP_EVERY: Duration = Duration::from_secs(15);
/// A rollback that takes longer is left to the server, which undoes what is open when the connection ends.
const ROLLBACK_WITHIN: Duration = Duration::from_secs(5);
/// How long after the server's own bound of a statement its answer is no longer waited for.
const GRACE: Duration = Duration::from_secs(5);
/// The first pause between two tries to connect; it doubles, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Opens connections.
struct Opener {
    options: PgConnectOptions,
    /// For a statement, and for its way.
    answer_within: Duration,
    /// Whose runtime the connections belong to, whoever is the first to need one.
    system: System,
}

/// An open connection.
struct Link {
    connection: PgConnection,
    /// Whether the last answer was read to its end and the server has not said good-bye.
    at_rest: bool,
    answer_within: Duration,
}

impl managed::Manager for Opener {
    type Type = Link;
    type Error = sqlx::Error;

    /// A server that is starting, or just restarting, is waited for: the pool bounds how long.
    async fn create(&self) -> Result<Link, sqlx::Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.system.inside(PgConnection::connect_with(&self.options)).await {
                Ok(connection) => {
                    return Ok(Link { connection, at_rest: true, answer_within: self.answer_within });
                }
                Err(error) if !is_starting(&error) => return Err(error),
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = pause.saturating_mul(2).min(MAX_PAUSE);
        }
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if link.at_rest && metrics.age() < OLD { Ok(()) } else { Err(RecycleError::message("worn out")) }
    }
}

/// Nobody listens yet, or who listens is not ready (SQLSTATE 57P03) or has no connection to spare (53300).
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

impl Link {
    /// Notes whether the connection can be used again. Set before a statement is sent, so that one whose user goes away
    /// meanwhile is not.
    fn begin(&mut self) -> &mut PgConnection {
        self.at_rest = false;
        &mut self.connection
    }

    fn end<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.at_rest = match &outcome {
            Ok(_) => true,
            // The server has refused a statement, and stays, unless it says that it does not.
            Err(sqlx::Error::Database(error)) => error
                .try_downcast_ref::<PgDatabaseError>()
                .is_some_and(|error| error.severity() == PgSeverity::Error),
            Err(_) => false,
        };
        outcome
    }

    async fn execute(&mut self, statement: Statement) -> Result<ExecResult, DbErr> {
        let (sql, values) = parts(statement);
        let query = sqlx::query_with(AssertSqlSafe(sql), values);
        let outcome = answered(self.answer_within, query.execute(self.begin())).await;
        self.end(outcome).map(ExecResult::from).map_err(exec_error)
    }

    async fn execute_unprepared(&mut self, sql: &str) -> Result<ExecResult, DbErr> {
        let outcome = answered(self.answer_within, self.begin().execute(AssertSqlSafe(sql.to_owned()))).await;
        self.end(outcome).map(ExecResult::from).map_err(exec_error)
    }

    async fn query_one(&mut self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let (sql, values) = parts(statement);
        let query = sqlx::query_with(AssertSqlSafe(sql), values);
        let outcome = answered(self.answer_within, query.fetch_optional(self.begin())).await;
        self.end(outcome).map(|row| row.map(QueryResult::from)).map_err(query_error)
    }

    async fn query_all(&mut self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let (sql, values) = parts(statement);
        let query = sqlx::query_with(AssertSqlSafe(sql), values);
        let outcome = answered(self.answer_within, query.fetch_all(self.begin())).await;
        let rows = self.end(outcome).map_err(query_error)?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }
}

async fn answered<T>(
    within: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_elapsed| Err(sqlx::Error::Io(ErrorKind::TimedOut.into()));
    tokio::time::timeout(within, answer).await.unwrap_or_else(silent)
}

/// Limits become a part of the text: as a parameter the server takes one for a tenth of what there is when it compares a plan for all
/// values with one for these, finds the first too dear, and plans again each time
/// (<https://www.postgresql.org/docs/current/sql-prepare.html>, notes).
fn parts(statement: Statement) -> (String, SqlxValues) {
    let Values(values) = statement.values.unwrap_or_else(|| Values(Vec::new()));
    let sql = statement.sql;
    if !values.iter().any(|value| matches!(value, Value::BigUnsigned(Some(_)))) {
        return (sql, SqlxValues(Values(values)));
    }
    let mut text = String::with_capacity(sql.len());
    let mut kept = Vec::with_capacity(values.len());
    // The new number of each parameter that has been met.
    let mut numbers = vec![0; values.len()];
    let mut pieces = sql.split('$');
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.len() - piece.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, rest) = piece.split_at(digits);
        let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match place.and_then(|place| Some((values.get(place)?, numbers.get_mut(place)?))) {
            Some((Value::BigUnsigned(Some(limit)), _)) if text.ends_with("LIMIT ") => {
                text.push_str(&limit.to_string());
            }
            Some((value, number)) => {
                if *number == 0 {
                    kept.push(value.clone());
                    *number = kept.len();
                }
                text.push('$');
                text.push_str(&number.to_string());
            }
            None => {
                text.push('$');
                text.push_str(number);
            }
        }
        text.push_str(rest);
    }
    (text, SqlxValues(Values(kept)))
}

fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// A connection in use. It goes back when it is dropped, if it is at rest.
struct Lent(Option<Object<Opener>>);

impl Lent {
    fn link(&mut self) -> Result<&mut Link, DbErr> {
        let gone = || DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed);
        self.0.as_deref_mut().ok_or_else(gone)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.0.take_if(|object| !object.at_rest) {
            // Now, and not when somebody comes for the next connection.
            drop(Object::take(object));
        }
    }
}

/// The connections of one module, to read and to write.
#[derive(Clone)]
pub(crate) struct PostgresPool {
    pool: Arc<managed::Pool<Opener>>,
    system: System,
}

impl PostgresPool {
    /// Opens nothing yet. `options` bound how long a request waits for its turn, and once more for the server to let it in.
    pub(crate) fn new(
        to_server: PgConnectOptions,
        options: &DbOptions,
        system: System,
    ) -> Result<Self, DbErr> {
        let mut config = PoolConfig::new(usize::try_from(options.max_connections).unwrap_or(usize::MAX));
        let within = Some(options.acquire_timeout);
        config.timeouts = Timeouts { wait: within, create: within, recycle: None };
        // The one that was used last is the warmest, and the others grow old and are closed.
        config.queue_mode = QueueMode::Lifo;
        let answer_within = options.statement_timeout.saturating_add(GRACE);
        let opener = Opener { options: to_server, answer_within, system: system.clone() };
        let pool = managed::Pool::builder(opener)
            .config(config)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| DbErr::Custom(error.to_string()))?;
        let pool = Arc::new(pool);
        tokio::spawn(reap(Arc::downgrade(&pool)));
        Ok(Self { pool, system })
    }

    async fn lend(&self) -> Result<Lent, DbErr> {
        let lent = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
            PoolError::Timeout(_) => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
            PoolError::Closed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => DbErr::Custom(error.to_string()),
        })?;
        Ok(Lent(Some(lent)))
    }

    pub(crate) async fn execute(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.lend().await?.link()?.execute(statement).await
    }

    pub(crate) async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.lend().await?.link()?.execute_unprepared(sql).await
    }

    pub(crate) async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.lend().await?.link()?.query_one(statement).await
    }

    pub(crate) async fn query_all(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.lend().await?.link()?.query_all(statement).await
    }

    /// Begins a transaction with this statement.
    pub(crate) async fn begin(&self, begin: &str) -> Result<PostgresTransaction, DbErr> {
        let mut lent = self.lend().await?;
        lent.link()?.execute_unprepared(begin).await?;
        Ok(PostgresTransaction { lent: Mutex::new(Some(lent)), system: self.system.clone() })
    }

    /// Says good-bye on every connection that is not in use; those that are end when they come back.
    pub(crate) async fn close(&self) {
        let idle = self.pool.retain(|_, _| false).removed;
        self.pool.close();
        for link in idle {
            // The server notices as well if it is not told.
            let _told = link.connection.close().await;
        }
    }
}

/// Closes idle connections until the pool is gone.
async fn reap(pool: Weak<managed::Pool<Opener>>) {
    loop {
        tokio::time::sleep(REAP_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        let idle = pool.retain(|_, metrics| metrics.last_used() < IDLE).removed;
        drop(pool);
        for link in idle {
            let _told = link.connection.close().await;
        }
    }
}

/// An open transaction. Dropping it rolls back, soon after.
pub(crate) struct PostgresTransaction {
    /// Empty once it has ended.
    lent: Mutex<Option<Lent>>,
    system: System,
}

impl PostgresTransaction {
    pub(crate) async fn execute(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        open(&mut *self.lent.lock().await)?.execute(statement).await
    }

    pub(crate) async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        open(&mut *self.lent.lock().await)?.execute_unprepared(sql).await
    }

    pub(crate) async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        open(&mut *self.lent.lock().await)?.query_one(statement).await
    }

    pub(crate) async fn query_all(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        open(&mut *self.lent.lock().await)?.query_all(statement).await
    }

    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        self.end("COMMIT").await
    }

    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &str) -> Result<(), DbErr> {
        let mut lent = self.lent.get_mut().take();
        let ended = open(&mut lent)?.execute_unprepared(how).await.map(|_| ());
        if ended.is_err()
            && let Ok(link) = open(&mut lent)
        {
            // Nobody knows what is open on it now.
            link.at_rest = false;
        }
        ended
    }
}

fn open(lent: &mut Option<Lent>) -> Result<&mut Link, DbErr> {
    let ended = || DbErr::Custom("the transaction has ended".to_owned());
    lent.as_mut().ok_or_else(ended)?.link()
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        let Some(mut lent) = self.lent.get_mut().take() else { return };
        let at_rest = lent.link().is_ok_and(|link| link.at_rest);
        if !at_rest {
            return;
        }
        self.system.detach(async move {
            let rolled_back = async { lent.link()?.execute_unprepared("ROLLBACK").await };
            // An error or silence leaves the connection not at rest, so it is dropped.
            let _gone = tokio::time::timeout(ROLLBACK_WITHIN, rolled_back).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::*;

    #[test]
    fn limits_become_text_and_what_is_left_is_numbered_anew() {
        for (sql, values, becomes, left) in [
            (
                "SELECT a FROM b WHERE c = $1 LIMIT $2",
                vec![7.into(), 21_u64.into()],
                "SELECT a FROM b WHERE c = $1 LIMIT 21",
                vec![7.into()],
            ),
            (
                "SELECT a FROM (SELECT a FROM b LIMIT $1) WHERE c = $2 AND d = $2 LIMIT $3 OFFSET $4",
                vec![500_u64.into(), "$1".into(), 21_u64.into(), 40_u64.into()],
                "SELECT a FROM (SELECT a FROM b LIMIT 500) WHERE c = $1 AND d = $1 LIMIT 21 OFFSET $2",
                vec!["$1".into(), 40_u64.into()],
            ),
            ("SELECT a FROM b LIMIT $1", vec!["21".into()], "SELECT a FROM b LIMIT $1", vec!["21".into()]),
            (
                "DO $do$ LIMIT $9 $do$, $1",
                vec![Value::from(21_u64)],
                "DO $do$ LIMIT $9 $do$, $1",
                vec![21_u64.into()],
            ),
        ] {
            let values: Vec<Value> = values;
            let (text, kept) = parts(Statement::from_sql_and_values(DbBackend::Postgres, sql, values));
            assert_eq!((text.as_str(), kept.0.0), (becomes, left));
        }
    }
}
