//! A module's own database: a file (SQLite) or a schema (PostgreSQL) that no other module can see.
//!
//! SQLite has one writer connection and a pool of readers; every writing transaction begins IMMEDIATE, because a
//! deferred one that upgrades fails at once when another writes, whatever the busy timeout
//! (<https://www.sqlite.org/lang_transaction.html>, 2.2). PostgreSQL has one pool for both, and sea-orm's own for migrations.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use contracts::event::Event;
use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement,
};
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use crate::batch::{Batch, Ran};
use crate::connection::{Connection, Transaction, Way};
#[cfg(feature = "failpoints")]
use crate::failpoint::{self, Point};
use crate::group_commit::{GroupCommit, Shape};
use crate::outbox;
use crate::postgres;
use crate::problem::Outage;
use crate::rabbit::{Expected, Handled};
use crate::system::System;

/// Where a module's data lives.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// `<folder>/<module>.sqlite`.
    Sqlite { folder: PathBuf },
    /// A schema named after the module in this database, used as the role `souk_<module>` if the login may do that.
    Postgres { url: String },
}

/// Settings are logged; the password in the address is not.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { folder } => f.debug_struct("Sqlite").field("folder", folder).finish(),
            Self::Postgres { url } => f.debug_struct("Postgres").field("url", &masked(url)).finish(),
        }
    }
}

/// An address without its password. Rather too little of an odd address is left than too much.
pub fn masked(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = url.split_at(start);
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => match login.split_once(':') {
            Some((user, _)) => (format!("{user}:***@"), rest),
            None => (format!("{login}@"), rest),
        },
        None => (String::new(), rest),
    };
    let (server, query) = rest.split_once('?').map_or((rest, None), |(server, query)| (server, Some(query)));
    let Some(query) = query else {
        return format!("{scheme}{login}{server}");
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if key.to_lowercase().contains("password") => format!("{key}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{scheme}{login}{server}?{}", pairs.join("&"))
}

/// The password in an address.
pub fn password(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let in_login = rest.rsplit_once('@').and_then(|(login, _)| login.split_once(':')).map(|(_, word)| word);
    in_login.or_else(|| {
        let (_, query) = rest.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix("password="))
    })
}

/// How a module's database is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbOptions {
    pub location: Location,
    /// Connections of one module at most (SQLite: readers).
    pub max_connections: u32,
    /// How long a request waits for a connection before it is told to come back.
    pub acquire_timeout: Duration,
    /// How long PostgreSQL works on one statement before it gives up.
    pub statement_timeout: Duration,
    /// Whether a commit waits for the disk (SQLite `synchronous=FULL`). Off means that a power failure may lose the last commits,
    /// never the database. PostgreSQL is left as its server is set.
    pub durable: bool,
}

impl DbOptions {
    /// The usual bounds for a location.
    pub fn new(location: Location) -> Self {
        Self {
            location,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            durable: true,
        }
    }
}

/// A module's database.
#[derive(Clone)]
pub struct Db {
    module: &'static str,
    reader: Connection,
    writer: Connection,
    /// sea-orm's own way to the database, which its migrations want.
    orm: DatabaseConnection,
    system: System,
    signals: Arc<Signals>,
    groups: Arc<GroupCommit>,
    /// Whether nothing can be written through it.
    read_only: bool,
}

/// How commits and the relay tell each other.
struct Signals {
    emitted: Notify,
    /// The numbers of the events that have just left the outbox.
    relayed: broadcast::Sender<Arc<[i64]>>,
    /// Set if a broker carries the events: then it is others who say that they have handled one.
    handled: OnceLock<Arc<Handled>>,
}

/// Who is so many announcements behind looks into the outbox instead.
const ANNOUNCEMENTS: usize = 64;

impl Default for Signals {
    fn default() -> Self {
        Self {
            emitted: Notify::default(),
            relayed: broadcast::Sender::new(ANNOUNCEMENTS),
            handled: OnceLock::default(),
        }
    }
}

