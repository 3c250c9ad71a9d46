//! A whole shop on a free port, and a client that speaks to it.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::task::JoinHandle;
use platform::system::System;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use souk::doctor::Doctor;
use souk::server::Application;
use souk::settings::{Overrides, Settings};
use testkit::{Engine, Response, Sent};

/// A running shop with the demo goods. It stops with the test.
pub struct Shop {
    pub address: String,
    pub settings: Settings,
    client: Client,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    /// Keeps the test's databases until the end.
    place: Place,
}

/// Someone who is logged in.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: String,
    pub token: String,
}

/// Where a shop's data is during a test.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub database: testkit::TestDatabase,
}

impl Place {
    /// A fresh one.
    pub async fn new(engine: Engine) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: testkit::TestDatabase::create(engine).await }
    }

    /// The settings of a shop here: cheap hashes, quick workers.
    pub fn settings(&self) -> Settings {
        let overrides = Overrides {
            data_dir: Some(self.folder.path().join("data")),
            database_url: self.database.url().map(str::to_owned),
            port: Some(0),
            ..Overrides::default()
        };
        let mut settings = Settings::load(&overrides).unwrap();
        settings.modules.auth.bcrypt_cost = 4;
        settings.database.max_connections = 4;
        settings.database.acquire_timeout_ms = 30_000;
        settings.server.workers = 2;
        settings
    }
}

impl Shop {
    /// Opens a shop with the demo goods.
    pub async fn open(engine: Engine) -> Self {
        Self::open_with(engine, |_| {}).await
    }

    /// The same with other settings.
    pub async fn open_with(engine: Engine, change: impl FnOnce(&mut Settings)) -> Self {
        let place = Place::new(engine).await;
        let mut settings = place.settings();
        change(&mut settings);
        let application = Application::build(&settings, System::real()).await.unwrap();
        let address = application.address();
        let handle = application.handle();
        let serving = actix_web::rt::spawn(application.serve());
        Self { address, settings, client: Client::new(), handle, serving, place }
    }

    /// Stops the shop; what it has written stays.
    pub async fn stop(self) -> Place {
        self.handle.stop(true).await;
        self.serving.await.unwrap().unwrap();
        self.place
    }

    /// A request.
    pub fn call(&self, method: &str, path: &str) -> Sent {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Sent::new(self.client.request(method, format!("{}{path}", self.address)))
    }

    pub fn get(&self, path: &str) -> Sent {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str) -> Sent {
        self.call("POST", path)
    }

    /// Logs someone in by email.
    pub async fn log_in(&self, email: &str, password: &str) -> Person {
        let body = json!({"email": email, "password": password});
        person(self.post("/auth/login").json(body).send().await.expect(200))
    }

    pub async fn admin(&self) -> Person {
        self.log_in("admin@test.com", "password123").await
    }

    pub async fn demo_customer(&self) -> Person {
        self.log_in("demo@test.com", "password123").await
    }

    /// Registers a new customer.
    pub async fn newcomer(&self) -> Person {
        let email = format!("{}@example.com", testkit::fresh_id().simple());
        let body = json!({"email": email, "password": "correct horse"});
        person(self.post("/auth/register").json(body).send().await.expect(201))
    }

    /// What can still be bought of a SKU.
    pub async fn available(&self, reader: &Person, sku: &str) -> i64 {
        let level = self.get(&format!("/inventory/{sku}")).bearer(&reader.token).send().await.expect(200);
        level.json["available"].as_i64().unwrap()
    }

    /// Orders one SKU under a fresh key.
    pub async fn order(&self, buyer: &Person, sku: &str, quantity: i64) -> Response {
        self.post("/orders")
            .bearer(&buyer.token)
            .key(&testkit::fresh_id().to_string())
            .json(json!({"items": [{"sku": sku, "quantity": quantity}]}))
            .send()
            .await
    }

    /// Pays an order with a token of the sandbox.
    pub async fn pay(&self, buyer: &Person, order: &str, token: &str) -> Response {
        self.post("/payments")
            .bearer(&buyer.token)
            .key(&testkit::fresh_id().to_string())
            .json(json!({"order_id": order, "method": {"type": "card", "token": token}, "capture": true}))
            .send()
            .await
    }

    /// Asks again until the answer is as hoped; fails after ten seconds with the last one.
    pub async fn until(&self, path: &str, reader: &Person, hoped: impl Fn(&Value) -> bool) -> Value {
        let give_up = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let answer = self.get(path).bearer(&reader.token).send().await.expect(200).json;
            if hoped(&answer) {
                return answer;
            }
            assert!(std::time::Instant::now() < give_up, "{path} never became as hoped: {answer}");
            tokio::task::yield_now().await;
        }
    }

    /// Fails the test unless every invariant of the shop holds.
    pub async fn assert_healthy(&self) {
        let doctor = Doctor::open(&self.settings, &System::real()).await;
        let checked = doctor.check().await;
        doctor.close().await;
        assert_eq!(checked.exit_code(), 0, "{:#?}", checked.lines());
    }
}

fn person(response: Response) -> Person {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Person { id: text(&response.json["user"]["id"]), token: text(&response.json["access_token"]) }
}
