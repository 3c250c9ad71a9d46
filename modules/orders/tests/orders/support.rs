//! A shop with a catalogue and shelves that the test fills.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::inventory::{
    AdjustRefusal, AdjustStock, InventoryPort, OpeningStock, ReleaseRefusal, ReserveRefusal, ReserveStock,
    StockLevel,
};
use contracts::payments::PaymentFacts;
use contracts::port::{NoRefusal, PortError};
use kernel::{OrderId, PaymentId, ReservationId, Sku};
use orders::{Deps, Orders, Settings};
use serde_json::{Value, json};
use testkit::fakes::{FakeCatalog, FakeInventory, gbp};
use testkit::{Bench, Engine, Response, TestApp, TestUser, fresh_id};
use tokio::sync::Notify;

pub struct Shop {
    pub bench: Bench,
    pub app: TestApp,
    pub module: Orders,
    pub catalog: Arc<FakeCatalog>,
    pub stock: Arc<FakeInventory>,
    pub faults: Arc<Faults>,
}

impl Shop {
    pub async fn open(engine: Engine) -> Self {
        let bench = Bench::new(engine).await;
        let (catalog, stock) = (Arc::new(FakeCatalog::default()), Arc::new(FakeInventory::default()));
        let faults = Arc::new(Faults::default());
        let module = Orders::new(Deps {
            db: bench.db("orders").await,
            settings: Settings::default(),
            catalog: catalog.clone(),
            inventory: Arc::new(FaultyInventory { stock: stock.clone(), faults: faults.clone() }),
        });
        let app = TestApp::start(module.clone(), bench.tokens.verifier()).await;
        let shop = Self { bench, app, module, catalog, stock, faults };
        shop.sell("MUG", 850, 100);
        shop.sell("LAMP", 2_999, 50);
        shop
    }

    /// Puts a product and its stock in.
    pub fn sell(&self, sku: &str, price_minor: i64, pieces: i64) {
        self.catalog.put(sku, price_minor);
        self.stock.put(sku, pieces);
    }

    pub async fn post(&self, customer: &TestUser, key: &str, body: Value) -> Response {
        self.app.post("/orders").by(customer).key(key).json(body).send().await
    }

    /// Places an order of these lines and returns its id.
    pub async fn place(&self, customer: &TestUser, lines: &[(&str, i64)]) -> String {
        let key = fresh_id().to_string();
        let order = self.post(customer, &key, basket(lines)).await.expect(201).json;
        order["id"].as_str().unwrap().to_owned()
    }

    pub async fn order(&self, reader: &TestUser, id: &str) -> Value {
        self.app.get(&format!("/orders/{id}")).by(reader).send().await.expect(200).json
    }

    /// An order's status and payment status.
    pub async fn state(&self, id: &str) -> (String, String) {
        let order = self.order(&self.bench.tokens.admin(), id).await;
        let text = |field: &str| order[field].as_str().unwrap().to_owned();
        (text("status"), text("payment_status"))
    }

    pub async fn set_status(&self, actor: &TestUser, id: &str, status: &str) -> Response {
        let body = json!({"status": status});
        self.app.call("PATCH", &format!("/orders/{id}/status")).by(actor).json(body).send().await
    }

    pub async fn cancel(&self, actor: &TestUser, id: &str) -> Response {
        self.app.post(&format!("/orders/{id}/cancel")).by(actor).send().await
    }

