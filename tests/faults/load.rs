//! Customers who buy all the time, as carefully as the shop's documents say, and a ledger of what they were promised.
//!
//! Whoever gets no answer, 503, or 409 because the first request with the key still runs, sends the same again with the same
//! key until there is a last word. Everything that was answered meanwhile is written down.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use deployments::{Person, Shop, await_that, block_on, client, pence, text};
use reqwest::Client;
use serde_json::{Value, json};

/// What customers do between two purchases: they think.
const THINKS: Duration = Duration::from_millis(150);
/// The pause before the same is sent again. The shop asks for a second; less is harder for it.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// From here on a request counts as hanging, whatever it is answered.
pub const HANGS: Duration = Duration::from_secs(15);
/// How long one request is sent again and again until the customer has lost patience, and the test with it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Enough pieces of everything.
const PLENTY: i64 = 1_000_000;
const SKUS: usize = 8;
/// Of this there is one piece.
const SCARCE: &str = "FAULT-SCARCE";
const GIVEN_UP: &str = "payment_given_up";
/// How soon what a fault has left behind must be finished or undone.
const OPEN_BOUND: Duration = Duration::from_secs(10);

/// One request and what came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub what: &'static str,
    /// None if the connection broke, or there was none.
    pub status: Option<u16>,
    pub code: String,
    /// Whether it said when to come back.
    pub says_when: bool,
    pub ended_at: Instant,
    pub took: Duration,
}

impl Exchange {
    fn is_good(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Asks to come back, and says when.
    pub fn asks_to_come_back(&self) -> bool {
        self.status == Some(503) && self.says_when
    }

    /// The last word of a payment that the shop has undone: nothing was charged.
    pub fn was_given_up(&self) -> bool {
        self.status == Some(402) && self.code == GIVEN_UP
    }

    /// Another payment of the order has not ended yet, such as one that is being given up.
    pub fn waits_for_another(&self) -> bool {
        self.status == Some(409) && self.code == "payment_in_progress"
    }

    /// The first request with the key has not ended yet: the shop has lost sight of it, and says so.
    pub fn still_runs(&self) -> bool {
        self.status == Some(409) && self.code == "idempotency_key_in_progress" && self.says_when
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or("no answer".to_owned(), |status| status.to_string());
        let when = if self.says_when || self.is_good() { "" } else { " without Retry-After" };
        write!(f, "{}: {status} {}{when}", self.what, self.code)
    }
}

/// An order that was acknowledged.
#[derive(Debug, Clone)]
pub struct Promise {
    pub customer: usize,
    pub id: String,
    pub sku: String,
    pub quantity: i64,
    pub paid: bool,
}

/// What was answered and promised.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub exchanges: Vec<Exchange>,
    pub orders: Vec<Promise>,
    /// What a customer gave up on.
    pub lost_patience: Vec<String>,
}

impl Ledger {
    /// Every request that did not succeed at once.
    pub fn failures(&self) -> Vec<&Exchange> {
        self.exchanges.iter().filter(|exchange| !exchange.is_good()).collect()
    }

    /// Fails if there is any answer that is neither good nor allowed, or one that came too late.
    pub fn allow(&self, allowed: impl Fn(&Exchange) -> bool) -> Result<(), String> {
        let slow = |exchange: &&Exchange| exchange.took >= HANGS;
        let wrong = self.exchanges.iter().filter(|one| !(one.is_good() || allowed(one)) || slow(one));
        let mut counts = BTreeMap::<String, usize>::new();
        for exchange in wrong {
            let late = if slow(&exchange) { " (hung)" } else { "" };
            *counts.entry(format!("{exchange}{late}")).or_default() += 1;
        }
        if counts.is_empty() && self.lost_patience.is_empty() {
            return Ok(());
        }
        Err(format!("customers saw {counts:?}, and gave up on {:?}", self.lost_patience))
    }

