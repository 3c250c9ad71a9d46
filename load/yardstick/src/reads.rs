//! The least HTTP handlers that answer the reads of the shop, from the shop's own tables: actix-web, tokio-postgres, a prepared
//! statement, serde. No limits, no tokens, no tags, no trace, no cache, no errors worth the name.
//!
//! Each worker has its own connection and pipelines on it, which is the fastest way that this driver knows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use actix_web::{App, HttpResponse, HttpServer, get, web};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::{Client, NoTls, Row, Statement};
use uuid::Uuid;

use crate::problem::Problem;

/// The columns that an answer is made of; in the shop's statements, too, only these are read.
const PRODUCT: &str = "id, sku, slug, name, description, category, price_minor, currency, active, attributes, \
     image_url, created_at_ms, updated_at_ms";
const ORDER: &str = "id, number, user_id, status, payment_status, total_minor, currency, shipping_address, \
     imported, created_at_ms, updated_at_ms";

#[derive(Debug, Args)]
pub(crate) struct Reads {
    /// The shop's database, as a role that may read its schemas.
    #[arg(long)]
    database_url: String,
    #[arg(long)]
    port: u16,
    /// As `server.workers`; 0: one a core.
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

/// What each worker has.
struct Source {
    client: Client,
    by_sku: Statement,
    of_category: Statement,
    found: Statement,
    orders: Statement,
    lines: Statement,
}

impl Reads {
    /// Serves until the process is told to end.
    pub(crate) fn run(&self) -> Result<(), Problem> {
        let url = self.database_url.clone();
        let server = HttpServer::new(move || {
            let url = url.clone();
            App::new()
                .data_factory(move || connect(url.clone()))
                .service(health)
                .service(products)
                .service(product)
                .service(orders)
        });
        let server = match self.workers {
            0 => server,
            workers => server.workers(workers),
        };
        let server = server.bind(("127.0.0.1", self.port))?;
        Ok(actix_web::rt::System::new().block_on(server.run())?)
    }
}

async fn connect(url: String) -> Result<Source, Problem> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    actix_web::rt::spawn(async move {
        // When the server ends, so do the requests.
        let _ended = connection.await;
    });
    let of_list = "FROM catalog.products WHERE active";
    Ok(Source {
        by_sku: client.prepare(&format!("SELECT {PRODUCT} FROM catalog.products WHERE sku = $1")).await?,
        of_category: client
            .prepare(&format!("SELECT {PRODUCT} {of_list} AND category = $1 ORDER BY name_key, id LIMIT 21"))
            .await?,
        found: client
            .prepare(&format!(
                "SELECT {PRODUCT} {of_list} AND search_text LIKE $1 ORDER BY name_key, id LIMIT 21"
            ))
            .await?,
        orders: client
            .prepare(&format!(
                "SELECT {ORDER} FROM orders.orders WHERE user_id = $1 \
                 ORDER BY created_at_ms DESC, id DESC LIMIT 21"
            ))
            .await?,
        lines: client
            .prepare(
                "SELECT order_id, sku, product_id, name, quantity, unit_price_minor, line_total_minor \
                 FROM orders.order_lines WHERE order_id = ANY($1) ORDER BY order_id, line_no",
            )
            .await?,
        client,
    })
}

#[derive(Serialize)]
struct Money {
    amount: i64,
    currency: String,
}

#[derive(Serialize)]
struct Product {
    id: Uuid,
    sku: String,
    slug: String,
    name: String,
    description: Option<String>,
    category: String,
    price: Money,
    active: bool,
    attributes: Value,
    image_url: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    sku: String,
    product_id: Option<Uuid>,
    name: String,
    quantity: i64,
    unit_price: Money,
    line_total: Money,
}

#[derive(Serialize)]
struct Order {
    id: Uuid,
    number: String,
    user_id: Option<Uuid>,
    status: String,
    items: Vec<Item>,
    total: Money,
    /// Fields in the order of their names.
    shipping_address: Option<BTreeMap<String, String>>,
    payment_status: String,
    imported: bool,
    created_at: String,
    updated_at: String,
}

fn product_of(row: &Row) -> Result<Product, tokio_postgres::Error> {
    Ok(Product {
        id: row.try_get(0)?,
        sku: row.try_get(1)?,
        slug: row.try_get(2)?,
        name: row.try_get(3)?,
        description: row.try_get(4)?,
        category: row.try_get(5)?,
        price: Money { amount: row.try_get(6)?, currency: row.try_get(7)? },
        active: row.try_get(8)?,
        attributes: row.try_get(9)?,
        image_url: row.try_get(10)?,
        created_at: instant(row.try_get(11)?),
        updated_at: instant(row.try_get(12)?),
    })
}

