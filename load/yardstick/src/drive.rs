//! Drives a shop with a mix of requests.
//!
//! Without a rate each connection asks again as soon as it is answered: that finds the highest rate. With one, requests have
//! appointments, so many a second, whether the shop keeps up or not; each is kept by the next connection that is free, and the time
//! of a request counts from its appointment. A driver that waits for a slow answer before it asks again would leave out just the
//! requests that would have waited ("coordinated omission"), and call the shop fast.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::{Client, Request, is_plain};
use crate::customers::{self, Customer, PASSWORD, id_of, order, sku};
use crate::figures::Times;
use crate::problem::Problem;

#[derive(Debug, Clone, Args)]
pub(crate) struct Drive {
    #[arg(long)]
    url: String,
    /// What `customers` has written.
    #[arg(long)]
    customers: PathBuf,
    #[arg(long, default_value_t = 32)]
    connections: u32,
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Not counted, before the others.
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Requests a second over all connections; without it, as many as are answered.
    #[arg(long)]
    rate: Option<u32>,
    /// Products that are looked at, from the first on.
    #[arg(long, default_value_t = 1_000)]
    products: u64,
    /// Products that are bought, from the first on.
    #[arg(long, default_value_t = 1_000)]
    spread: u64,
    #[arg(long, default_value_t = 50)]
    categories: u64,
    /// Goes into the keys, so that they are fresh.
    #[arg(long)]
    run: String,
    /// How often of each: product, page, search, list (of the customer's orders), cart, order, pay, login.
    #[arg(long, default_value = "product=50,page=25,search=10,list=5,cart=7,order=2,pay=1")]
    mix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Product,
    Page,
    Search,
    List,
    Cart,
    Order,
    Pay,
    Login,
}

impl Kind {
    const ALL: [(&'static str, Kind); 8] = [
        ("product", Kind::Product),
        ("page", Kind::Page),
        ("search", Kind::Search),
        ("list", Kind::List),
        ("cart", Kind::Cart),
        ("order", Kind::Order),
        ("pay", Kind::Pay),
        ("login", Kind::Login),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("?", |(name, _)| name)
    }

    fn created(self) -> u16 {
        if matches!(self, Kind::Order | Kind::Pay) { 201 } else { 200 }
    }
}

/// Kinds with their shares.
fn parse_mix(text: &str) -> Result<Vec<(Kind, u32)>, Problem> {
    let parsed: Option<Vec<(Kind, u32)>> = text
        .split(',')
        .map(|part| {
            let (name, share) = part.split_once('=')?;
            let (_, kind) = Kind::ALL.iter().find(|(known, _)| *known == name)?;
            Some((*kind, share.parse().ok()?))
        })
        .collect();
    match parsed {
        Some(mix) if mix.iter().any(|(_, share)| *share > 0) => Ok(mix),
        _ => Err(Problem::other(format!("not a mix: {text}"))),
    }
}

/// What one connection has seen.
#[derive(Default)]
struct Seen {
    all: Times,
    by_kind: BTreeMap<Kind, Times>,
    unexpected: u64,
    first_unexpected: Option<String>,
}

impl Seen {
    fn join(&mut self, other: Self) {
        self.all.join(other.all);
        for (kind, times) in other.by_kind {
            self.by_kind.entry(kind).or_default().join(times);
        }
        self.unexpected += other.unexpected;
        self.first_unexpected = self.first_unexpected.take().or(other.first_unexpected);
    }
}

impl Drive {
    pub(crate) async fn run(&self) -> Result<Value, Problem> {
        if !is_plain(&self.run) {
            return Err(Problem::other("--run is letters, digits and hyphens"));
        }
        let mix = Arc::new(parse_mix(&self.mix)?);
        let everyone = customers::read(&self.customers)?;
        let began = Instant::now();
        let counted_from = began + Duration::from_secs(self.warm_up);
        let until = counted_from + Duration::from_secs(self.seconds);
        let appointments = self.rate.map(|rate| Arc::new(Appointments::new(began, rate)));
        let mut connections = JoinSet::new();
        for number in 0..self.connections {
            // Each connection has customers of its own, so that nobody waits for themselves.
            let own: Vec<Customer> = everyone
                .iter()
                .zip((0..self.connections).cycle())
                .filter(|(_, of)| *of == number)
                .map(|(customer, _)| customer.clone())
                .collect();
            let own = if own.is_empty() { everyone.clone() } else { own };
            let mut shopper = Shopper {
                client: Client::new(&self.url)?,
                drive: self.clone(),
                mix: mix.clone(),
                own,
                number,
                keys: 0,
                unpaid: VecDeque::new(),
                random: StdRng::seed_from_u64(u64::from(number)),
            };
            let appointments = appointments.clone();
            connections
                .spawn(async move { shopper.shop(appointments.as_deref(), counted_from, until).await });
        }
        let mut seen = Seen::default();
        while let Some(of_one) = connections.join_next().await {
            seen.join(of_one?);
        }
        // What is under way at the end is finished and counted.
        let elapsed = counted_from.elapsed();
        let by_kind: serde_json::Map<String, Value> = seen
            .by_kind
            .into_iter()
            .map(|(kind, times)| (kind.name().to_owned(), times.told(elapsed)))
            .collect();
        let mut told = seen.all.told(elapsed);
        if let Some(told) = told.as_object_mut() {
            told.insert("rate".to_owned(), json!(self.rate));
            told.insert("unexpected".to_owned(), json!(seen.unexpected));
            told.insert("first_unexpected".to_owned(), json!(seen.first_unexpected));
            told.insert("by_kind".to_owned(), Value::Object(by_kind));
        }
        Ok(told)
    }
}

/// When requests are due, whoever makes them: not each connection's own, or a look at a product would wait for the payment before it on the
/// same connection, while others have nothing to do.
struct Appointments {
    began: Instant,
    apart: Duration,
    made: AtomicU32,
}

impl Appointments {
    fn new(began: Instant, rate: u32) -> Self {
        let apart = Duration::from_secs(1) / rate.max(1);
        Self { began, apart, made: AtomicU32::new(0) }
    }