    /// How many of each failure there were.
    pub fn tally(&self) -> String {
        let mut counts = BTreeMap::<String, usize>::new();
        for failure in self.failures() {
            let answer = match failure.status {
                None => "no answer".to_owned(),
                Some(status) => format!("{status} {}", failure.code),
            };
            *counts.entry(answer).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} x {what}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    }

    /// The slowest answer.
    pub fn slowest(&self) -> Duration {
        self.exchanges.iter().map(|exchange| exchange.took).max().unwrap_or_default()
    }
}

type Shared = Arc<Mutex<Ledger>>;

fn lock(ledger: &Shared) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Customers at work.
pub struct Load {
    pub shop: Arc<Shop>,
    pub admin: Person,
    customers: Vec<Person>,
    skus: Vec<String>,
    ledger: Shared,
    will: Will,
    thread: Option<JoinHandle<()>>,
}

/// What the test wants of the customers.
#[derive(Debug, Clone, Default)]
struct Will {
    /// Begin nothing new.
    stop: Arc<AtomicBool>,
    /// Go home, whatever you are at: the test has failed.
    leave: Arc<AtomicBool>,
}

impl Load {
    /// Registers customers, offers goods, and begins to buy.
    pub fn start(address: &str, name: &'static str, customers: usize) -> Result<Self, String> {
        let shop = Arc::new(Shop::at(address, name));
        let skus: Vec<String> = (0..SKUS).map(|number| format!("FAULT-{number}")).collect();
        let (admin, people) = block_on(async {
            let admin = shop.admin().await;
            for sku in &skus {
                shop.offer(&admin, sku, 1_250, PLENTY).await;
            }
            shop.offer(&admin, SCARCE, 100, 1).await;
            let mut people = Vec::new();
            for number in 0..customers {
                people.push(shop.newcomer(&format!("customer{number}")).await);
            }
            (admin, people)
        });
        let (ledger, will) = (Shared::default(), Will::default());
        let crowd: Vec<Customer> = people
            .iter()
            .enumerate()
            .map(|(number, person)| Customer {
                number,
                token: person.token.clone(),
                address: address.to_owned(),
                skus: skus.clone(),
                ledger: ledger.clone(),
                client: client(),
                rounds: 0,
                will: will.clone(),
            })
            .collect();
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let mut buying = tokio::task::JoinSet::new();
                for customer in crowd {
                    buying.spawn(customer.buy_until_told());
                }
                while buying.join_next().await.is_some() {}
            });
        });
        Ok(Self { shop, admin, customers: people, skus, ledger, will, thread: Some(thread) })
    }

    /// How many orders were acknowledged and paid by now.
    pub fn paid(&self) -> usize {
        lock(&self.ledger).orders.iter().filter(|order| order.paid).count()
    }

    /// Waits until so many more orders have been paid.
    pub fn await_more(&self, more: usize, within: Duration) -> Result<(), String> {
        let wanted = self.paid() + more;
        let came = await_that(within, || Ok((self.paid() >= wanted).then_some(())))?;
        came.ok_or_else(|| {
            format!("not {more} more orders within {} s; at last: {}", within.as_secs(), self.last_words())
        })
    }

    /// When the first order since then was paid for.
    pub fn first_paid_since(&self, since: Instant) -> Option<Instant> {
        let ledger = lock(&self.ledger);
        let paid = ledger.exchanges.iter().filter(|one| one.what == "pay" && one.is_good());
        paid.map(|exchange| exchange.ended_at).filter(|at| *at > since).min()
    }

    /// Lets everyone finish what they are at, and gives the ledger.
    pub fn end(&mut self) -> Result<Ledger, String> {
        self.will.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| "a customer panicked".to_owned())?;
        }
        Ok(lock(&self.ledger).clone())
    }

    /// Every promise is kept: each order is there once, and paid if it was said to be; its stock is held.
    pub fn assert_kept(&self, ledger: &Ledger) -> Result<(), String> {
        block_on(async {
            let mut confirmed = 0;
            for (number, customer) in self.customers.iter().enumerate() {
                let promised: BTreeMap<&str, &Promise> = ledger
                    .orders
                    .iter()
                    .filter(|order| order.customer == number)
                    .map(|order| (order.id.as_str(), order))
                    .collect();
                let found = self.shop.all("/orders", customer).await;
                for order in &found {
                    let id = order["id"].as_str().unwrap_or_default();
                    let promise = promised.get(id).ok_or_else(|| format!("nobody placed {order}"))?;
                    let confirms = !promise.paid || order["status"] == "confirmed";
                    if !confirms || promise.paid != (order["payment_status"] == "captured") {
                        return Err(format!("{promise:?} has become {order}"));
                    }
                    confirmed += usize::from(promise.paid);
                }
                if found.len() != promised.len() {
                    return Err(format!("{} orders of {} are there", found.len(), promised.len()));
                }
            }
            let paid = ledger.orders.iter().filter(|order| order.paid).count();
            if confirmed != paid {
                return Err(format!("{confirmed} of {paid} paid orders are confirmed"));
            }
            self.assert_stock(ledger).await
        })
    }

    async fn assert_stock(&self, ledger: &Ledger) -> Result<(), String> {
        for sku in &self.skus {
            let ordered: i64 =
                ledger.orders.iter().filter(|order| order.sku == *sku).map(|order| order.quantity).sum();
            let available = self.shop.available(&self.admin, sku).await;
            if available != PLENTY - ordered {
                return Err(format!(
                    "{available} of {sku} can be bought, but {ordered} of {PLENTY} are sold"
                ));
            }
        }
        Ok(())
    }

    /// The last answers, for a failure that needs an explanation.
    pub fn last_words(&self) -> String {
        let ledger = lock(&self.ledger);
        let last: Vec<String> = ledger.exchanges.iter().rev().take(5).map(ToString::to_string).collect();
        last.join("; ")
    }

    /// How many answers had this code by now.
    pub fn heard(&self, code: &str) -> usize {
        lock(&self.ledger).exchanges.iter().filter(|exchange| exchange.code == code).count()
    }

    /// The first customer wants more than there is of something.
    pub async fn is_refused(&self) {
        let buyer = &self.customers[0];
        let key = testkit::fresh_id().to_string();
        self.shop
            .order(buyer, &key, SCARCE, 5)
            .unrecorded()
            .send()
            .await
            .expect_problem(409, "insufficient_stock");
    }

    /// How many orders the first customer has, read now.
    pub async fn all_orders(&self) -> usize {
        self.shop.all("/orders", &self.customers[0]).await.len()
    }

    /// The price of the first product, as anyone sees it now. Nothing where the shop does not answer.
    pub async fn price(&self, sku: &str) -> Option<i64> {
        let answer = self.shop.get(&format!("/catalog/products/{sku}")).unrecorded().send().await;
        (answer.status == 200).then(|| answer.json["price"]["amount"].as_i64())?
    }

    /// Sets a price; gives the status.
    pub async fn reprice(&self, sku: &str, price: i64) -> u16 {
        let path = format!("/catalog/products/{sku}");
        let product = self.shop.get(&path).unrecorded().send().await;
        let path = format!("/catalog/products/{}", product.json["id"].as_str().unwrap_or(sku));
        let change = self.shop.patch(&path).bearer(&self.admin.token).json(json!({"price": pence(price)}));
        change.unrecorded().send().await.status
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.will.stop.store(true, Ordering::SeqCst);
        self.will.leave.store(true, Ordering::SeqCst);
    }
}