    /// The types of an order's timeline.
    pub async fn timeline(&self, id: &str) -> Vec<String> {
        let admin = self.bench.tokens.admin();
        let timeline =
            self.app.get(&format!("/orders/{id}/timeline")).by(&admin).send().await.expect(200).json;
        timeline["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["type"].as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn begin_payment(&self, customer: &TestUser, id: &str) -> PaymentId {
        let payment_id = PaymentId(fresh_id());
        self.module.port().begin_payment(order_id(id), payment_id, customer.actor()).await.unwrap();
        payment_id
    }

    /// How many pieces of a SKU nobody holds.
    pub fn available(&self, sku: &str) -> i64 {
        self.stock.available(&testkit::fakes::sku(sku))
    }

    /// Everything is paid back: no reservation is held, none is abandoned, no key is open.
    pub async fn assert_nothing_is_held(&self) {
        assert!(self.stock.held().is_empty(), "{:?}", self.stock.held());
        assert_eq!(self.count("abandoned_reservations").await, 0);
        assert_eq!(self.count("idempotency_keys WHERE state = 'open'").await, 0);
        self.app.assert_healthy().await;
    }

    /// Rows of a table in the module's database.
    pub async fn count(&self, table: &str) -> i64 {
        use sea_orm::{ConnectionTrait, Statement};
        let db = self.app.module().db();
        let statement = Statement::from_string(db.backend(), format!("SELECT COUNT(*) AS n FROM {table}"));
        db.reader().query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    pub async fn execute(&self, sql: &str) {
        use sea_orm::ConnectionTrait;
        self.app.module().db().writer().execute_unprepared(sql).await.unwrap();
    }

    pub fn advance(&self, seconds: u64) {
        self.bench.clock.advance(Duration::from_secs(seconds));
    }

    /// The same user with a token that is valid now.
    pub fn again(&self, user: &TestUser) -> TestUser {
        self.bench.tokens.user(user.id, user.role)
    }
}

pub fn basket(lines: &[(&str, i64)]) -> Value {
    let items: Vec<_> =
        lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect();
    json!({"items": items, "shipping_address": {"line1": "1 High Street", "country": "GB"}})
}

pub fn order_id(id: &str) -> OrderId {
    id.parse().unwrap()
}

/// What payments would say of a payment.
pub fn facts(id: &str, payment_id: PaymentId, customer: &TestUser, amounts: (i64, i64, i64)) -> PaymentFacts {
    PaymentFacts {
        payment_id,
        order_id: order_id(id),
        user_id: customer.id,
        amount: gbp(amounts.0),
        captured: gbp(amounts.1),
        refunded: gbp(amounts.2),
    }
}

/// What goes wrong on the way to inventory.
#[derive(Default)]
pub struct Faults {
    /// The process dies before the call of `reserve` leaves.
    pub die_before_reserve: Mutex<bool>,
    /// The process dies after `reserve` took effect.
    pub die_after_reserve: Mutex<bool>,
    /// `reserve` takes effect, but its answer is lost.
    pub lose_answer: Mutex<bool>,
    /// `release` is out of reach.
    pub release_down: Mutex<bool>,
    /// The next `reserve` waits at this gate before it takes effect.
    pub gate: Mutex<Option<Arc<Gate>>>,
    /// The next `reserve` waits at this gate after it took effect.
    pub gate_after: Mutex<Option<Arc<Gate>>>,
}

#[derive(Default)]
pub struct Gate {
    pub reached: Notify,
    pub opened: Notify,
}

struct FaultyInventory {
    stock: Arc<FakeInventory>,
    faults: Arc<Faults>,
}

fn take(switch: &Mutex<bool>) -> bool {
    std::mem::take(&mut *switch.lock().unwrap())
}

async fn pass(gate: &Mutex<Option<Arc<Gate>>>) {
    let gate = gate.lock().unwrap().take();
    if let Some(gate) = gate {
        gate.reached.notify_one();
        gate.opened.notified().await;
    }
}

fn lost<R: std::fmt::Display + std::fmt::Debug>() -> PortError<R> {
    PortError::unavailable("inventory", "the test cut the line")
}

#[async_trait]
impl InventoryPort for FaultyInventory {
    async fn reserve(&self, request: ReserveStock) -> Result<(), PortError<ReserveRefusal>> {
        pass(&self.faults.gate).await;
        assert!(!take(&self.faults.die_before_reserve), "power failure before the reservation");
        let answer = self.stock.reserve(request).await;
        assert!(!take(&self.faults.die_after_reserve), "power failure after the reservation");
        pass(&self.faults.gate_after).await;
        if take(&self.faults.lose_answer) { Err(lost()) } else { answer }
    }

    async fn release(&self, id: ReservationId, order: OrderId) -> Result<(), PortError<ReleaseRefusal>> {
        if *self.faults.release_down.lock().unwrap() {
            return Err(lost());
        }
        self.stock.release(id, order).await
    }

    async fn levels(&self, skus: &[Sku]) -> Result<Vec<StockLevel>, PortError<NoRefusal>> {
        self.stock.levels(skus).await
    }

    async fn adjust(&self, request: AdjustStock) -> Result<StockLevel, PortError<AdjustRefusal>> {
        self.stock.adjust(request).await
    }

    async fn open(&self, lines: Vec<OpeningStock>) -> Result<u64, PortError<NoRefusal>> {
        self.stock.open(lines).await
    }
}
