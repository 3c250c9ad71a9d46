//! A shop as its clients see it: an address. Every answer that comes in order goes into the journey's transcript.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::{Response, Sent};

use crate::transcript::Transcript;

/// How long an effect may take that follows an answer by an event.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often is asked whether it has come.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// The password of everyone in these stories but the demo accounts.
pub const PASSWORD: &str = "correct horse";

/// A shop, for one journey.
pub struct Shop {
    pub address: String,
    journey: &'static str,
    client: Client,
    transcript: Mutex<Transcript>,
}

/// Someone who is logged in.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub email: String,
    pub token: String,
    pub refresh_token: String,
}

/// A request that is being put together.
pub struct Call<'a> {
    shop: &'a Shop,
    method: &'a str,
    path: String,
    sent: Sent,
    recorded: Recorded,
}

/// How an answer goes into the transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recorded {
    AsItIs,
    ListsSorted,
    Not,
}

impl Shop {
    /// A shop at an address, for a journey of this name.
    pub fn at(address: &str, journey: &'static str) -> Self {
        // A connection of its own for each journey; none is asked for a compressed answer.
        Self {
            address: address.to_owned(),
            journey,
            client: client(),
            transcript: Mutex::new(Transcript::default()),
        }
    }

    /// What was answered until now.
    pub fn transcript(&self) -> String {
        self.lock().text().to_owned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Transcript> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes into the transcript what came out of many requests at once.
    pub fn note(&self, what: &str, found: impl std::fmt::Display) {
        self.lock().note(what, &found.to_string());
    }

    /// A request.
    pub fn call<'a>(&'a self, method: &'a str, path: &str) -> Call<'a> {
        let verb = Method::from_bytes(method.as_bytes()).unwrap();
        let sent = Sent::new(self.client.request(verb, format!("{}{path}", self.address)));
        Call { shop: self, method, path: path.to_owned(), sent, recorded: Recorded::AsItIs }
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    pub fn put(&self, path: &str) -> Call<'_> {
        self.call("PUT", path)
    }

    pub fn patch(&self, path: &str) -> Call<'_> {
        self.call("PATCH", path)
    }

    pub fn delete(&self, path: &str) -> Call<'_> {
        self.call("DELETE", path)
    }

    /// The address of someone in this journey and in no other. So the name of a journey has at most 63 characters.
    pub fn email(&self, name: &str) -> String {
        format!("{name}@{}.example.com", self.journey.replace('_', "-"))
    }

    /// Registers a new customer.
    pub async fn newcomer(&self, name: &str) -> Person {
        let body = json!({"email": self.email(name), "password": PASSWORD});
        person(&self.post("/auth/register").json(body).send().await.expect(201))
    }

    /// Logs someone in by email.
    pub async fn log_in(&self, email: &str, password: &str) -> Person {
        let body = json!({"email": email, "password": password});
        person(&self.post("/auth/login").json(body).send().await.expect(200))
    }

    /// The demo shop's administrator.
    pub async fn admin(&self) -> Person {
        self.log_in("admin@test.com", "password123").await
    }

    /// Offers a new product in this journey's own category, with so many pieces. The price is in pence.
    pub async fn offer(&self, admin: &Person, sku: &str, price: i64, on_hand: i64) -> Value {
        let name = format!("Goods {sku}");
        let body = json!({"sku": sku, "name": name, "price": pence(price), "category": self.category()});
        let product = self.post("/catalog/products").bearer(&admin.token).json(body).send().await.expect(201);
        let level = json!({"on_hand": on_hand, "low_stock_threshold": 0});
        self.put(&format!("/inventory/{sku}")).bearer(&admin.token).json(level).send().await.expect(200);
        product.json
    }

    /// A category that only this journey has.
    pub fn category(&self) -> String {
        self.journey.replace('_', " ")
    }

    /// What can still be bought of a SKU.
    pub async fn available(&self, reader: &Person, sku: &str) -> i64 {
        let level = self.get(&format!("/inventory/{sku}")).bearer(&reader.token).send().await.expect(200);
        level.json["available"].as_i64().unwrap()
    }

    /// Orders one SKU under a key of the caller's.
    pub fn order(&self, buyer: &Person, key: &str, sku: &str, quantity: i64) -> Call<'_> {
        let body = json!({"items": [{"sku": sku, "quantity": quantity}]});
        self.post("/orders").bearer(&buyer.token).key(key).json(body)
    }

    /// Pays an order with a token of the sandbox.
    pub fn pay(&self, buyer: &Person, key: &str, order: &Value, token: &str) -> Call<'_> {
        let method = json!({"type": "card", "token": token});
        let body = json!({"order_id": order["id"], "method": method, "capture": true});
        self.post("/payments").bearer(&buyer.token).key(key).json(body)
    }

    /// An administrator's step with the money of a payment.
    pub fn operate(&self, admin: &Person, payment: &Value, what: &str, key: &str, body: Value) -> Call<'_> {
        self.post(&format!("{}/{what}", path_of("/payments", payment)))
            .bearer(&admin.token)
            .key(key)
            .json(body)
    }

    /// Asks again until the answer is as hoped, and only that one goes into the transcript, with its lists sorted.
    pub async fn until(&self, path: &str, reader: &Person, hoped: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(ASK_EVERY);
        loop {
            ticks.tick().await;
            let call = self.get(path).bearer(&reader.token).unrecorded();
            let answer = call.send().await.expect(200);
            if hoped(&answer.json) {
                self.lock().exchange("GET", path, &answer, true);
                return answer.json;
            }
            assert!(Instant::now() < give_up, "{path} never became as hoped: {}", answer.text);
        }
    }

    /// Asks again until a token is no longer taken here. A session that ends must be over everywhere within a second.
    pub async fn until_refused(&self, path: &str, token: &str, within: Duration) {
        let give_up = Instant::now() + within;
        let mut ticks = tokio::time::interval(ASK_EVERY);
        loop {
            ticks.tick().await;
            let answer = self.get(path).bearer(token).unrecorded().send().await;
            if answer.status == 401 {
                self.lock().exchange("GET", path, &answer.expect_problem(401, "unauthenticated"), false);
                return;
            }
            assert!(Instant::now() < give_up, "{path} still takes the token: {}", answer.text);
        }
    }

    /// Every item of a list, page by page, without the transcript: others in the shop may add to it.
    pub async fn all(&self, path: &str, reader: &Person) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}?limit=100{cursor}");
            let page = self.get(&page).bearer(&reader.token).unrecorded().send().await.expect(200).json;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}

