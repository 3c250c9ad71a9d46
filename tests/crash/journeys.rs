//! The stories. Each has a part that comes before, in which nothing is disturbed, and a part in which processes end.

use std::time::Duration;

use deployments::{Person, Running, Topology, path_of, pence};
use serde_json::{Value, json};

use crate::careful::{Answer, Careful};
use crate::runner::Stage;
use crate::{facts, poison};

/// The price of what is sold here, in pence; every order has two pieces.
const PRICE: i64 = 850;
/// Pieces that are there at first.
const ON_HAND: i64 = 10;

/// How often is looked whether a step was done that somebody else is at, and how many times at most: 20 s.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const MOST_LOOKS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Journey {
    Poison,
    Expire,
    LostAnswer,
    Refund,
    CancelPaid,
    Ship,
    Pay,
    Hold,
    DeclinedThenPaid,
    Checkout,
    Order,
    CancelHeld,
    CancelUnpaid,
    Reactivate,
    AdjustStock,
    Register,
}

/// Who takes part in a story, and what they have so far.
pub struct Scene {
    pub admin: Person,
    pub customer: Person,
    pub sku: String,
    product: Value,
    order: Value,
    payment: Value,
    /// The event that nobody can read.
    pub poison: Option<String>,
    /// What every name and key of this telling begins with.
    prefix: String,
}

