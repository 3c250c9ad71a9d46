//! Customers of the benchmark: many, so that no lock of one customer is measured, with tokens from before the run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, Request};
use crate::problem::Problem;

/// Long enough for the shop; nobody else's.
pub(crate) const PASSWORD: &str = "load-test-password";

#[derive(Debug, Args)]
pub(crate) struct Customers {
    #[arg(long)]
    url: String,
    /// How many.
    #[arg(long, default_value_t = 64)]
    customers: u64,
    /// A line each: email, id, access token, with tabs between.
    #[arg(long)]
    out: PathBuf,
}

/// One customer who is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub(crate) email: String,
    pub(crate) token: String,
}

/// Reads what [`Customers`] has written.
pub(crate) fn read(file: &Path) -> Result<Vec<Customer>, Problem> {
    let text = std::fs::read_to_string(file)?;
    let customers: Option<Vec<Customer>> = text
        .lines()
        .map(|line| {
            let mut parts = line.split('\t');
            let (email, _id, token) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Customer { email: email.to_owned(), token: token.to_owned() })
        })
        .collect();
    match customers {
        Some(customers) if !customers.is_empty() => Ok(customers),
        _ => Err(Problem::other(format!("{} holds no customers", file.display()))),
    }
}

/// So many at once: more would wait for the hashing threads of the shop.
const REGISTER_AT_ONCE: u64 = 8;
const PLACE_AT_ONCE: u64 = 16;

impl Customers {
    pub(crate) async fn run(&self) -> Result<Value, Problem> {
        let next = Arc::new(AtomicU64::new(1));
        let mut workers = JoinSet::new();
        for _ in 0..REGISTER_AT_ONCE {
            let (mut client, next, last) = (Client::new(&self.url)?, next.clone(), self.customers);
            workers.spawn(async move {
                let mut lines = String::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > last {
                        return Ok::<_, Problem>(lines);
                    }
                    lines.push_str(&register(&mut client, number).await?);
                }
            });
        }
        let mut text = String::new();
        while let Some(lines) = workers.join_next().await {
            text.push_str(&lines??);
        }
        std::fs::write(&self.out, text)?;
        Ok(json!({"customers": self.customers}))
    }
}

async fn register(client: &mut Client, number: u64) -> Result<String, Problem> {
    let email = format!("load-{number}@example.com");
    let body = json!({"email": email, "password": PASSWORD}).to_string();
    let asked = Request::json("POST", "/auth/register".to_owned(), body.clone());
    let answer = client.send(&asked).await?;
    let body = match answer.status {
        // Of an earlier run on the same data.
        409 => {
            let login = Request::json("POST", "/auth/login".to_owned(), body);
            client.send(&login).await?.expect(&login, 200)?
        }
        _ => answer.expect(&asked, 201)?,
    };
    let body: Value = serde_json::from_slice(&body)?;
    let text = |place: &str| body.pointer(place).and_then(Value::as_str).map(str::to_owned);
    let (id, token) = (text("/user/id"), text("/access_token"));
    let (Some(id), Some(token)) = (id, token) else {
        return Err(Problem::other("a login without a user or a token"));
    };
    Ok(format!("{email}\t{id}\t{token}\n"))
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    #[arg(long)]
    url: String,
    /// What `customers` has written.
    #[arg(long)]
    customers: PathBuf,
    /// How many orders, of one line each.
    #[arg(long)]
    orders: u64,
    /// Over so many SKUs, from the first on.
    #[arg(long, default_value_t = 1_000)]
    spread: u64,
    /// Goes into the keys, so that they are fresh.
    #[arg(long)]
    run: String,
    /// A line each: the order's id and the access token of its customer, with a tab between.
    #[arg(long)]
    out: PathBuf,
}

impl Place {
    pub(crate) async fn run(&self) -> Result<Value, Problem> {
        let customers = Arc::new(read(&self.customers)?);
        let next = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..PLACE_AT_ONCE {
            let (mut client, customers, next) = (Client::new(&self.url)?, customers.clone(), next.clone());
            let (run, orders, spread) = (self.run.clone(), self.orders, self.spread);
            workers.spawn(async move {
                let mut lines = String::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= orders {
                        return Ok::<_, Problem>(lines);
                    }
                    let of = usize::try_from(number).unwrap_or_default() % customers.len().max(1);
                    let Some(customer) = customers.get(of) else { return Ok(lines) };
                    let key = format!("{run}-{number}");
                    let request = order(&customer.token, &key, &sku(number % spread.max(1) + 1));
                    let body = client.send(&request).await?.expect(&request, 201)?;
                    // Writing into a string cannot fail.
                    let _written = writeln!(lines, "{}\t{}", id_of(&body)?, customer.token);
                }
            });
        }
        let mut text = String::new();
        while let Some(lines) = workers.join_next().await {
            text.push_str(&lines??);
        }
        std::fs::write(&self.out, text)?;
        Ok(json!({"orders": self.orders}))
    }
}

/// The SKU of the product with this number, as the generator names it.
pub(crate) fn sku(number: u64) -> String {
    format!("LOAD-{number:07}")
}

/// An order of one piece.
pub(crate) fn order(token: &str, key: &str, sku: &str) -> Request {
    let body = format!(r#"{{"items":[{{"sku":"{sku}","quantity":1}}]}}"#);
    Request::json("POST", "/orders".to_owned(), body).bearer(token).with("Idempotency-Key", key)
}

/// The `id` of what was created.
pub(crate) fn id_of(body: &[u8]) -> Result<String, Problem> {
    let body: Value = serde_json::from_slice(body)?;
    let id = body.get("id").and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| Problem::other("an answer without an id"))
}