impl Call<'_> {
    fn with(self, change: impl FnOnce(Sent) -> Sent) -> Self {
        Self { sent: change(self.sent), ..self }
    }

    /// With an access token.
    pub fn bearer(self, token: &str) -> Self {
        self.with(|sent| sent.bearer(token))
    }

    /// With an idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.with(|sent| sent.key(key))
    }

    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|sent| sent.header(name, value))
    }

    /// With a JSON body.
    pub fn json(self, body: Value) -> Self {
        self.with(|sent| sent.json(body))
    }

    /// With a body of any type.
    pub fn body(self, content_type: &str, body: impl Into<String>) -> Self {
        self.with(|sent| sent.body(content_type, body.into()))
    }

    /// Its answer depends on what others do at the same time.
    pub fn unrecorded(self) -> Self {
        Self { recorded: Recorded::Not, ..self }
    }

    /// Its list is in an order that independent events gave it.
    pub fn in_any_order(self) -> Self {
        Self { recorded: Recorded::ListsSorted, ..self }
    }

    /// Sends it.
    pub async fn send(self) -> Response {
        let answer = self.sent.send().await;
        if self.recorded != Recorded::Not {
            let unordered = self.recorded == Recorded::ListsSorted;
            self.shop.lock().exchange(self.method, &self.path, &answer, unordered);
        }
        answer
    }
}

/// A client that follows no redirect: a shop never sends a POST elsewhere.
pub fn client() -> Client {
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    client.timeout(Duration::from_secs(60)).build().unwrap()
}

/// Whoever an answer logged in.
pub fn person(answer: &Response) -> Person {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Person {
        id: text(&answer.json["user"]["id"]),
        email: text(&answer.json["user"]["email"]),
        token: text(&answer.json["access_token"]),
        refresh_token: text(&answer.json["refresh_token"]),
    }
}

/// The path of a thing that was answered.
pub fn path_of(list: &str, thing: &Value) -> String {
    format!("{list}/{}", thing["id"].as_str().unwrap())
}

pub fn pence(amount: i64) -> Value {
    json!({"amount": amount, "currency": "GBP"})
}

/// How many answers had which status and code, as text that is the same for the same counts.
pub fn tally(answers: &[Response]) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for answer in answers {
        *counts.entry(format!("{} {}", answer.status, answer.code()).trim_end().to_owned()).or_default() += 1;
    }
    counts.iter().map(|(answer, count)| format!("{count} x {answer}")).collect::<Vec<_>>().join(", ")
}
