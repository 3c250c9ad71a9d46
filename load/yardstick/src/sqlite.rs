//! Orders on SQLite by the bare driver: the statements of a placement, with their commits, on copies of the shop's own files, opened
//! with the shop's pragmas, through one writing connection a file.
//!
//! What follows a placement (its event, the letter) is not in here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::customers::sku;
use crate::figures::Times;
use crate::problem::Problem;

#[derive(Debug, Args)]
pub(crate) struct Sqlite {
    /// Holds copies of `catalog.sqlite`, `inventory.sqlite` and `orders.sqlite`, which are written to.
    #[arg(long)]
    folder: PathBuf,
    #[arg(long, default_value_t = 32)]
    clients: u64,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Over so many SKUs, from the first on.
    #[arg(long, default_value_t = 1_000)]
    spread: u64,
    /// Lines of an order.
    #[arg(long, default_value_t = 1)]
    lines: u64,
}

/// The files, as the shop has them open.
struct Files {
    catalog: Mutex<SqliteConnection>,
    inventory: Mutex<SqliteConnection>,
    orders: Mutex<SqliteConnection>,
}

/// One line of an order that is being placed.
struct Line {
    sku: String,
    product_id: Vec<u8>,
    name: String,
    price_minor: i64,
}

impl Sqlite {
    pub(crate) async fn run(&self) -> Result<Value, Problem> {
        let files = Arc::new(Files {
            catalog: Mutex::new(open(&self.folder, "catalog").await?),
            inventory: Mutex::new(open(&self.folder, "inventory").await?),
            orders: Mutex::new(open(&self.folder, "orders").await?),
        });
        let began = Instant::now();
        let until = began + Duration::from_secs(self.seconds);
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let (files, spread, lines) = (files.clone(), self.spread.max(1), self.lines.max(1));
            clients.spawn(async move {
                let mut random = StdRng::seed_from_u64(number);
                let mut times = Times::default();
                while Instant::now() < until {
                    let began = Instant::now();
                    // As the shop's driver does: each line in a part of its own, so that no SKU comes twice.
                    let part = (spread / lines).max(1);
                    let skus: Vec<String> =
                        (0..lines).map(|line| sku(line * part + random.gen_range(1..=part))).collect();
                    place(&files, &skus).await?;
                    times.add(began.elapsed());
                }
                Ok::<_, Problem>(times)
            });
        }
        let mut times = Times::default();
        while let Some(of_one) = clients.join_next().await {
            times.join(of_one??);
        }
        let orders = times.count();
        let mut told = times.told(began.elapsed());
        if let Some(told) = told.as_object_mut() {
            told.insert("commits".to_owned(), json!(orders.saturating_mul(3)));
        }
        Ok(told)
    }
}

/// The pragmas of the shop's writer.
async fn open(folder: &Path, module: &str) -> Result<SqliteConnection, Problem> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join(format!("{module}.sqlite")))
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("cache_size", "-2048")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    Ok(SqliteConnection::connect_with(&options).await?)
}

async fn place(files: &Files, skus: &[String]) -> Result<(), Problem> {
    let (id, user) = (new_id(), new_id());
    let key = id.to_string();
    open_key(&mut *files.orders.lock().await, id, user, &key).await?;
    let lines = quote(&mut *files.catalog.lock().await, skus).await?;
    reserve(&mut *files.inventory.lock().await, id, skus).await?;
    write_order(&mut *files.orders.lock().await, id, user, &key, &lines).await
}

/// Commit 1: the intent.
async fn open_key(conn: &mut SqliteConnection, id: Uuid, user: Uuid, key: &str) -> Result<(), Problem> {
    sqlx::query(
        "INSERT INTO idempotency_keys (principal, route, idempotency_key, request_hash, state, resource_id, \
         outcome, created_at_ms, lease_until_ms) VALUES (?, 'POST /orders', ?, ?, 'open', ?, NULL, ?, ?) \
         ON CONFLICT (principal, route, idempotency_key) DO NOTHING",
    )
    .bind(format!("user:{user}"))
    .bind(key)
    .bind("0".repeat(64))
    .bind(id)
    .bind(now_ms())
    .bind(now_ms() + 3_000)
    .execute(conn)
    .await?;
    Ok(())
}