impl Db {
    /// Opens a module's database; creates the file or schema if there is none. Migrations are a separate step.
    pub async fn open(module: &'static str, options: &DbOptions, system: System) -> Result<Self, DbErr> {
        let (reader, writer, orm) = match &options.location {
            Location::Sqlite { folder } => {
                create_private_folder(folder)?;
                let path = folder.join(format!("{module}.sqlite"));
                // The writer comes first: it creates the file.
                let writer = connect_sqlite(sqlite_options(&path, options, 1), options).await?;
                let readers = sqlite_options(&path, options, options.max_connections);
                let reader = connect_sqlite(readers, options).await?;
                (Connection(Way::Sqlite(reader)), Connection(Way::Sqlite(writer.clone())), writer)
            }
            Location::Postgres { url } => {
                let (pool, orm) = postgres::open(module, url, options, &system).await?;
                let pool = Connection(Way::Postgres(pool));
                (pool.clone(), pool, orm)
            }
        };
        Ok(Self {
            module,
            reader,
            writer,
            orm,
            system,
            signals: Arc::default(),
            groups: Arc::default(),
            read_only: false,
        })
    }

    /// Opens a module's database so that nothing can be written through it: SQLite by the mode of its connections,
    /// PostgreSQL by making every transaction read-only. Nothing is created either: what is not there is an error.
    pub async fn open_read_only(
        module: &'static str,
        options: &DbOptions,
        system: System,
    ) -> Result<Self, DbErr> {
        let (reader, orm) = match &options.location {
            Location::Sqlite { folder } => {
                let path = folder.join(format!("{module}.sqlite"));
                let pool = connect_sqlite(sqlite_reading(&path, options), options).await?;
                (Connection(Way::Sqlite(pool.clone())), pool)
            }
            Location::Postgres { url } => {
                let (pool, orm) = postgres::open_read_only(module, url, options, &system).await?;
                (Connection(Way::Postgres(pool)), orm)
            }
        };
        Ok(Self {
            module,
            writer: reader.clone(),
            reader,
            orm,
            system,
            signals: Arc::default(),
            groups: Arc::default(),
            read_only: true,
        })
    }

