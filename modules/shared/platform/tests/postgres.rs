//! A module on PostgreSQL works as a role that can use its own schema and nothing else.
#![expect(clippy::unwrap_used, reason = "a story that goes wrong stops where it does")]

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use platform::db::{Db, DbOptions, Location};
use platform::system::System;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, RuntimeErr, Statement};
use testkit::{Engine, TestDatabase};

/// Runs a story on a fresh database, if there is a server.
fn on_postgres<F: Future<Output = ()>>(story: impl FnOnce(TestDatabase) -> F) {
    if let Some(server) = testkit::postgres_url() {
        testkit::run(async move { story(TestDatabase::create(Engine::Postgres(server)).await).await });
    }
}

async fn try_open(module: &'static str, url: &str) -> Result<Db, DbErr> {
    let options = DbOptions {
        max_connections: 2,
        acquire_timeout: Duration::from_secs(30),
        ..DbOptions::new(Location::Postgres { url: url.to_owned() })
    };
    Db::open(module, &options, System::real()).await
}

async fn open(module: &'static str, url: &str) -> Db {
    try_open(module, url).await.unwrap()
}

async fn migrated(module: &'static str, url: &str) -> Db {
    let db = open(module, url).await;
    migrations::up(module, db.orm()).await.unwrap();
    db
}

/// A module that no other test has, and so a role that is not there yet.
fn fresh_module(database: &TestDatabase) -> &'static str {
    let module = format!("m{}", testkit::fresh_id().simple());
    database.drop_role_at_the_end(&format!("souk_{module}"));
    module.leak()
}

/// The first column of the first row.
async fn ask(db: &Db, sql: &str) -> String {
    let row = db.reader().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    row.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// The SQLSTATE of a statement that must fail.
async fn refusal(db: &Db, sql: &str) -> String {
    match db.writer().execute_unprepared(sql).await {
        Err(DbErr::Exec(RuntimeErr::SqlxError(error))) => {
            error.as_database_error().unwrap().code().unwrap().into_owned()
        }
        other => panic!("{sql}: {other:?}"),
    }
}

/// What was logged while a story ran on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.with_max_level(tracing::Level::WARN).finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_module_works_as_its_role_and_cannot_use_another_schema() {
    on_postgres(async |database| {
        let url = database.url().unwrap();
        let orders = migrated("orders", url).await;
        let catalog = migrated("catalog", url).await;
        assert_eq!(ask(&catalog, "SELECT current_user::text").await, "souk_catalog");
        assert_eq!(ask(&catalog, "SELECT current_schema()::text").await, "catalog");
        // A process that hangs in the middle of a transaction keeps its rows no longer than this.
        let abandoned = "SELECT current_setting('idle_in_transaction_session_timeout')";
        assert_eq!(ask(&catalog, abandoned).await, "10s");
        assert_eq!(ask(&orders, "SELECT COUNT(*)::text FROM orders.orders").await, "0");
        for forbidden in [
            "SELECT * FROM orders.orders",
            "DELETE FROM orders.orders",
            "DROP TABLE orders.orders",
            "CREATE TABLE orders.intruder (id INT)",
            "CREATE TABLE public.intruder (id INT)",
            "CREATE SCHEMA intruder",
            "CREATE ROLE souk_intruder",
            "SELECT rolpassword FROM pg_authid",
            // What the role was at the start of the connection, it is again.
            "RESET ROLE; SELECT * FROM orders.orders",
        ] {
            assert_eq!(refusal(&catalog, forbidden).await, "42501", "{forbidden}");
        }
    });
}

#[test]
fn options_of_the_address_stay() {
    on_postgres(async |database| {
        let url = format!("{}?options=-c%20work_mem%3D7MB&options[geqo]=off", database.url().unwrap());
        let db = open("orders", &url).await;
        assert_eq!(ask(&db, "SELECT current_setting('work_mem')").await, "7MB");
        assert_eq!(ask(&db, "SELECT current_setting('geqo')").await, "off");
        assert_eq!(ask(&db, "SELECT current_setting('statement_timeout')").await, "30s");
        assert_eq!(ask(&db, "SELECT current_user::text").await, "souk_orders");
    });
}