    /// The next one, for one connection.
    fn next(&self) -> Instant {
        self.began + self.apart * self.made.fetch_add(1, Ordering::Relaxed)
    }
}

/// One connection with its customers.
struct Shopper {
    client: Client,
    drive: Drive,
    mix: Arc<Vec<(Kind, u32)>>,
    own: Vec<Customer>,
    number: u32,
    keys: u64,
    /// Orders that were placed here and not paid yet, with the token of their customer.
    unpaid: VecDeque<(String, String)>,
    random: StdRng,
}

impl Shopper {
    async fn shop(
        &mut self,
        appointments: Option<&Appointments>,
        counted_from: Instant,
        until: Instant,
    ) -> Seen {
        let mut seen = Seen::default();
        loop {
            let appointment = match appointments {
                Some(appointments) => {
                    let next = appointments.next();
                    sleep_until(next.min(until)).await;
                    next
                }
                None => Instant::now(),
            };
            if appointment >= until {
                return seen;
            }
            let (kind, outcome) = self.ask().await;
            let time = appointment.elapsed();
            if let Err(problem) = outcome {
                seen.unexpected += 1;
                seen.first_unexpected.get_or_insert_with(|| problem.to_string());
            } else if appointment >= counted_from {
                seen.all.add(time);
                seen.by_kind.entry(kind).or_default().add(time);
            }
        }
    }

    async fn ask(&mut self) -> (Kind, Result<(), Problem>) {
        let kind = self.choose();
        let (request, token) = self.request(kind);
        let outcome = match self.client.send(&request).await {
            Ok(answer) => answer.expect(&request, kind.created()),
            Err(problem) => Err(problem),
        };
        let outcome = outcome.and_then(|body| {
            if kind == Kind::Order {
                self.unpaid.push_back((id_of(&body)?, token));
            }
            Ok(())
        });
        (kind, outcome)
    }

    fn choose(&mut self) -> Kind {
        let sum: u32 = self.mix.iter().map(|(_, share)| share).sum();
        let mut at = self.random.gen_range(0..sum.max(1));
        for (kind, share) in self.mix.iter() {
            if at < *share {
                // Nothing to pay yet: another order.
                let nothing_to_pay = *kind == Kind::Pay && self.unpaid.is_empty();
                return if nothing_to_pay { Kind::Order } else { *kind };
            }
            at -= share;
        }
        Kind::Product
    }

    fn request(&mut self, kind: Kind) -> (Request, String) {
        let (products, spread) = (self.drive.products.max(1), self.drive.spread.max(1));
        let of = self.random.gen_range(0..self.own.len().max(1));
        let (email, token) = match self.own.get(of) {
            Some(customer) => (customer.email.clone(), customer.token.clone()),
            None => (String::new(), String::new()),
        };
        let request = match kind {
            Kind::Product => {
                Request::get(format!("/catalog/products/{}", sku(self.random.gen_range(1..=products))))
            }
            Kind::Page => {
                let category = self.random.gen_range(0..self.drive.categories.max(1));
                Request::get(format!("/catalog/products?category=shelf-{category:02}"))
            }
            Kind::Search => {
                Request::get(format!("/catalog/products?search=s{:03}", self.random.gen_range(0..1_000)))
            }
            Kind::List => Request::get("/orders".to_owned()).bearer(&token),
            Kind::Cart => {
                let (of_twenty, pieces) = (self.random.gen_range(1..=20), self.random.gen_range(1..=100));
                let body = format!(r#"{{"quantity":{pieces}}}"#);
                Request::json("PUT", format!("/cart/items/{}", sku(of_twenty)), body).bearer(&token)
            }
            Kind::Order => {
                let key = self.key();
                order(&token, &key, &sku(self.random.gen_range(1..=spread)))
            }
            Kind::Pay => {
                let (order_id, token) = self.unpaid.pop_front().unwrap_or_default();
                let body =
                    format!(r#"{{"order_id":"{order_id}","method":{{"type":"card","token":"tok_ok"}}}}"#);
                let key = self.key();
                Request::json("POST", "/payments".to_owned(), body)
                    .bearer(&token)
                    .with("Idempotency-Key", &key)
            }
            Kind::Login => {
                let body = json!({"email": email, "password": PASSWORD}).to_string();
                Request::json("POST", "/auth/login".to_owned(), body)
            }
        };
        (request, token)
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("{}-{}-{}", self.drive.run, self.number, self.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appointments_are_evenly_apart_and_each_is_kept_once() {
        let began = Instant::now();
        let appointments = Appointments::new(began, 4);
        let kept: Vec<_> = (0..5).map(|_| (appointments.next() - began).as_millis()).collect();
        assert_eq!(kept, [0, 250, 500, 750, 1_000]);
    }

    #[test]
    fn a_mix_is_kinds_with_shares() {
        assert_eq!(parse_mix("product=9,pay=1").unwrap(), [(Kind::Product, 9), (Kind::Pay, 1)]);
        for bad in ["", "product", "product=x", "tea=1", "product=0"] {
            assert!(parse_mix(bad).is_err(), "{bad}");
        }
    }
}
