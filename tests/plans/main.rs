//! Every hot query uses the index that it was given, on PostgreSQL, in a shop with twenty thousand products and as many orders.
//!
//! The plans themselves are made inside the shop's sessions, from its own statements and with its own values. What they were is read off the
//! server's counters: an operation that was called [`CALLS`] times must have scanned its index at least as often, and no table that grows with
//! the shop may have been read from end to end, by whatever ran meanwhile, workers included.
//!
//! What this test needs is in `tests/access`.
#![expect(clippy::unwrap_used, reason = "a story that goes wrong stops where it does")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use deployments::{Options, Shop, Topology, block_on, path_of, report, trial};
use libtest_mimic::Arguments;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

/// The past of a shop, as `psql` reads it.
const GENERATOR: &str = include_str!("../../load/generate/postgres.sql");
/// Enough for a planner to look at an index first.
const ROWS: &str = "20000";
/// How often each operation is called.
const CALLS: i64 = 20;
/// A session tells its counts when it has been idle for ten seconds, at the latest (`PGSTAT_IDLE_INTERVAL`).
const TOLD_WITHIN: Duration = Duration::from_secs(40);

/// Tables that grow with the shop, and that a hot operation reads.
const GROWING: &[&str] = &[
    "catalog.products",
    "users.users",
    "orders.orders",
    "orders.order_lines",
    "orders.order_timeline",
    "inventory.stock",
    "inventory.movements",
    "inventory.reservations",
    "inventory.reservation_lines",
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    deployments::use_binary(env!("CARGO_BIN_EXE_souk"), env!("CARGO_TARGET_TMPDIR"));
    deployments::keep_panics();
    let plans = trial("hot_queries_use_their_indexes", Topology::Postgres, story);
    libtest_mimic::run(&arguments, vec![plans]).exit_code()
}

fn story() -> Result<(), String> {
    // Without the catalogue's memory each call is a query.
    let options = Options::default().set("SOUK__CATALOG__CACHE_ENTRIES", 0);
    let running = Topology::Postgres.start_with(options)?;
    let shop = Shop::at(&running.address, "plans");
    block_on(async {
        let counters = Counters::of(running.database_url().unwrap()).await;
        counters.fill().await;
        let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
        let order = shop.order(&ada, "first", "LOAD-0000007", 1).send().await.expect(201).json;
        let order = path_of("/orders", &order);
        let reads = [
            ("/catalog/products/LOAD-0000{n}", "products_sku_key"),
            ("/catalog/products?limit=20&sort=name&{n}", "products_by_name"),
            ("/catalog/products?limit=20&sort=-price&{n}", "products_by_price"),
            ("/catalog/products?limit=20&sort=-created_at&{n}", "products_by_age"),
            ("/catalog/products?category=shelf-07&limit=20&sort=name&{n}", "products_of_category_by_name"),
            ("/catalog/products?category=shelf-07&limit=20&sort=price&{n}", "products_of_category_by_price"),
            (
                "/catalog/products?category=shelf-07&limit=20&sort=created_at&{n}",
                "products_of_category_by_age",
            ),
            ("/catalog/products?search=s{n}", "products_by_text"),
            ("/catalog/products?search=s{n}&category=shelf-07&sort=-price", "products_by_text"),
            ("/catalog/products?search=0000{n}", "products_by_digits"),
            ("/catalog/products?search=0000{n}&category=shelf-07&min_price=1", "products_by_digits"),
            ("/inventory/LOAD-0000{n}", "stock_sku_key"),
            ("/inventory/LOAD-0000{n}/movements", "movements_of_stock"),
            ("/orders", "orders_of_user"),
            (order.as_str(), "order_lines_pkey"),
            (&format!("{order}/timeline"), "order_timeline_of_order"),
        ];
        // Sessions tell their counts late, so everything is called first and counted afterwards.
        let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
        for (path, index) in reads {
            let reader = if path.starts_with("/inventory") { &admin } else { &ada };
            for n in 100..100 + CALLS {
                let path = path.replace("&{n}", "").replace("{n}", &n.to_string());
                shop.get(&path).bearer(&reader.token).unrecorded().send().await.expect(200);
            }
            *expected.entry(index).or_default() += CALLS;
        }
        for n in 100..100 + CALLS {
            let (key, sku) = (format!("order {n}"), format!("LOAD-0000{n}"));
            shop.order(&ada, &key, &sku, 1).unrecorded().send().await.expect(201);
        }
        for index in ["products_sku_key", "stock_sku_key"] {
            *expected.entry(index).or_default() += CALLS;
        }
        let mut table = format!("{:32} {:>8} {:>8}\n", "index", "expected", "scans");
        for (index, expected) in expected {
            let scans = counters.until_scanned(index, expected).await;
            table.push_str(&format!("{index:32} {expected:8} {scans:8}\n"));
        }
        counters.nothing_was_read_from_end_to_end().await;
        report(&table);
    });
    running.stop()
}