#[test]
fn processes_that_open_at_once_create_one_role_and_one_schema() {
    on_postgres(async |database| {
        let other = TestDatabase::create(Engine::Postgres(testkit::postgres_url().unwrap())).await;
        let module = fresh_module(&database);
        // Roles belong to the server: two databases of it are at the same one.
        let urls = [database.url().unwrap(), other.url().unwrap()];
        let opened = try_join_all((0..10).map(|at| try_open(module, urls[at % 2]))).await.unwrap();
        let users = join_all(opened.iter().map(|db| ask(db, "SELECT current_user::text"))).await;
        assert!(users.iter().all(|user| *user == format!("souk_{module}")), "{users:?}");
        for db in &opened {
            let owner =
                format!("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = '{module}'");
            assert_eq!(ask(db, &owner).await, format!("souk_{module}"));
            db.close().await.unwrap();
        }
        drop(other);
    });
}

#[test]
fn a_login_that_may_create_roles_needs_no_superuser() {
    on_postgres(async |database| {
        let login = database.login("CREATEROLE").await;
        let name = database.url().unwrap().rsplit('/').next().unwrap().to_owned();
        database.execute(&format!("GRANT CREATE ON DATABASE {name} TO {login}")).await;
        let (log, module) = (Logged::default(), fresh_module(&database));
        let _listening = log.listen();
        let db = open(module, &database.url_as(&login)).await;
        assert_eq!(ask(&db, "SELECT current_user::text").await, format!("souk_{module}"));
        assert_eq!(ask(&db, "SELECT session_user::text").await, login);
        assert_eq!(log.text(), "");
        // Another time there is nothing left to do.
        assert_eq!(
            ask(&open(module, &database.url_as(&login)).await, "SELECT session_user::text").await,
            login
        );
        db.close().await.unwrap();
    });
}

