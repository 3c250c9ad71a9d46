//! Where a race is run: a shop, how often, and the requests that all races make.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use deployments::{Call, PASSWORD, Person, Shop, path_of, person, variable};
use serde_json::{Value, json};
use testkit::Response;

use crate::duel::{Starts, repeat};

/// How long what follows by events may take until the books must agree.
const SETTLE_BOUND: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Customers that register at once.
const REGISTERING: usize = 32;

/// A shop with an administrator, for one race.
pub struct Ground {
    pub shop: Shop,
    pub admin: Person,
}

/// What the lists of orders and payments say of one order.
#[derive(Debug, Clone, Default)]
pub struct Books {
    pub status: String,
    pub payment_status: String,
    /// In minor units, over all its payments.
    pub captured: i64,
    pub refunded: i64,
    /// The status of each of its payments.
    pub payments: Vec<String>,
}

/// `SOUK_RACES_TIMES` if it is not set: what a build for debugging does in the time that a change may wait.
const USUAL_TIMES: usize = 200;

/// So many of a thousand, scaled by `SOUK_RACES_TIMES`; at least one.
pub fn times(of_a_thousand: usize) -> usize {
    let scale = variable("SOUK_RACES_TIMES").and_then(|times| times.parse().ok()).unwrap_or(USUAL_TIMES);
    (of_a_thousand * scale).div_ceil(1_000).max(1)
}

/// `SOUK_RACES_SEED`, or always the same.
pub fn seed() -> u64 {
    variable("SOUK_RACES_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121)
}

impl Ground {
    pub async fn of(address: &str, race: &'static str) -> Self {
        let shop = Shop::at(address, race);
        let admin = shop.admin().await;
        Self { shop, admin }
    }

    pub fn starts(&self) -> Starts {
        Starts::seeded(seed())
    }

    /// A new customer.
    pub async fn customer(&self, name: &str) -> Person {
        let body = json!({"email": self.shop.email(name), "password": PASSWORD});
        person(&self.shop.post("/auth/register").json(body).unrecorded().send().await.expect(201))
    }

    pub async fn customers(&self, count: usize) -> Vec<Person> {
        repeat(count, REGISTERING, async |n| self.customer(&format!("buyer-{n}")).await).await
    }

    /// An order of one piece, which is there.
    pub async fn ordered(&self, buyer: &Person, key: &str, sku: &str) -> Value {
        self.shop.order(buyer, key, sku, 1).unrecorded().send().await.expect(201).json
    }

    /// An order of one piece whose money is held.
    pub async fn held(&self, buyer: &Person, key: &str, sku: &str) -> (Value, Value) {
        let order = self.ordered(buyer, key, sku).await;
        let method = json!({"type": "card", "token": "tok_ok"});
        let body = json!({"order_id": order["id"], "method": method, "capture": false});
        let call = self.shop.post("/payments").bearer(&buyer.token).key(&format!("hold {key}")).json(body);
        let payment = call.unrecorded().send().await.expect(201).json;
        self.until_order(buyer, &order, |order| order["payment_status"] == "authorized").await;
        (order, payment)
    }

    /// An order of one piece that is paid.
    pub async fn paid(&self, buyer: &Person, key: &str, sku: &str) -> (Value, Value) {
        let order = self.ordered(buyer, key, sku).await;
        let payment = self.pay(buyer, &format!("pay {key}"), &order).send().await.expect(201).json;
        self.until_order(buyer, &order, |order| order["status"] == "confirmed").await;
        (order, payment)
    }

    pub fn pay(&self, buyer: &Person, key: &str, order: &Value) -> Call<'_> {
        self.shop.pay(buyer, key, order, "tok_ok").unrecorded()
    }

    /// The owner, or the administrator, calls an order off.
    pub fn cancel(&self, person: &Person, order: &Value) -> Call<'_> {
        self.shop.post(&format!("{}/cancel", path_of("/orders", order))).bearer(&person.token).unrecorded()
    }

    /// The administrator gives an order a status.
    pub fn set_status(&self, order: &Value, status: &str) -> Call<'_> {
        let path = format!("{}/status", path_of("/orders", order));
        self.shop.patch(&path).bearer(&self.admin.token).json(json!({"status": status})).unrecorded()
    }

    /// The administrator moves the money of a payment.
    pub fn operate(&self, payment: &Value, what: &str, key: &str, body: Value) -> Call<'_> {
        self.shop.operate(&self.admin, payment, what, key, body).unrecorded()
    }

    pub async fn until_order(&self, reader: &Person, order: &Value, hoped: impl Fn(&Value) -> bool) {
        let path = path_of("/orders", order);
        let found = self.until(async || {
            let found = self.shop.get(&path).bearer(&reader.token).unrecorded().send().await.expect(200);
            if hoped(&found.json) { Vec::new() } else { vec![found.text] }
        });
        let left = found.await;
        assert!(left.is_empty(), "{path} never became as hoped: {left:?}");
    }

    /// Looks again until nothing is wrong, or too long; what is wrong then.
    pub async fn until(&self, look: impl AsyncFn() -> Vec<String>) -> Vec<String> {
        let give_up = Instant::now() + SETTLE_BOUND;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let wrong = look().await;
            if wrong.is_empty() || Instant::now() > give_up {
                return wrong;
            }
        }
    }

    /// What is in the house and what of it is held.
    pub async fn stock(&self, sku: &str) -> (i64, i64) {
        let level = self.stock_level(sku).await.json;
        (level["on_hand"].as_i64().unwrap(), level["reserved"].as_i64().unwrap())
    }

    /// The answer, with its tag.
    pub async fn stock_level(&self, sku: &str) -> Response {
        let call = self.shop.get(&format!("/inventory/{sku}")).bearer(&self.admin.token).unrecorded();
        call.send().await.expect(200)
    }

    /// What the lists say of every order of some customers, by its id.
    pub async fn books(&self, customers: &[Person]) -> HashMap<String, Books> {
        let mut books: HashMap<String, Books> = HashMap::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for customer in customers {
            for order in self.shop.all("/orders", customer).await {
                let entry = books.entry(text(&order["id"])).or_default();
                entry.status = text(&order["status"]);
                entry.payment_status = text(&order["payment_status"]);
            }
            for payment in self.shop.all("/payments", customer).await {
                let entry = books.entry(text(&payment["order_id"])).or_default();
                entry.captured += payment["captured"]["amount"].as_i64().unwrap();
                entry.refunded += payment["refunded"]["amount"].as_i64().unwrap();
                entry.payments.push(text(&payment["status"]));
            }
        }
        books
    }
}