/// Whether a payment was undone because it was interrupted before the provider had seen it.
fn was_given_up(answer: &Value) -> bool {
    answer["code"] == GIVEN_UP
}

/// One customer.
struct Customer {
    number: usize,
    token: String,
    address: String,
    skus: Vec<String>,
    ledger: Shared,
    client: Client,
    rounds: usize,
    will: Will,
}

impl Customer {
    async fn buy_until_told(mut self) {
        while !self.will.stop.load(Ordering::SeqCst) {
            self.rounds += 1;
            self.buy().await;
            tokio::time::sleep(THINKS).await;
        }
    }

    /// Orders and pays.
    async fn buy(&self) {
        let key = format!("{}-{}-{}", self.number, self.rounds, testkit::fresh_id().simple());
        let sku = self.skus[(self.number + self.rounds) % self.skus.len()].clone();
        let quantity = i64::try_from(self.rounds % 3 + 1).unwrap_or(1);
        let wish = json!({"items": [{"sku": sku, "quantity": quantity}]});
        let Some(order) = self.ask("order", "/orders", &key, &wish).await else { return };
        let id = order["id"].as_str().unwrap_or_default().to_owned();
        let promise = Promise { customer: self.number, id: id.clone(), sku, quantity, paid: false };
        lock(&self.ledger).orders.push(promise);
        let method = json!({"type": "card", "token": "tok_ok"});
        let payment = json!({"order_id": id, "method": method, "capture": true});
        let mut paid = self.ask("pay", "/payments", &key, &payment).await;
        if paid.as_ref().is_some_and(was_given_up) {
            // The documents say so: nothing was charged, and a new key pays anew.
            paid = self.ask("pay", "/payments", &format!("{key}-again"), &payment).await;
        }
        if paid.is_some_and(|payment| !was_given_up(&payment)) {
            let mut ledger = lock(&self.ledger);
            ledger.orders.iter_mut().filter(|order| order.id == id).for_each(|order| order.paid = true);
        }
    }