async fn quote(conn: &mut SqliteConnection, skus: &[String]) -> Result<Vec<Line>, Problem> {
    let mut lines = Vec::with_capacity(skus.len());
    for sku in skus {
        let row = sqlx::query("SELECT id, name, price_minor FROM products WHERE sku = ?")
            .bind(sku)
            .fetch_one(&mut *conn)
            .await?;
        lines.push(Line {
            sku: sku.clone(),
            product_id: row.try_get(0)?,
            name: row.try_get(1)?,
            price_minor: row.try_get(2)?,
        });
    }
    Ok(lines)
}

/// Commit 2: the stock is held, all lines or none.
async fn reserve(conn: &mut SqliteConnection, id: Uuid, skus: &[String]) -> Result<(), Problem> {
    let now = now_ms();
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO reservations (id, order_id, state, created_at_ms, ended_at_ms) \
         VALUES (?, ?, 'held', ?, NULL) ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(id)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    for sku in skus {
        let held = sqlx::query(
            "UPDATE stock SET reserved = reserved + 1, version = version + 1, updated_at_ms = ? \
             WHERE sku = ? AND on_hand - reserved >= 1 RETURNING id",
        )
        .bind(now)
        .bind(sku)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = held else { return Err(Problem::other(format!("{sku} is out of stock"))) };
        let stock_id: Vec<u8> = row.try_get(0)?;
        sqlx::query("INSERT INTO reservation_lines (reservation_id, stock_id, quantity) VALUES (?, ?, 1)")
            .bind(id)
            .bind(stock_id)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Commit 3: order, lines, first timeline entry, event and the stored answer.
async fn write_order(
    conn: &mut SqliteConnection,
    id: Uuid,
    user: Uuid,
    key: &str,
    lines: &[Line],
) -> Result<(), Problem> {
    let now = now_ms();
    let total: i64 = lines.iter().map(|line| line.price_minor).sum();
    let answer = answer(id, user, total, lines).to_string();
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO orders (id, number, user_id, status, payment_status, payment_due_at_ms, total_minor, \
         currency, reservation_id, imported, created_at_ms, updated_at_ms) \
         VALUES (?, ?, ?, 'pending', 'unpaid', ?, ?, 'GBP', ?, 0, ?, ?)",
    )
    .bind(id)
    .bind(key)
    .bind(user)
    .bind(now + 1_800_000)
    .bind(total)
    .bind(id)
    .bind(now)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    for (line_no, line) in (1_i64..).zip(lines) {
        sqlx::query(
            "INSERT INTO order_lines (order_id, line_no, sku, product_id, name, quantity, unit_price_minor, \
             line_total_minor) VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
        )
        .bind(id)
        .bind(line_no)
        .bind(&line.sku)
        .bind(&line.product_id)
        .bind(&line.name)
        .bind(line.price_minor)
        .bind(line.price_minor)
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query(
        "INSERT INTO order_timeline (order_id, kind, at_ms, actor_id, data) VALUES (?, 'created', ?, ?, ?)",
    )
    .bind(id)
    .bind(now)
    .bind(user)
    .bind(format!(r#"{{"number":"{key}","total":{{"amount":{total},"currency":"GBP"}}}}"#))
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO outbox (event_id, event_type, aggregate_id, payload, trace_id, occurred_at_ms) \
         VALUES (?, 'order.created', ?, ?, ?, ?) RETURNING seq",
    )
    .bind(new_id())
    .bind(id)
    .bind(format!(r#"{{"order":{answer},"cart_id":null}}"#))
    .bind(new_id().simple().to_string())
    .bind(now)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE idempotency_keys SET state = 'done', outcome = ? WHERE principal = ? \
         AND route = 'POST /orders' AND idempotency_key = ? AND state = 'open' AND resource_id = ?",
    )
    .bind(format!(r#"{{"placed":{answer}}}"#))
    .bind(format!("user:{user}"))
    .bind(key)
    .bind(id)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// As much JSON as the shop stores.
fn answer(id: Uuid, user: Uuid, total: i64, lines: &[Line]) -> Value {
    let money = |amount: i64| json!({"amount": amount, "currency": "GBP"});
    let items: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({"sku": line.sku, "product_id": id, "name": line.name, "quantity": 1,
                "unit_price": money(line.price_minor), "line_total": money(line.price_minor)})
        })
        .collect();
    let at = "2026-01-01T00:00:00.000Z";
    json!({"id": id, "number": "260101-0000000000", "user_id": user, "status": "pending", "items": items,
        "total": money(total), "shipping_address": null, "payment_status": "unpaid", "imported": false,
        "created_at": at, "updated_at": at})
}

#[expect(clippy::disallowed_methods, reason = "there is no test whose clock could be turned")]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[expect(clippy::disallowed_methods, reason = "there is no test whose clock could be turned")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}
