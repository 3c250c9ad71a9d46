//! A database per test: a fresh folder for SQLite, a fresh database for PostgreSQL; both are removed afterwards.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::db::{Db, DbOptions, Location};
use platform::system::{System, SystemIds};
use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use uuid::Uuid;

use crate::clock::TestClock;
use crate::tokens::Tokens;

/// A database system to test on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    /// With the address of a server where the test may create databases.
    Postgres(String),
}

/// A database server's room for one test: a fresh database, dropped with this value. SQLite needs none.
pub struct TestDatabase {
    created: Option<(String, String)>,
    url: Option<String>,
    /// Roles made for the test; they belong to the server, so they outlive the database.
    roles: Mutex<Vec<String>>,
}

/// The password of every login made for a test.
const PASSWORD: &str = "souk";

impl TestDatabase {
    /// A fresh one on a database system.
    pub async fn create(engine: Engine) -> Self {
        let Engine::Postgres(server) = engine else {
            return Self { created: None, url: None, roles: Mutex::default() };
        };
        let name = format!("souk_test_{}", Uuid::new_v4().simple());
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        let url = Some(with_database(&server, &name));
        Self { url, created: Some((server, name)), roles: Mutex::default() }
    }

    /// A copy of it, for which nobody may be connected to it. Files of SQLite are not here to be copied.
    pub async fn copy(&self) -> Self {
        let Some((server, source)) = &self.created else {
            return Self { created: None, url: None, roles: Mutex::default() };
        };
        let name = format!("souk_test_{}", Uuid::new_v4().simple());
        execute(server, &format!("CREATE DATABASE {name} TEMPLATE {source}")).await;
        let url = Some(with_database(server, &name));
        Self { url, created: Some((server.clone(), name)), roles: Mutex::default() }
    }

    /// The address of the database; `None` means SQLite.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Runs statements on PostgreSQL as the user of the address that the test was given.
    pub async fn execute(&self, sql: &str) {
        execute(self.url.as_deref().unwrap(), sql).await;
    }

    /// A fresh role of PostgreSQL that may log in, with these attributes (`CREATEROLE`); dropped with this value.
    pub async fn login(&self, attributes: &str) -> String {
        let name = format!("souk_test_{}", Uuid::new_v4().simple());
        self.drop_role_at_the_end(&name);
        self.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {attributes}")).await;
        name
    }

    /// The address of the database for a login.
    pub fn url_of(&self, login: &str, password: &str) -> String {
        let url = self.url.as_deref().unwrap();
        let (scheme, rest) = url.split_once("://").unwrap();
        let server = rest.split_once('@').map_or(rest, |(_, server)| server);
        format!("{scheme}://{login}:{password}@{server}")
    }

    /// The address of the database for a login of [`Self::login`].
    pub fn url_as(&self, login: &str) -> String {
        self.url_of(login, PASSWORD)
    }

    /// Drops a role of PostgreSQL, if it is there, together with this value.
    pub fn drop_role_at_the_end(&self, role: &str) {
        self.roles.lock().unwrap().push(role.to_owned());
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = self.created.take() else {
            return;
        };
        let roles = std::mem::take(&mut *self.roles.lock().unwrap());
        // Drop cannot wait, and the test's runtime may be ending: a thread of its own does the work.
        let dropped = std::thread::spawn(move || {
            crate::run(async move {
                execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                for role in roles {
                    execute(&server, &format!("DROP ROLE IF EXISTS {role}")).await;
                }
            });
        })
        .join();
        if dropped.is_err() && !std::thread::panicking() {
            panic!("the test database could not be dropped");
        }
    }
}

/// What one test has to itself: a place for databases, a clock, tokens.
pub struct Bench {
    pub clock: Arc<TestClock>,
    pub system: System,
    pub tokens: Tokens,
    options: DbOptions,
    folder: tempfile::TempDir,
    _database: TestDatabase,
}

impl Bench {
    /// A fresh place on a database system.
    pub async fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(engine).await;
        let location = match database.url() {
            None => Location::Sqlite { folder: folder.path().join("data") },
            Some(url) => Location::Postgres { url: url.to_owned() },
        };
        let clock = Arc::new(TestClock::default());
        let system = System::new(clock.clone(), Arc::new(SystemIds));
        // Tests come in crowds: a small pool each, no wait for the disk.
        let options = DbOptions {
            max_connections: 4,
            acquire_timeout: Duration::from_secs(30),
            durable: false,
            ..DbOptions::new(location)
        };
        Self { tokens: Tokens::new(clock.clone()), clock, system, options, folder, _database: database }
    }

    /// A module's database with its schema.
    pub async fn db(&self, module: &'static str) -> Db {
        let db = self.open(module).await;
        migrations::up(module, db.orm()).await.unwrap();
        db
    }

    /// A module's database as it is: empty at first. A second call opens the same database again, as another process would.
    pub async fn open(&self, module: &'static str) -> Db {
        Db::open(module, &self.options, self.system.clone()).await.unwrap()
    }

    /// A folder for files, removed with the bench.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

async fn execute(server: &str, sql: &str) {
    let mut options = ConnectOptions::new(server);
    options.max_connections(1).sqlx_logging(false);
    let connection = Database::connect(options).await.unwrap();
    connection.execute_unprepared(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// The address of another database on the same server.
pub fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, None), |(base, query)| (base, Some(query)));
    let (scheme, rest) = base.split_once("://").unwrap();
    let authority = rest.split('/').next().unwrap();
    match query {
        Some(query) => format!("{scheme}://{authority}/{name}?{query}"),
        None => format!("{scheme}://{authority}/{name}"),
    }
}