    /// Whose database this is.
    pub fn module(&self) -> &'static str {
        self.module
    }

    /// Time, ids and detached work.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// For queries outside a transaction.
    pub fn reader(&self) -> &Connection {
        &self.reader
    }

    /// For migrations.
    pub fn orm(&self) -> &DatabaseConnection {
        &self.orm
    }

    /// For single statements that write.
    #[cfg_attr(feature = "failpoints", track_caller)]
    pub fn writer(&self) -> &Connection {
        #[cfg(feature = "failpoints")]
        {
            let caller = std::panic::Location::caller();
            failpoint::hit_now(Point::WriteBefore, || failpoint::place(self.module, caller));
        }
        &self.writer
    }

    /// Which database this is.
    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// Begins a transaction that writes. Dropping it rolls back.
    pub async fn begin(&self) -> Result<Tx, DbErr> {
        if self.read_only {
            return Err(self.reads_only());
        }
        let inner = self.writer.begin().await?;
        Ok(Tx { inner, db: self.clone(), emitted: Vec::new() })
    }

    /// A batch as a transaction of its own: begun, run and committed, unless it was refused. On PostgreSQL that is one round trip.
    #[cfg(not(feature = "failpoints"))]
    pub async fn commit(&self, batch: Batch) -> Result<Ran<Committed>, DbErr> {
        self.run_and_commit(None, batch).await
    }

    /// The same together with others of this shape that come at the same time ([`crate::group_commit`]). A row that two of them may change
    /// is named with [`Batch::contends_for`], or the second would be refused; rows that two of them insert under one key may meet.
    #[cfg(not(feature = "failpoints"))]
    pub async fn commit_with_others(&self, shape: Shape, batch: Batch) -> Result<Ran<Committed>, DbErr> {
        self.run_and_commit(Some(shape), batch).await
    }

    /// A batch as a transaction of its own. Not an `async fn`: only so it hears which use case commits.
    #[cfg(feature = "failpoints")]
    #[track_caller]
    pub fn commit(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<Ran<Committed>, DbErr>> + Send + use<'_> {
        self.commit_at(std::panic::Location::caller(), None, batch)
    }

    /// The same together with others.
    #[cfg(feature = "failpoints")]
    #[track_caller]
    pub fn commit_with_others(
        &self,
        shape: Shape,
        batch: Batch,
    ) -> impl Future<Output = Result<Ran<Committed>, DbErr>> + Send + use<'_> {
        self.commit_at(std::panic::Location::caller(), Some(shape), batch)
    }

    #[cfg(feature = "failpoints")]
    fn commit_at(
        &self,
        caller: &'static std::panic::Location<'static>,
        shape: Option<Shape>,
        batch: Batch,
    ) -> impl Future<Output = Result<Ran<Committed>, DbErr>> + Send + use<'_> {
        let place = failpoint::place(self.module, caller);
        Box::pin(async move {
            failpoint::hit(Point::CommitBefore, || place.clone()).await;
            let committed = self.run_and_commit(shape, batch).await?;
            failpoint::hit(Point::CommitAfter, || place).await;
            Ok(committed)
        })
    }

    async fn run_and_commit(&self, shape: Option<Shape>, batch: Batch) -> Result<Ran<Committed>, DbErr> {
        if self.read_only {
            return Err(self.reads_only());
        }
        let awaited = self.await_relay(batch.announced());
        let ran = match shape {
            Some(shape) => self.groups.commit(shape, batch, &self.writer, &self.system).await?,
            None if self.backend() == DbBackend::Postgres => batch.run(&self.writer).await?,
            None => {
                let tx = self.begin().await?;
                let ran = batch.run(&tx.inner).await?;
                match &ran {
                    Ran::Refused(_) => tx.inner.rollback().await?,
                    Ran::Done(_) => tx.inner.commit().await?,
                }
                ran
            }
        };
        Ok(match ran {
            Ran::Refused(place) => Ran::Refused(place),
            Ran::Done(done) => Ran::Done(Committed::woken(self.clone(), done.stored, awaited)),
        })
    }

    /// Begins to listen for what becomes of events, before the transaction commits: from then on one may be handled at any moment.
    fn await_relay(&self, events: impl IntoIterator<Item = (Uuid, &'static str)>) -> Awaited {
        let expected = self.signals.handled.get().map(|handled| handled.expect(events));
        Awaited { relayed: self.signals.relayed.subscribe(), expected }
    }

    fn reads_only(&self) -> DbErr {
        DbErr::Custom(format!("the database of {} is open for reading only", self.module))
    }

    /// Begins a transaction that only reads and sees the data of one moment, so that the parts of an answer agree.
    pub async fn snapshot(&self) -> Result<Transaction, DbErr> {
        self.reader.begin_snapshot().await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.execute_unprepared("SELECT 1").await.map(|_| ())
    }

    /// Tries to store something that changes nothing; `Err` says why nothing can be stored. On SQLite that reaches the disk
    /// and takes the writer for a moment, on PostgreSQL the server is asked whether it only reads.
    pub async fn try_storing(&self) -> Result<(), Outage> {
        let tried = match self.backend() {
            // Nothing here uses this number.
            DbBackend::Sqlite => {
                self.writer.execute_unprepared("PRAGMA user_version = 0").await.map(|_| false)
            }
            backend => {
                let ask = "SELECT current_setting('transaction_read_only') = 'on' AS only_reads";
                let row = self.writer.query_one_raw(Statement::from_string(backend, ask)).await;
                row.and_then(|row| row.map_or(Ok(false), |row| row.try_get("", "only_reads")))
            }
        };
        match tried {
            Ok(false) => Ok(()),
            Ok(true) => Err(Outage::NotWritable),
            Err(error) => Outage::of(&error).map_or(Ok(()), Err),
        }
    }

    /// Waits until a commit has put events into the outbox.
    pub(crate) async fn emitted(&self) {
        self.signals.emitted.notified().await;
    }

    /// Says which events the relay has taken out of the outbox.
    pub(crate) fn announce_relayed(&self, seqs: &[i64]) {
        // An error says that nobody listens.
        let _heard = self.signals.relayed.send(seqs.into());
    }

    /// From now on [`Committed::settle`] waits for those who handle the events elsewhere, not for the relay alone. The first call
    /// holds.
    pub(crate) fn follow(&self, handled: Arc<Handled>) {
        let _is_followed = self.signals.handled.set(handled);
    }

    /// Closes every connection; SQLite then folds its write-ahead log into the file.
    pub async fn close(&self) -> Result<(), DbErr> {
        self.reader.close().await?;
        self.writer.close().await?;
        self.orm.close_by_ref().await
    }
}

/// A writing transaction of one module. Events emitted in it are published if and only if it commits.
pub struct Tx {
    inner: Transaction,
    db: Db,
    emitted: Vec<outbox::Stored>,
}

