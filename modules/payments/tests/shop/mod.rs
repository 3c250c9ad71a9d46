//! A module with a bank whose line can be cut.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contracts::event::{Envelope, Event};
use contracts::orders::{OrderStatus, OrderStatusChanged};
use hmac::{Hmac, Mac};
use kernel::{EventId, Money, OrderId, PaymentId, Timestamp};
use payments::provider::{Authorization, NoAnswer, PaymentProvider, Sandbox, StatementLine, Verdict};
use payments::{Deps, Payments, Settings};
use platform::bus::{EventBus, PublishError};
use platform::db::Db;
use platform::idempotency::{Begin, KeyedRequest, begin};
use platform::relay::{Relay, RelaySettings};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Sha256;
use testkit::fakes::{FakeOrders, gbp};
use testkit::{Bench, Engine, Response, TestApp, TestUser};
use tokio::sync::Barrier;
use uuid::Uuid;

/// The secret of the bank's webhooks.
pub const SECRET: &str = payments::DEVELOPMENT_WEBHOOK_SECRET;

/// An amount in pounds, as JSON.
pub fn money(amount_minor: i64) -> Value {
    json!({"amount": amount_minor, "currency": "GBP"})
}

/// What is wrong with the line to the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing arrives.
    Before,
    /// Everything arrives, no answer comes back.
    After,
    /// The bank refuses refunds.
    Refuse,
}

/// The sandbox behind a line that can fail.
pub struct Line {
    bank: Sandbox,
    fault: Mutex<Fault>,
    crowd: Mutex<Option<Arc<Barrier>>>,
}

impl Line {
    /// From now on the fate of a call is told when so many have asked for it.
    pub fn tell_in_crowds_of(&self, askers: usize) {
        *self.crowd.lock().unwrap() = Some(Arc::new(Barrier::new(askers)));
    }

    pub fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, NoAnswer>> + Send,
    ) -> Result<T, NoAnswer> {
        let fault = *self.fault.lock().unwrap();
        let lost = || Err(NoAnswer("cut by the test".into()));
        match fault {
            Fault::Before => lost(),
            Fault::After => {
                call.await?;
                lost()
            }
            Fault::None | Fault::Refuse => call.await,
        }
    }
}