/// Milliseconds since 1970 as the shop writes them.
fn instant(ms: i64) -> String {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (instant.date(), instant.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

/// Where the next page starts, as the shop writes it: the parts in hexadecimal, with a separator.
fn cursor(parts: &[&str]) -> String {
    let mut cursor = String::new();
    for byte in parts.join("\u{1f}").bytes() {
        // Writing into a string cannot fail.
        let _written = write!(cursor, "{byte:02x}");
    }
    cursor
}

fn failed(error: impl std::fmt::Display) -> actix_web::Error {
    actix_web::error::ErrorInternalServerError(error.to_string())
}

#[get("/health")]
async fn health() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "healthy", "service": "souk"}))
}

#[get("/catalog/products/{sku}")]
async fn product(source: web::Data<Source>, sku: web::Path<String>) -> actix_web::Result<HttpResponse> {
    let row = source.client.query_opt(&source.by_sku, &[&sku.as_str()]).await.map_err(failed)?;
    let Some(row) = row else { return Ok(HttpResponse::NotFound().finish()) };
    Ok(HttpResponse::Ok().json(product_of(&row).map_err(failed)?))
}

#[derive(Deserialize)]
struct List {
    category: Option<String>,
    search: Option<String>,
}

/// The first page of 20 by name: of a category, or of what a word is found in.
#[get("/catalog/products")]
async fn products(source: web::Data<Source>, list: web::Query<List>) -> actix_web::Result<HttpResponse> {
    let client = &source.client;
    let rows = match (&list.category, &list.search) {
        (Some(category), _) => client.query(&source.of_category, &[category]).await,
        (None, word) => {
            let pattern = format!("%{}%", word.as_deref().unwrap_or_default());
            client.query(&source.found, &[&pattern]).await
        }
    };
    let rows = rows.map_err(failed)?;
    let items = rows.iter().take(20).map(product_of).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let next_cursor = match items.last() {
        Some(last) if rows.len() > items.len() => {
            Some(cursor(&["name", &last.name.to_lowercase(), &last.id.to_string()]))
        }
        _ => None,
    };
    Ok(HttpResponse::Ok().json(Page { items, next_cursor }))
}

#[derive(Deserialize)]
struct Whose {
    user_id: Uuid,
}

/// The first page of 20 of one customer, newest first. Who asks is believed.
#[get("/orders")]
async fn orders(source: web::Data<Source>, whose: web::Query<Whose>) -> actix_web::Result<HttpResponse> {
    let page = orders_of(&source, whose.user_id).await.map_err(failed)?;
    Ok(HttpResponse::Ok().json(page))
}

async fn orders_of(source: &Source, user_id: Uuid) -> Result<Page<Order>, Problem> {
    let rows = source.client.query(&source.orders, &[&user_id]).await?;
    let mut items = rows.iter().take(20).map(order_of).collect::<Result<Vec<_>, Problem>>()?;
    let ids: Vec<Uuid> = items.iter().map(|order| order.id).collect();
    for row in source.client.query(&source.lines, &[&ids]).await? {
        let order_id: Uuid = row.try_get(0)?;
        if let Some(order) = items.iter_mut().find(|order| order.id == order_id) {
            let currency = || order.total.currency.clone();
            let item = Item {
                sku: row.try_get(1)?,
                product_id: row.try_get(2)?,
                name: row.try_get(3)?,
                quantity: row.try_get(4)?,
                unit_price: Money { amount: row.try_get(5)?, currency: currency() },
                line_total: Money { amount: row.try_get(6)?, currency: currency() },
            };
            order.items.push(item);
        }
    }
    let next_cursor = match (items.last(), rows.get(items.len().saturating_sub(1))) {
        (Some(last), Some(row)) if rows.len() > items.len() => {
            let at_ms: i64 = row.try_get(9)?;
            Some(cursor(&[&at_ms.to_string(), &last.id.to_string()]))
        }
        _ => None,
    };
    Ok(Page { items, next_cursor })
}

fn order_of(row: &Row) -> Result<Order, Problem> {
    let address: Option<Value> = row.try_get(7)?;
    Ok(Order {
        id: row.try_get(0)?,
        number: row.try_get(1)?,
        user_id: row.try_get(2)?,
        status: row.try_get(3)?,
        payment_status: row.try_get(4)?,
        total: Money { amount: row.try_get(5)?, currency: row.try_get(6)? },
        items: Vec::new(),
        shipping_address: address.map(serde_json::from_value).transpose()?,
        imported: row.try_get(8)?,
        created_at: instant(row.try_get(9)?),
        updated_at: instant(row.try_get(10)?),
    })
}