    /// Sends a request until there is a last word; none but a good one is expected.
    async fn ask(&self, what: &'static str, path: &str, key: &str, body: &Value) -> Option<Value> {
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            let (exchange, answer) = self.send(what, path, key, body).await;
            let is_final = match exchange.status {
                None | Some(500..) => false,
                Some(_) => !exchange.still_runs() && !exchange.waits_for_another(),
            };
            let words = exchange.to_string();
            let is_good = exchange.is_good() || exchange.was_given_up();
            lock(&self.ledger).exchanges.push(exchange);
            if is_good {
                return Some(answer);
            }
            // Whoever is in the middle of something goes on to its end, so that nothing is left unknown.
            let leaves = self.will.leave.load(Ordering::SeqCst);
            if is_final || leaves || Instant::now() > give_up_at {
                lock(&self.ledger).lost_patience.push(format!("{words} {answer}"));
                return None;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn send(&self, what: &'static str, path: &str, key: &str, body: &Value) -> (Exchange, Value) {
        let begun = Instant::now();
        let request = self.client.post(format!("{}{path}", self.address)).bearer_auth(&self.token);
        let sent = request.header("Idempotency-Key", key).json(body).send().await.map_err(text);
        let mut exchange = Exchange {
            what,
            status: None,
            code: String::new(),
            says_when: false,
            ended_at: begun,
            took: Duration::ZERO,
        };
        let mut answer = Value::Null;
        match sent {
            Ok(response) => {
                let status = response.status().as_u16();
                exchange.says_when = response.headers().contains_key("retry-after");
                match response.bytes().await {
                    Ok(bytes) => {
                        exchange.status = Some(status);
                        answer = serde_json::from_slice(&bytes).unwrap_or_default();
                    }
                    Err(error) => exchange.code = error.to_string(),
                }
            }
            Err(error) => exchange.code = error,
        }
        if let Some(code) = answer["code"].as_str() {
            exchange.code = code.to_owned();
        }
        exchange.ended_at = Instant::now();
        exchange.took = exchange.ended_at - begun;
        (exchange, answer)
    }
}

/// Nothing waits to be finished or undone any more, a moment after the load has ended.
pub fn assert_nothing_open(shop: &deployments::Running) -> Result<(), String> {
    await_nothing_open(shop, OPEN_BOUND)
}

/// The same after a fault that leaves more to do.
pub fn await_nothing_open(shop: &deployments::Running, bound: Duration) -> Result<(), String> {
    let mut open = Vec::new();
    let closed = await_that(bound, || {
        open = shop.what_is_open()?;
        Ok(open.is_empty().then_some(()))
    })?;
    closed.ok_or_else(|| format!("still open: {open:?}"))
}