impl Journey {
    /// The long ones first, so that none of them is alone at the end.
    pub const ALL: &'static [Self] = &[
        Self::Poison,
        Self::Expire,
        Self::LostAnswer,
        Self::Refund,
        Self::CancelPaid,
        Self::Ship,
        Self::Pay,
        Self::Hold,
        Self::DeclinedThenPaid,
        Self::Checkout,
        Self::Order,
        Self::CancelHeld,
        Self::CancelUnpaid,
        Self::Reactivate,
        Self::AdjustStock,
        Self::Register,
    ];

    /// As it stands in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::Expire => "expire",
            Self::LostAnswer => "lost_answer",
            Self::Refund => "refund",
            Self::CancelPaid => "cancel_paid",
            Self::Ship => "ship",
            Self::Pay => "pay",
            Self::Hold => "hold",
            Self::DeclinedThenPaid => "declined_then_paid",
            Self::Checkout => "checkout",
            Self::Order => "order",
            Self::CancelHeld => "cancel_held",
            Self::CancelUnpaid => "cancel_unpaid",
            Self::Reactivate => "reactivate",
            Self::AdjustStock => "adjust_stock",
            Self::Register => "register",
        }
    }

    /// Only a broker has dead letters.
    pub fn runs_in(self, topology: Topology) -> bool {
        self != Self::Poison || topology == Topology::Split
    }

    /// Settings that only a shop of its own may have.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Expire => {
                &[("SOUK__ORDERS__PAYMENT_WINDOW_S", "2"), ("SOUK__ORDERS__EXPIRE_EVERY_MS", "500")]
            }
            _ => &[],
        }
    }

    /// Whether its shop is no good for another journey.
    pub fn leaves_traces(self) -> bool {
        self == Self::Poison
    }

    /// What comes before the story; nothing ends here.
    pub async fn prepare(self, stage: &Stage<'_>, prefix: &str) -> Scene {
        let client = &stage.client;
        let mut scene = Scene::open(client, prefix).await;
        match self {
            Self::Order
            | Self::Checkout
            | Self::Expire
            | Self::Register
            | Self::AdjustStock
            | Self::Poison => {}
            Self::Pay | Self::Hold | Self::DeclinedThenPaid | Self::LostAnswer | Self::CancelUnpaid => {
                scene.order(client).await;
            }
            Self::CancelPaid | Self::Refund | Self::Ship => {
                scene.order(client).await;
                scene.pay(client, "paid", "tok_ok", true).await.expect(201);
                scene.becomes(client, "confirmed").await;
            }
            Self::CancelHeld => {
                scene.order(client).await;
                scene.payment = scene.pay(client, "held", "tok_ok", false).await.expect(201);
                let held = |order: &Value| order["payment_status"] == "authorized";
                client.until(&scene.customer, &path_of("/orders", &scene.order), held).await;
            }
            Self::Reactivate => {
                scene.order(client).await;
                scene.cancel(client).await;
                let path = format!("/inventory/{}", scene.sku);
                client.until(&scene.admin, &path, |level| level["reserved"] == 0).await;
            }
        }
        scene
    }

    /// The story; anything may end in the middle of it.
    pub async fn tell(self, stage: &Stage<'_>, scene: &mut Scene) {
        let client = &stage.client;
        match self {
            Self::Order => scene.order(client).await,
            Self::Checkout => scene.check_out(client).await,
            Self::Pay => {
                scene.pay(client, "pay", "tok_ok", true).await.expect(201);
            }
            Self::LostAnswer => {
                scene.pay(client, "pay", "tok_timeout_then_ok", true).await.expect(201);
            }
            Self::DeclinedThenPaid => {
                scene
                    .pay(client, "declined", "tok_declined", true)
                    .await
                    .expect_problem(402, "card_declined");
                scene.pay(client, "paid", "tok_ok", true).await.expect(201);
            }
            Self::Hold => {
                scene.payment = scene.pay(client, "hold", "tok_ok", false).await.expect(201);
                scene.operate(client, "capture", "capture", json!({})).await.expect(200);
            }
            Self::CancelUnpaid | Self::CancelPaid | Self::CancelHeld => scene.cancel(client).await,
            Self::Refund => {
                let payments = client.get(&scene.customer, "/payments").await;
                scene.payment = payments["items"][0].clone();
                let part = json!({"amount": pence(600), "reason": "a chip"});
                scene.operate(client, "refund", "part", part).await.expect(200);
                scene.operate(client, "refund", "rest", json!({})).await.expect(200);
            }
            Self::Ship => {
                for status in ["processing", "shipped", "delivered"] {
                    scene.advance(client, status).await;
                }
            }
            Self::Reactivate => scene.advance(client, "pending").await,
            Self::Expire => {
                scene.order(client).await;
                scene.becomes(client, "cancelled").await;
            }
            Self::Register => {
                scene.customer = client.register(&format!("late@{}.example.com", scene.prefix)).await;
            }
            Self::AdjustStock => {
                let (path, key) = (path_of("/products", &scene.product) + "/stock", scene.key("stock"));
                let change = json!({"change": 5});
                client.patch(&scene.admin, &path, Some(&key), change).await.expect(200);
            }
            Self::Poison => poison::emit(stage.running, scene).unwrap(),
        }
    }

    /// What is true after it.
    pub async fn facts(self, stage: &Stage<'_>, scene: &Scene) -> Value {
        match self {
            Self::Poison => poison::facts(stage.running, scene),
            _ => facts::facts(&stage.client, scene).await,
        }
    }

    /// What is true after it without a crash, and so with any.
    pub fn expected(self) -> Value {
        match self {
            Self::Poison => json!({"dead": ["dead_letters notifications"]}),
            Self::Register => without_an_order("10 0", &["opening 10"]),
            Self::AdjustStock => without_an_order("15 0", &["adjusted 5", "opening 10"]),
            Self::Order | Self::Checkout => Purchase::placed().facts(),
            Self::Pay | Self::LostAnswer => Purchase::paid().facts(),
            Self::Hold => Purchase {
                timeline: &["created", "payment_authorized", "payment_captured", "status_changed confirmed"],
                ..Purchase::paid()
            }
            .facts(),
            Self::DeclinedThenPaid => Purchase {
                timeline: &["created", "payment_failed", "payment_captured", "status_changed confirmed"],
                payments: &["captured 1700 1700 0", "failed 1700 0 0"],
                ..Purchase::paid()
            }
            .facts(),
            Self::CancelUnpaid | Self::Expire => Purchase::cancelled().facts(),
            Self::CancelHeld => Purchase {
                timeline: &["created", "payment_authorized", "status_changed cancelled", "payment_voided"],
                payments: &["voided 1700 0 0"],
                ..Purchase::cancelled()
            }
            .facts(),
            Self::CancelPaid => Purchase {
                order: "cancelled refunded 1700",
                timeline: &[
                    "created",
                    "payment_captured",
                    "status_changed confirmed",
                    "status_changed cancelled",
                    "payment_refunded",
                ],
                payments: &["refunded 1700 1700 1700"],
                mails: &["order_cancelled", "order_confirmed", "payment_captured", "payment_refunded"],
                ..Purchase::cancelled()
            }
            .facts(),
            Self::Reactivate => Purchase {
                timeline: &["created", "status_changed cancelled", "status_changed pending"],
                mails: &["order_cancelled"],
                ..Purchase::placed()
            }
            .facts(),
            Self::Refund => Purchase {
                order: "confirmed refunded 1700",
                timeline: &[
                    "created",
                    "payment_captured",
                    "status_changed confirmed",
                    "payment_refunded",
                    "payment_refunded",
                ],
                payments: &["refunded 1700 1700 1700"],
                mails: &["order_confirmed", "payment_captured", "payment_refunded", "payment_refunded"],
                ..Purchase::paid()
            }
            .facts(),
            Self::Ship => Purchase {
                order: "delivered captured 1700",
                timeline: &[
                    "created",
                    "payment_captured",
                    "status_changed confirmed",
                    "status_changed processing",
                    "status_changed shipped",
                    "status_changed delivered",
                ],
                stock: "8 0",
                moved: &["opening 10", "shipped -2"],
                mails: &["order_confirmed", "order_delivered", "order_shipped", "payment_captured"],
                ..Purchase::paid()
            }
            .facts(),
        }
    }

    /// What waits to be finished or undone.
    pub fn open(self, running: &Running) -> Result<Vec<Value>, String> {
        let mut open = running.what_is_open()?;
        if self == Self::Poison {
            // They wait for an operator; that is the end of this story.
            open.retain(|open| open["kind"] != "dead_letter");
        }
        Ok(open)
    }

    /// Asks the doctor, when all runs are over.
    pub fn assert_healthy(self, running: &Running) -> Result<(), String> {
        match self {
            Self::Poison => poison::assert_named(running),
            _ => running.assert_healthy(),
        }
    }
}