impl Tx {
    /// Time, ids and detached work.
    pub fn system(&self) -> &System {
        &self.db.system
    }

    /// The connection for queries.
    pub fn conn(&self) -> &Transaction {
        &self.inner
    }

    /// Puts an event into the outbox.
    ///
    /// Emit after the statement that changed (and so locked) the aggregate's row: then the order of events is the
    /// order of commits.
    pub async fn emit<E: Event>(&mut self, event: &E) -> Result<(), DbErr> {
        let stored = outbox::store(&self.inner, &self.db.system, event).await?;
        self.emitted.push(stored);
        Ok(())
    }

    /// Commits and wakes the relay.
    #[cfg(not(feature = "failpoints"))]
    pub async fn commit(self) -> Result<Committed, DbErr> {
        self.commit_and_wake().await
    }

    /// Commits and wakes the relay. Not an `async fn`: only so it hears which use case commits.
    #[cfg(feature = "failpoints")]
    #[track_caller]
    pub fn commit(self) -> impl Future<Output = Result<Committed, DbErr>> + Send + use<> {
        let place = failpoint::place(self.db.module, std::panic::Location::caller());
        // On the heap, as in `failpoint`: the stacks of threads are small.
        Box::pin(async move {
            failpoint::hit(Point::CommitBefore, || place.clone()).await;
            let committed = self.commit_and_wake().await?;
            failpoint::hit(Point::CommitAfter, || place).await;
            Ok(committed)
        })
    }

    async fn commit_and_wake(self) -> Result<Committed, DbErr> {
        let announced = self.emitted.iter().map(|event| (event.event_id, event.event_type));
        let awaited = self.db.await_relay(announced);
        self.inner.commit().await?;
        Ok(Committed::woken(self.db, self.emitted, awaited))
    }

    /// Undoes everything. Dropping does too, but later.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.inner.rollback().await
    }
}

/// A committed transaction.
pub struct Committed {
    db: Db,
    emitted: Vec<outbox::Stored>,
    awaited: Awaited,
}

/// From whom a transaction hears of its events.
struct Awaited {
    /// What the relay has said since before the commit.
    relayed: broadcast::Receiver<Arc<[i64]>>,
    /// Whose word is awaited, if a broker carries the events.
    expected: Option<Expected>,
}

/// How often a waiting commit looks into the outbox by itself: for events that were published by another process, or given up.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Committed {
    /// Wakes the relay.
    fn woken(db: Db, emitted: Vec<outbox::Stored>, awaited: Awaited) -> Self {
        if !emitted.is_empty() {
            db.signals.emitted.notify_one();
        }
        Self { db, emitted, awaited }
    }

    /// Waits until the events of this transaction were handled, here or in other processes, at most for `bound`.
    ///
    /// A courtesy, never a guarantee: a client that pays and then reads its order at once sees it confirmed in most
    /// cases. Delivery itself does not depend on anyone waiting.
    pub async fn settle(mut self, bound: Duration) {
        if self.emitted.is_empty() {
            return;
        }
        if let Some(expected) = self.awaited.expected.take() {
            return expected.settle(bound).await;
        }
        // Out of time is no failure: the relay goes on.
        let _late = tokio::time::timeout(bound, self.all_relayed()).await;
    }

    async fn all_relayed(&mut self) {
        let mut waiting: Vec<i64> = self.emitted.iter().map(|event| event.seq).collect();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.reset();
        while !waiting.is_empty() {
            let announced = tokio::select! {
                announced = self.awaited.relayed.recv() => announced.ok(),
                _ = look.tick() => None,
            };
            match announced {
                Some(seqs) => waiting.retain(|seq| !seqs.contains(seq)),
                None => match outbox::all_published(&self.db, &waiting).await {
                    Ok(true) | Err(_) => return,
                    Ok(false) => {}
                },
            }
        }
    }
}