#[test]
fn a_login_that_may_not_create_roles_works_as_itself_and_says_so() {
    on_postgres(async |database| {
        let login = database.login("").await;
        let name = database.url().unwrap().rsplit('/').next().unwrap().to_owned();
        database.execute(&format!("GRANT CREATE ON DATABASE {name} TO {login}")).await;
        let log = Logged::default();
        let _listening = log.listen();
        // Once where the role is missing, once where it is someone else's.
        let (module, url) = (fresh_module(&database), database.url_as(&login));
        let db = open(module, &url).await;
        assert_eq!(ask(&db, "SELECT current_user::text").await, login);
        assert_eq!(ask(&db, "SELECT current_schema()::text").await, module);
        let text = log.text();
        assert!(text.contains(&format!("CREATE ROLE souk_{module} NOLOGIN")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        database.execute(&format!("CREATE ROLE souk_{module} NOLOGIN")).await;
        open(module, &url).await.close().await.unwrap();
        assert!(log.text().contains(&format!("run: GRANT souk_{module} TO {login};")), "{}", log.text());
        assert!(!log.text().contains("postgres://"), "{}", log.text());
        // As it was told: now it is the role, though the schema was made by the login.
        database.execute(&format!("GRANT souk_{module} TO {login}")).await;
        let granted = open(module, &url).await;
        assert_eq!(ask(&granted, "SELECT current_user::text").await, format!("souk_{module}"));
        assert_eq!(log.text().lines().count(), 2, "{}", log.text());
        granted.close().await.unwrap();
    });
}

#[test]
fn a_login_for_one_schema_needs_no_right_to_create() {
    on_postgres(async |database| {
        let url = database.url().unwrap();
        migrated("orders", url).await.close().await.unwrap();
        let login = database.login("").await;
        database.execute(&format!("CREATE SCHEMA catalog AUTHORIZATION {login}")).await;
        let db = migrated("catalog", &database.url_as(&login)).await;
        assert_eq!(ask(&db, "SELECT current_user::text").await, login);
        for forbidden in [
            "SELECT * FROM orders.orders",
            "SET ROLE NONE; SELECT * FROM orders.orders",
            "SET ROLE souk_orders",
            "SET SESSION AUTHORIZATION postgres",
            "CREATE TABLE public.intruder (id INT)",
            "CREATE SCHEMA intruder",
        ] {
            assert_eq!(refusal(&db, forbidden).await, "42501", "{forbidden}");
        }
        // Where there is no schema either, opening fails.
        assert!(try_open("cart", &database.url_as(&login)).await.is_err());
    });
}

#[test]
fn a_schema_of_another_owner_is_handed_over_with_all_that_is_in_it() {
    on_postgres(async |database| {
        let url = database.url().unwrap();
        let db = migrated("orders", url).await;
        let owners = "SELECT string_agg(DISTINCT owner::regrole::text, ',') FROM ( \
            SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'orders'::regnamespace \
            UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'orders') AS owned";
        assert_eq!(ask(&db, owners).await, "souk_orders");
        db.close().await.unwrap();
        // As a shop left it that knew no roles, with a sequence and a view of its own.
        let former = database.login("").await;
        database
            .execute(&format!(
                "CREATE SEQUENCE orders.numbers; CREATE VIEW orders.few AS SELECT 1 AS one; \
                 REASSIGN OWNED BY souk_orders TO {former}; ALTER SEQUENCE orders.numbers OWNER TO {former}; \
                 ALTER VIEW orders.few OWNER TO {former}"
            ))
            .await;
        let opened = try_join_all((0..5).map(|_| try_open("orders", url))).await.unwrap();
        for db in opened {
            assert_eq!(ask(&db, owners).await, "souk_orders");
            assert_eq!(ask(&db, "SELECT COUNT(*)::text FROM orders").await, "0");
            db.close().await.unwrap();
        }
    });
}

#[test]
fn a_migration_that_another_process_holds_up_fails_clearly() {
    on_postgres(async |database| {
        let url = database.url().unwrap();
        let (first, second) = (open("orders", url).await, open("orders", url).await);
        let holder = first.begin().await.unwrap();
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('souk migrates orders', 0))";
        holder.conn().execute_unprepared(lock).await.unwrap();
        let patience = Duration::from_millis(200);
        let error = migrations::up_within(patience, "orders", second.orm()).await.unwrap_err();
        assert!(error.to_string().contains("another process has been migrating orders"), "{error}");
        holder.rollback().await.unwrap();
        migrations::up_within(patience, "orders", second.orm()).await.unwrap();
        // What is current needs no lock.
        let holder = first.begin().await.unwrap();
        holder.conn().execute_unprepared(lock).await.unwrap();
        migrations::up_within(patience, "orders", second.orm()).await.unwrap();
    });
}

/// Where the products have their index of trigrams from: the extension may be installed by the shop or by somebody else, anywhere, or not at all.
#[test]
fn an_extension_is_installed_if_that_can_be_and_done_without_else() {
    const INDEXES: &str = "SELECT COUNT(*)::text FROM pg_indexes WHERE indexname = 'products_by_text'";
    const HOME: &str = "SELECT COALESCE(MAX(extnamespace::regnamespace::text), 'none') FROM pg_extension WHERE extname = 'pg_trgm'";
    on_postgres(async |database| {
        let (server, log) = (Engine::Postgres(testkit::postgres_url().unwrap()), Logged::default());
        let _listening = log.listen();
        // By the shop, also by processes that start at once.
        let opened =
            try_join_all((0..5).map(|_| try_open("catalog", database.url().unwrap()))).await.unwrap();
        let db = opened.first().unwrap();
        migrations::up("catalog", db.orm()).await.unwrap();
        assert_eq!((ask(db, HOME).await, ask(db, INDEXES).await), ("catalog".to_owned(), "1".to_owned()));
        // By somebody else.
        let other = TestDatabase::create(server.clone()).await;
        other.execute("CREATE EXTENSION pg_trgm SCHEMA public").await;
        let db = migrated("catalog", other.url().unwrap()).await;
        assert_eq!((ask(&db, HOME).await, ask(&db, INDEXES).await), ("public".to_owned(), "1".to_owned()));
        assert_eq!(log.text(), "");
        // By nobody.
        let last = TestDatabase::create(server).await;
        let login = last.login("").await;
        last.execute(&format!("CREATE SCHEMA catalog AUTHORIZATION {login}")).await;
        let db = migrated("catalog", &last.url_as(&login)).await;
        assert_eq!((ask(&db, HOME).await, ask(&db, INDEXES).await), ("none".to_owned(), "0".to_owned()));
        assert!(log.text().contains("works without the extension pg_trgm"), "{}", log.text());
        // What an operator is told to do then.
        last.execute("CREATE EXTENSION pg_trgm SCHEMA catalog").await;
        last.execute(
            "CREATE INDEX CONCURRENTLY products_by_text ON catalog.products USING gin (search_text catalog.gin_trgm_ops) \
             WITH (gin_pending_list_limit = 256)",
        )
        .await;
        // The step before the last has the trigrams, the last the numbers, whose function somebody else may have made.
        migrations::down("catalog", db.orm(), Some(2)).await.unwrap();
        assert_eq!(ask(&db, INDEXES).await, "0");
        last.execute("CREATE FUNCTION catalog.digit_parts(text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT '{}'::text[] $$").await;
        migrations::up("catalog", db.orm()).await.unwrap();
        assert_eq!(ask(&db, INDEXES).await, "1");
        for db in [opened, vec![db]].into_iter().flatten() {
            db.close().await.unwrap();
        }
        drop((other, last));
    });
}

/// What the script makes is what a process finds that logs in as its module's role.
#[test]
fn the_script_makes_a_login_for_each_module() {
    on_postgres(async |database| {
        let url = database.url().unwrap();
        // A deployment on the same server shares the roles: its password stays.
        let password = std::env::var("SOUK_POSTGRES_PASSWORD").unwrap_or_else(|_| "souk".to_owned());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../scripts/postgres/roles.sql");
        let run = || {
            Command::new("psql")
                .args(["-X", "-f", script, url])
                .env("SOUK_POSTGRES_PASSWORD", &password)
                .output()
        };
        let Ok(first) = run() else {
            assert!(std::env::var_os("CI").is_none(), "CI must try the script: install psql");
            println!("not run: there is no psql");
            return;
        };
        for output in [first, run().unwrap()] {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let log = Logged::default();
        let _listening = log.listen();
        let mut opened = Vec::new();
        for module in migrations::MODULES {
            let db = migrated(module, &database.url_of(&format!("souk_{module}"), &password)).await;
            assert_eq!(ask(&db, "SELECT session_user::text").await, format!("souk_{module}"));
            opened.push(db);
        }
        let catalog = opened.iter().find(|db| db.module() == "catalog").unwrap();
        for forbidden in [
            "SELECT * FROM orders.orders",
            "SET ROLE NONE; SELECT * FROM orders.orders",
            "SET ROLE souk_orders",
            "CREATE TABLE public.intruder (id INT)",
            "CREATE SCHEMA intruder",
        ] {
            assert_eq!(refusal(catalog, forbidden).await, "42501", "{forbidden}");
        }
        assert_eq!(log.text(), "");
        let stranger = database.login("").await;
        assert!(try_open("orders", &database.url_as(&stranger)).await.is_err());
    });
}