/// What is true of the one order of a customer, and of its SKU.
struct Purchase {
    /// Status, payment status, total.
    order: &'static str,
    timeline: &'static [&'static str],
    /// Status, amount, captured, refunded.
    payments: &'static [&'static str],
    /// On hand, reserved.
    stock: &'static str,
    moved: &'static [&'static str],
    /// Beside those of registration and of the order.
    mails: &'static [&'static str],
}

impl Purchase {
    fn placed() -> Self {
        Self {
            order: "pending unpaid 1700",
            timeline: &["created"],
            payments: &[],
            stock: "10 2",
            moved: &["opening 10"],
            mails: &[],
        }
    }

    fn paid() -> Self {
        Self {
            order: "confirmed captured 1700",
            timeline: &["created", "payment_captured", "status_changed confirmed"],
            payments: &["captured 1700 1700 0"],
            mails: &["order_confirmed", "payment_captured"],
            ..Self::placed()
        }
    }

    fn cancelled() -> Self {
        Self {
            order: "cancelled unpaid 1700",
            timeline: &["created", "status_changed cancelled"],
            stock: "10 0",
            mails: &["order_cancelled"],
            ..Self::placed()
        }
    }

    fn facts(self) -> Value {
        let mut mails = [self.mails, &["order_created", "verify_email", "welcome"]].concat();
        mails.sort_unstable();
        let order = json!({"is": self.order, "was": self.timeline});
        let (payments, stock, moved) = (self.payments, self.stock, self.moved);
        json!({"orders": [order], "payments": payments, "stock": stock, "moved": moved, "cart": 0, "mails": mails})
    }
}

fn without_an_order(stock: &str, moved: &[&str]) -> Value {
    json!({"orders": [], "payments": [], "stock": stock, "moved": moved, "cart": 0, "mails": ["verify_email", "welcome"]})
}

impl Scene {
    async fn open(client: &Careful, prefix: &str) -> Self {
        let admin = client.log_in("admin@test.com", "password123").await;
        let customer = client.register(&format!("ada@{prefix}.example.com")).await;
        let sku = format!("MUG-{}", prefix.to_uppercase());
        let goods =
            json!({"sku": sku, "name": format!("Goods {sku}"), "price": pence(PRICE), "category": "Crash"});
        let product =
            client.post(&admin, "/catalog/products", &format!("{prefix} offer"), goods).await.expect(201);
        let level = json!({"on_hand": ON_HAND, "low_stock_threshold": 0});
        client.put(&admin, &format!("/inventory/{sku}"), level).await.expect(200);
        let (order, payment, prefix) = (Value::Null, Value::Null, prefix.to_owned());
        Self { admin, customer, sku, product, order, payment, poison: None, prefix }
    }

    fn key(&self, of: &str) -> String {
        format!("{} {of}", self.prefix)
    }

    async fn order(&mut self, client: &Careful) {
        let body = json!({"items": [{"sku": self.sku, "quantity": 2}]});
        self.order = client.post(&self.customer, "/orders", &self.key("order"), body).await.expect(201);
    }

    async fn check_out(&mut self, client: &Careful) {
        let path = format!("/cart/items/{}", self.sku);
        client.put(&self.customer, &path, json!({"quantity": 2})).await.expect(200);
        let body = json!({"shipping_address": "12 St James's Square, London"});
        let answer = client.post(&self.customer, "/cart/checkout", &self.key("checkout"), body).await;
        self.order = answer.expect(201);
    }

    async fn pay(&self, client: &Careful, key: &str, token: &str, capture: bool) -> Answer {
        let method = json!({"type": "card", "token": token});
        let body = json!({"order_id": self.order["id"], "method": method, "capture": capture});
        client.post(&self.customer, "/payments", &self.key(key), body).await
    }

    async fn operate(&self, client: &Careful, what: &str, key: &str, body: Value) -> Answer {
        let path = format!("{}/{what}", path_of("/payments", &self.payment));
        client.post(&self.admin, &path, &self.key(key), body).await
    }

    async fn cancel(&self, client: &Careful) {
        let path = format!("{}/cancel", path_of("/orders", &self.order));
        client.post(&self.customer, &path, &self.key("cancel"), json!({})).await.expect(200);
    }

    /// A step without a key: who is told that it cannot be done looks whether it was done before, and comes back if somebody
    /// still is at it.
    async fn advance(&self, client: &Careful, status: &str) {
        let path = path_of("/orders", &self.order);
        for _ in 0..MOST_LOOKS {
            let change = json!({"status": status});
            let answer = client.patch(&self.admin, &format!("{path}/status"), None, change).await;
            if answer.status != 409 {
                answer.expect(200);
                return;
            }
            if client.get(&self.admin, &path).await["status"] == status {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("the order never became {status}");
    }

    async fn becomes(&self, client: &Careful, status: &str) {
        let path = path_of("/orders", &self.order);
        client.until(&self.customer, &path, |order| order["status"] == status).await;
    }
}