#[async_trait]
impl PaymentProvider for Line {
    fn name(&self) -> &'static str {
        self.bank.name()
    }

    async fn authorize(&self, call: Authorization<'_>) -> Result<Verdict, NoAnswer> {
        self.through(self.bank.authorize(call)).await
    }

    async fn capture(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer> {
        self.through(self.bank.capture(key, charge, amount)).await
    }

    async fn void(&self, key: &str, charge: &str) -> Result<Verdict, NoAnswer> {
        self.through(self.bank.void(key, charge)).await
    }

    async fn refund(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer> {
        if *self.fault.lock().unwrap() == Fault::Refuse {
            return Ok(Verdict::Refused { code: "closed_account".to_owned() });
        }
        self.through(self.bank.refund(key, charge, amount)).await
    }

    async fn find(&self, key: &str) -> Result<Option<Verdict>, NoAnswer> {
        let fate = self.through(self.bank.find(key)).await;
        let crowd = self.crowd.lock().unwrap().clone();
        if let Some(crowd) = crowd {
            crowd.wait().await;
        }
        fate
    }

    async fn abandon(&self, key: &str) -> Result<Verdict, NoAnswer> {
        self.through(self.bank.abandon(key)).await
    }

    async fn statement(&self, after: Option<&str>, limit: u64) -> Result<Vec<StatementLine>, NoAnswer> {
        self.bank.statement(after, limit).await
    }

    async fn statement_of(&self, keys: &[String]) -> Result<Vec<StatementLine>, NoAnswer> {
        self.bank.statement_of(keys).await
    }
}

/// Keeps what the module publishes.
#[derive(Default)]
struct Recorder(Mutex<Vec<Envelope>>);

#[async_trait]
impl EventBus for Recorder {
    async fn publish(&self, envelope: &Envelope) -> Result<(), PublishError> {
        self.0.lock().unwrap().push(envelope.clone());
        Ok(())
    }
}

pub struct Shop {
    pub bench: Bench,
    pub app: TestApp,
    pub orders: Arc<FakeOrders>,
    pub bank: Arc<Line>,
    db: Db,
    published: Arc<Recorder>,
}

impl Shop {
    pub async fn open(engine: Engine) -> Self {
        // Crowded test machines are slow; only the test of lost answers wants a short patience.
        Self::with(engine, Settings { provider_timeout_ms: 20_000, ..Settings::default() }).await
    }

    pub async fn with(engine: Engine, settings: Settings) -> Self {
        let bench = Bench::new(engine).await;
        let db = bench.db("payments").await;
        let orders = Arc::new(FakeOrders::default());
        let bank = Arc::new(Line {
            bank: Sandbox::new(db.clone()),
            fault: Mutex::new(Fault::None),
            crowd: Mutex::default(),
        });
        let deps = Deps { db: db.clone(), settings, orders: orders.clone() };
        let module = Payments::with_provider(deps, bank.clone());
        let app = TestApp::start(module, bench.tokens.verifier()).await;
        let published = Arc::new(Recorder::default());
        let relay = Relay::new(db.clone(), published.clone(), RelaySettings::default());
        // Ends with the test's runtime.
        actix_web::rt::spawn(async move {
            while relay.deliver_batch().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { bench, app, orders, bank, db, published }
    }

    /// Every event of a type that was emitted so far, oldest first, once all of them are published.
    pub async fn published<E: Event>(&self) -> Vec<E> {
        let give_up_at = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.number("SELECT COUNT(*) AS n FROM outbox WHERE published_at_ms IS NULL").await > 0 {
            assert!(tokio::time::Instant::now() < give_up_at, "the events were not published in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.published.0.lock().unwrap().iter().filter_map(Envelope::open::<E>).map(Result::unwrap).collect()
    }

    /// Pays at once.
    pub async fn pay(&self, user: &TestUser, order: OrderId, token: &str, key: &str) -> Response {
        let body = json!({"order_id": order, "method": {"type": "card", "token": token}});
        self.app.post("/payments").by(user).key(key).json(body).send().await
    }

    /// Pays at once, with a good card; the payment.
    pub async fn paid(&self, user: &TestUser, order: OrderId, key: &str) -> PaymentId {
        id_of(&self.pay(user, order, "tok_ok", key).await.expect(201))
    }

    /// Only holds the money; the payment.
    pub async fn hold(&self, user: &TestUser, order: OrderId, key: &str) -> PaymentId {
        let body =
            json!({"order_id": order, "method": {"type": "card", "token": "tok_ok"}, "capture": false});
        let held = self.app.post("/payments").by(user).key(key).json(body).send().await.expect(201);
        assert_eq!((&held.json["status"], &held.json["captured"]), (&json!("authorized"), &money(0)));
        id_of(&held)
    }

    /// Captures, voids or refunds.
    pub async fn operate(
        &self,
        admin: &TestUser,
        id: PaymentId,
        what: &str,
        key: &str,
        body: Value,
    ) -> Response {
        self.app.post(&format!("/payments/{id}/{what}")).by(admin).key(key).json(body).send().await
    }

    pub async fn status_of(&self, id: PaymentId) -> String {
        let found =
            self.app.get(&format!("/payments/{id}")).by(&self.bench.tokens.admin()).send().await.expect(200);
        found.json["status"].as_str().unwrap().to_owned()
    }

    /// The newest payment, of which there is one.
    pub async fn only_payment(&self) -> PaymentId {
        let list = self.app.get("/payments").by(&self.bench.tokens.admin()).send().await.expect(200).json;
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        list["items"][0]["id"].as_str().unwrap().parse().unwrap()
    }

    /// What a process leaves behind that dies before it has done anything but open the key; the payment's id.
    pub async fn die_after_opening_the_key(&self, user: &TestUser, order: OrderId, key: &str) -> PaymentId {
        #[derive(Serialize)]
        struct Meaning {
            order_id: OrderId,
            method: &'static str,
            token: &'static str,
            capture: bool,
        }
        // As the handler has it.
        let meaning = Meaning { order_id: order, method: "card", token: "tok_ok", capture: true };
        let request = KeyedRequest {
            principal: format!("user:{}", user.id),
            route: "POST /payments".to_owned(),
            key: key.to_owned(),
            request_hash: platform::idempotency::hash(&meaning),
        };
        match begin::<Value>(&self.db, Some(request)).await.unwrap() {
            Begin::Work(ticket) => PaymentId(ticket.resource_id),
            Begin::Replay(_) => panic!("the key is new"),
        }
    }

    /// What the next step leaves behind.
    pub async fn leave_intent(&self, id: PaymentId, order: OrderId) {
        let now = self.bench.system.now().ms();
        let sql = match self.db.backend() {
            sea_orm::DbBackend::Sqlite => "INSERT INTO intents VALUES (?, ?, 'tok_ok', TRUE, 'open', ?, ?)",
            _ => "INSERT INTO intents VALUES ($1, $2, 'tok_ok', TRUE, 'open', $3, $4)",
        };
        let values = [id.uuid().into(), order.uuid().into(), now.into(), (now + 60_000).into()];
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, values);
        self.db.writer().execute_raw(statement).await.unwrap();
    }

    pub async fn order_became(&self, event_id: Uuid, order_id: OrderId, to: OrderStatus) {
        self.order_became_at(event_id, order_id, to, self.bench.system.now()).await;
    }

    pub async fn order_became_at(&self, event_id: Uuid, order_id: OrderId, to: OrderStatus, at: Timestamp) {
        let event = OrderStatusChanged {
            order_id,
            number: "1".to_owned(),
            user_id: None,
            from: OrderStatus::Pending,
            to,
            total: gbp(100),
            reservation_id: None,
            actor_id: None,
            reason: None,
        };
        let envelope = Envelope {
            id: EventId(event_id),
            event_type: OrderStatusChanged::TYPE.to_owned(),
            aggregate_id: event.aggregate_id(),
            occurred_at: at,
            trace_id: None,
            payload: serde_json::to_value(&event).unwrap(),
        };
        for handler in self.app.module().handlers() {
            handler.handle(&envelope).await.unwrap();
        }
    }

    /// A webhook of the bank's, signed with a secret.
    pub async fn webhook(&self, provider: &str, id: &str, at_s: i64, secret: &str, body: &str) -> Response {
        let key = secret.trim_start_matches("whsec_");
        let key = STANDARD.decode(key).unwrap_or_else(|_| key.as_bytes().to_vec());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{at_s}.{body}").as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let request = self.app.post(&format!("/payments/webhooks/{provider}"));
        let request = request.header("webhook-id", id).header("webhook-timestamp", &at_s.to_string());
        request.header("webhook-signature", &signature).body("application/json", body.to_owned()).send().await
    }

    /// The names of the checks that do not hold.
    pub async fn sick(&self) -> Vec<&'static str> {
        let checks = self.app.module().doctor().await.unwrap();
        checks.into_iter().filter(|check| !check.holds()).map(|check| check.name).collect()
    }

    pub async fn execute(&self, sql: &str) -> Result<(), DbErr> {
        self.db.writer().execute_unprepared(sql).await.map(|_| ())
    }

    /// The number `n` of a query.
    pub async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.db.backend(), sql);
        self.db.reader().query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    /// The text `t` of a query.
    pub async fn text(&self, sql: &str) -> String {
        let statement = Statement::from_string(self.db.backend(), sql);
        self.db.reader().query_one_raw(statement).await.unwrap().unwrap().try_get("", "t").unwrap()
    }

    /// Charges at the bank.
    pub async fn charges(&self) -> i64 {
        self.number("SELECT COUNT(*) AS n FROM sandbox_charges").await
    }

    pub async fn payments(&self) -> i64 {
        self.number("SELECT COUNT(*) AS n FROM payments").await
    }
}

fn id_of(answer: &Response) -> PaymentId {
    answer.json["id"].as_str().unwrap().parse().unwrap()
}