/// What the server counts in one database.
struct Counters {
    db: DatabaseConnection,
}

impl Counters {
    async fn of(url: &str) -> Self {
        Self { db: Database::connect(url).await.unwrap() }
    }

    /// Gives the shop its past, and forgets what has been counted so far.
    async fn fill(&self) {
        let lines = GENERATOR.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("--"));
        let sql = lines.collect::<Vec<_>>().join("\n");
        let sql = sql.replace(":products", ROWS).replace(":orders", ROWS);
        let (past, after) = sql.split_once("COMMIT;").unwrap();
        self.db.execute_unprepared(&format!("{past}COMMIT;")).await.unwrap();
        for statement in after.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            self.db.execute_unprepared(statement).await.unwrap();
        }
        self.until_the_past_is_told().await;
        self.db.execute_unprepared("SELECT pg_stat_reset()").await.unwrap();
    }

    /// What sessions have counted before now comes when they are next at work, or have been idle for ten seconds.
    async fn until_the_past_is_told(&self) {
        let began = Instant::now();
        let silent = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND state_change < 'epoch'::timestamptz + $ * interval '1 ms' AND now() - state_change < interval '11 s'";
        let now = self.number("SELECT (extract(epoch FROM now()) * 1000)::bigint AS n".to_owned()).await;
        let silent = silent.replace('$', &now.to_string());
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while self.number(silent.clone()).await > 0 {
            assert!(began.elapsed() < TOLD_WITHIN, "some sessions do not tell what they have counted");
            ticks.tick().await;
        }
    }

    async fn number(&self, sql: String) -> i64 {
        let row =
            self.db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
        row.try_get("", "n").unwrap()
    }

    async fn scans(&self, index: &str) -> i64 {
        let schema_of = "NOT schemaname LIKE 'pg_%'";
        self.number(format!(
            "SELECT coalesce(sum(idx_scan), 0)::bigint AS n FROM pg_stat_user_indexes WHERE indexrelname = '{index}' AND {schema_of}"
        ))
        .await
    }

    /// How often an index was scanned, once it is as often as it must be.
    async fn until_scanned(&self, index: &str, expected: i64) -> i64 {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let scans = self.scans(index).await;
            if scans >= expected {
                return scans;
            }
            assert!(began.elapsed() < TOLD_WITHIN, "{index}: {scans} scans for {expected} calls");
        }
    }

    async fn nothing_was_read_from_end_to_end(&self) {
        let mut read = BTreeMap::new();
        for table in GROWING {
            let (schema, name) = table.split_once('.').unwrap();
            let scans = self
                .number(format!(
                    "SELECT seq_scan AS n FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = '{name}'"
                ))
                .await;
            if scans > 0 {
                read.insert(*table, scans);
            }
        }
        assert!(read.is_empty(), "read from end to end: {read:?}");
    }
}