/// Between two tries to open a file that another process holds.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Processes that create a file at once may be told that it is locked when they switch it to WAL: the busy timeout does
/// not hold for two that both read and then want to write.
async fn connect_sqlite(connect: ConnectOptions, options: &DbOptions) -> Result<DatabaseConnection, DbErr> {
    let begun = Instant::now();
    loop {
        match Database::connect(connect.clone()).await {
            Err(error) if is_busy(&error) && begun.elapsed() < options.acquire_timeout => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// `SQLITE_BUSY`, of whichever kind: the kind is in the higher bits.
fn is_busy(error: &DbErr) -> bool {
    let DbErr::Conn(RuntimeErr::SqlxError(cause)) = error else { return false };
    let code = cause.as_database_error().and_then(|cause| cause.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

fn sqlite_options(path: &Path, options: &DbOptions, max_connections: u32) -> ConnectOptions {
    let mut connect = ConnectOptions::new(format!("sqlite://{}?mode=rwc", path.display()));
    let synchronous = if options.durable { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let path = path.to_owned();
    connect
        .max_connections(max_connections)
        .min_connections(0)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(Duration::from_secs(600))
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_before_acquire(|connection, _| {
            Box::pin(std::future::ready(Ok(is_at_rest(connection))))
        })
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&path)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synchronous)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(5))
                .pragma("cache_size", "-2048")
                .pragma("temp_store", "MEMORY")
        });
    connect
}

/// Whether nobody believes that a transaction is open here.
///
/// When a commit meets a full or failing disk, SQLite rolls back by itself. The driver's own `ROLLBACK` then finds nothing
/// to roll back, and it counts on as if there were a transaction: every later one would be a savepoint, and after the first
/// that is rolled back nothing would ever be committed again, though everybody was told so. As this connection is the only
/// one that writes, it is replaced.
fn is_at_rest(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

/// Connections that neither create the file nor write to it, also where a statement tries to.
fn sqlite_reading(path: &Path, options: &DbOptions) -> ConnectOptions {
    let mut connect = ConnectOptions::new(format!("sqlite://{}?mode=ro", path.display()));
    let path = path.to_owned();
    connect
        .max_connections(options.max_connections)
        .min_connections(0)
        .acquire_timeout(options.acquire_timeout)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&path)
                .create_if_missing(false)
                .read_only(true)
                .busy_timeout(Duration::from_secs(5))
                .pragma("query_only", "ON")
                .pragma("cache_size", "-2048")
                .pragma("temp_store", "MEMORY")
        });
    connect
}

/// Creates the data folder so that only its owner can read it: it holds personal data and the signing key.
fn create_private_folder(folder: &Path) -> Result<(), DbErr> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|error| {
        DbErr::Custom(format!("cannot create the data folder {}: {error}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::SchemaManager;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Happened(Uuid);

    impl Event for Happened {
        const TYPE: &'static str = "test.happened";

        fn aggregate_id(&self) -> Uuid {
            self.0
        }
    }

    #[tokio::test]
    async fn who_waits_takes_the_word_of_the_relay() {
        let folder = tempfile::tempdir().unwrap();
        let options = DbOptions::new(Location::Sqlite { folder: folder.path().join("data") });
        let db = Db::open("orders", &options, System::real()).await.unwrap();
        crate::migration::plumbing().up(&SchemaManager::new(db.orm())).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        for _ in 0..2 {
            tx.emit(&Happened(db.system().id())).await.unwrap();
        }
        let committed = tx.commit().await.unwrap();
        let seqs: Vec<i64> = committed.emitted.iter().map(|event| event.seq).collect();
        // One after the other, and the outbox, which a look would find them in, never says so.
        seqs.iter().for_each(|seq| db.announce_relayed(&[*seq]));
        let settled = committed.settle(Duration::from_secs(600));
        tokio::time::timeout(Duration::from_secs(10), settled).await.unwrap();
    }

    #[test]
    fn a_logged_location_does_not_tell_the_password() {
        for (url, shown) in [
            ("postgres://souk:s3cret@db:5432/souk", "postgres://souk:***@db:5432/souk"),
            (
                "postgres://souk:s3:cr@et@db/souk?sslmode=require",
                "postgres://souk:***@db/souk?sslmode=require",
            ),
            ("postgres://db/souk?user=souk&password=s3cret", "postgres://db/souk?user=souk&password=***"),
            ("postgres://souk:s3?cret@db/souk", "postgres://souk:***@db/souk"),
            ("postgres://root@127.0.0.1:5432/souk", "postgres://root@127.0.0.1:5432/souk"),
            ("postgres:///souk", "postgres:///souk"),
        ] {
            let options = DbOptions::new(Location::Postgres { url: url.to_owned() });
            assert_eq!(masked(url), shown);
            assert!(!format!("{options:?}").contains("cret"), "{options:?}");
        }
    }
}
