//! A shop with one real module, the cart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cart::{Cart, Deps, Settings};
use contracts::orders::{
    BeginPaymentRefusal, Order, OrderCreated, OrdersPort, PayableOrder, PlaceOrder, PlaceRefusal, PlacedOrder,
};
use contracts::port::{NoRefusal, PortError};
use contracts::users::Actor;
use kernel::{CartId, OrderId, PaymentId};
use platform::rate_limit::{self, RateLimiter};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use serde_json::{Value, json};
use testkit::fakes::{FakeCatalog, FakeInventory, FakeOrders};
use testkit::{Bench, Engine, Response, TestApp, TestUser};

/// The fake, which may also lose its answers or be slow enough for something to happen meanwhile.
pub struct Orders {
    fake: Arc<FakeOrders>,
    loses_answers: AtomicBool,
    meanwhile: Mutex<Vec<reqwest::RequestBuilder>>,
    last: Mutex<Option<(Order, Option<CartId>)>>,
}

impl Orders {
    /// While true, orders are placed but nobody hears of it.
    pub fn lose_answers(&self, yes: bool) {
        self.loses_answers.store(yes, Ordering::SeqCst);
    }

    /// Changes the customer's cart during the next placement.
    pub fn during_place(&self, shop: &Shop, customer: &TestUser, lines: &[(&str, i64)]) {
        let requests = lines.iter().map(|(sku, quantity)| {
            let url = format!("{}/cart/items/{sku}", shop.app.address);
            shop.app.client.put(url).bearer_auth(&customer.token).json(&json!({"quantity": quantity}))
        });
        *self.meanwhile.lock().unwrap() = requests.collect();
    }

    /// The event of the last order that was placed.
    pub fn created(&self) -> OrderCreated {
        let (order, cart_id) = self.last.lock().unwrap().clone().unwrap();
        OrderCreated { order, cart_id }
    }
}

#[async_trait]
impl OrdersPort for Orders {
    async fn place(&self, request: PlaceOrder) -> Result<PlacedOrder, PortError<PlaceRefusal>> {
        let meanwhile: Vec<_> = self.meanwhile.lock().unwrap().drain(..).collect();
        for request in meanwhile {
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        let cart_id = request.cart_id;
        let placed = self.fake.place(request).await?;
        if !placed.replayed {
            *self.last.lock().unwrap() = Some((placed.order.clone(), cart_id));
        }
        if self.loses_answers.load(Ordering::SeqCst) {
            return Err(PortError::unavailable("orders", "the answer was lost by the test"));
        }
        Ok(placed)
    }

    async fn begin_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
        actor: Actor,
    ) -> Result<PayableOrder, PortError<BeginPaymentRefusal>> {
        self.fake.begin_payment(order_id, payment_id, actor).await
    }

    async fn give_up_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
    ) -> Result<(), PortError<NoRefusal>> {
        self.fake.give_up_payment(order_id, payment_id).await
    }
}

pub struct Shop {
    pub bench: Bench,
    pub app: TestApp,
    pub catalog: Arc<FakeCatalog>,
    pub inventory: Arc<FakeInventory>,
    pub orders: Arc<FakeOrders>,
    pub orders_port: Arc<Orders>,
}

impl Shop {
    /// Sells mugs, cups and jugs, 100,000 pieces each, a mug at 2.50.
    pub async fn open(engine: Engine) -> Self {
        let bench = Bench::new(engine).await;
        let (catalog, inventory) = (Arc::new(FakeCatalog::default()), Arc::new(FakeInventory::default()));
        for (sku, price_minor) in [("MUG", 250), ("CUP", 120), ("JUG", 990)] {
            catalog.put(sku, price_minor);
            inventory.put(sku, 100_000);
        }
        let orders = Arc::new(FakeOrders::default());
        let orders_port = Arc::new(Orders {
            fake: orders.clone(),
            loses_answers: AtomicBool::new(false),
            meanwhile: Mutex::default(),
            last: Mutex::default(),
        });
        let module = Cart::new(Deps {
            db: bench.db("cart").await,
            settings: Settings::default(),
            catalog: catalog.clone(),
            inventory: inventory.clone(),
            orders: orders_port.clone(),
        });
        let app = TestApp::start(module, bench.tokens.verifier()).await;
        Self { bench, app, catalog, inventory, orders, orders_port }
    }

    /// Another process, in which an address may make only so many guest carts in a minute.
    pub async fn limited(&self, guest_carts_per_minute: u64) -> TestApp {
        let module = Cart::new(Deps {
            db: self.bench.open("cart").await,
            settings: Settings::default(),
            catalog: self.catalog.clone(),
            inventory: self.inventory.clone(),
            orders: self.orders_port.clone(),
        });
        let settings = rate_limit::Settings { guest_carts_per_minute, ..rate_limit::Settings::default() };
        let limiter = RateLimiter::new(settings, self.bench.clock.clone(), None);
        TestApp::start_limited(module, self.bench.tokens.verifier(), limiter).await
    }

    pub async fn cart(&self, customer: &TestUser) -> Value {
        self.app.get("/cart").by(customer).send().await.expect(200).json
    }

    pub async fn put(&self, customer: &TestUser, sku: &str, quantity: i64) -> Response {
        let path = format!("/cart/items/{sku}");
        self.app.call("PUT", &path).by(customer).json(json!({"quantity": quantity})).send().await
    }

    pub async fn guest_cart(&self, token: &str) -> Value {
        self.app.get("/cart").header("X-Cart-Token", token).send().await.expect(200).json
    }

    pub async fn guest_put(&self, token: &str, sku: &str, quantity: i64) -> Response {
        let path = format!("/cart/items/{sku}");
        self.app
            .call("PUT", &path)
            .header("X-Cart-Token", token)
            .json(json!({"quantity": quantity}))
            .send()
            .await
    }

    /// A new guest with something in the cart; returns the token of the first answer.
    pub async fn guest_with(&self, lines: &[(&str, i64)]) -> String {
        let mut token = String::new();
        for (sku, quantity) in lines {
            token =
                self.guest_put(&token, sku, *quantity).await.expect(200).header("x-cart-token").to_owned();
        }
        token
    }

    pub async fn merge(&self, customer: &TestUser, token: &str) -> Response {
        self.app.post("/cart/merge").by(customer).json(json!({"cart_token": token})).send().await
    }

    pub async fn checkout(&self, customer: &TestUser, key: &str) -> Response {
        self.app.post("/cart/checkout").by(customer).key(key).json(address()).send().await
    }

    pub async fn try_execute(&self, sql: &str) -> Result<(), DbErr> {
        self.app.module().db().writer().execute_unprepared(sql).await.map(|_| ())
    }

    pub async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap();
    }

    pub async fn count(&self, table: &str) -> i64 {
        let db = self.app.module().db();
        let statement = Statement::from_string(db.backend(), format!("SELECT COUNT(*) AS n FROM {table}"));
        db.reader().query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let db = self.app.module().db();
        let rows = db.reader().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
        rows.iter().map(|row| row.try_get("", "text").unwrap()).collect()
    }
}

/// The body of a checkout.
pub fn address() -> Value {
    json!({"shipping_address": {"name": "Ada Lovelace", "city": "London", "country": "GB"}})
}

/// The SKUs and quantities of a cart or an order.
pub fn lines_of(cart: &Value) -> Vec<(&str, i64)> {
    let items = cart["items"].as_array().unwrap();
    items.iter().map(|item| (item["sku"].as_str().unwrap(), item["quantity"].as_i64().unwrap())).collect()
}
