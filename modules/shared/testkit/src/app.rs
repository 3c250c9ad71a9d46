//! One module behind a real HTTP server on a free port.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpServer, ResponseError, web};
use contracts::event::{Envelope, Event};
use kernel::EventId;
use platform::access::policy::Policies;
use platform::access::{Admission, TokenVerifier};
use platform::bus::{EventBus, LocalBus, PublishError};
use platform::client_address::TrustedProxies;
use platform::module::Module;
use platform::problem::{Problem, codes};
use platform::rate_limit::RateLimiter;
use platform::relay::{Relay, RelaySettings};
use platform::routes::Routes;
use reqwest::Method;
use serde_json::Value;
use utoipa_actix_web::AppExt;
use uuid::Uuid;

use crate::tokens::TestUser;

/// A running module. Its server stops when the test's runtime does.
pub struct TestApp {
    pub address: String,
    pub client: reqwest::Client,
    module: Arc<dyn Module>,
    bus: Arc<RecordingBus>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    /// The body as JSON; null if it is none.
    pub json: Value,
}

impl Response {
    /// The `code` of a problem.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Fails the test with the whole answer unless the status is this.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Fails the test unless it is this problem.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        self
    }
}

/// A request that is being put together.
pub struct Sent {
    request: reqwest::RequestBuilder,
}

impl Sent {
    /// From a request of a test's own client.
    pub fn new(request: reqwest::RequestBuilder) -> Self {
        Self { request }
    }

    /// With an access token.
    pub fn bearer(self, token: &str) -> Self {
        Self { request: self.request.bearer_auth(token) }
    }

    /// As a user.
    pub fn by(self, user: &TestUser) -> Self {
        self.bearer(&user.token)
    }

    /// With an idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value) }
    }

    /// With a JSON body.
    pub fn json(self, body: Value) -> Self {
        Self { request: self.request.json(&body) }
    }

    /// With a body of any type.
    pub fn body(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self { request: self.request.header("Content-Type", content_type).body(body) }
    }

    /// Sends it.
    pub async fn send(self) -> Response {
        let response = self.request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Response { status, headers, text, json }
    }
}

/// Delivers a module's events to its own handlers and keeps a copy.
struct RecordingBus {
    local: LocalBus,
    published: std::sync::Mutex<Vec<Envelope>>,
}

#[async_trait::async_trait]
impl EventBus for RecordingBus {
    async fn publish(&self, envelope: &Envelope) -> Result<(), PublishError> {
        self.local.publish(envelope).await?;
        self.published.lock().unwrap().push(envelope.clone());
        Ok(())
    }
}

/// As the server does it.
async fn admitted<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let refused = match platform::access::admit(request.request()).await {
        Ok(Admission::Granted) => {
            platform::access::watch_body(&mut request);
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        Ok(Admission::NoOperation) => Problem::new(codes::NOT_FOUND, "There is nothing at this path."),
        Err(problem) => problem,
    };
    Ok(request.into_response(refused.error_response()))
}

impl TestApp {
    /// Starts a server with the routes of one module. Nothing is limited.
    pub async fn start(module: impl Module + 'static, verifier: Arc<TokenVerifier>) -> Self {
        Self::start_with(module, verifier, |_| {}).await
    }

    /// The same, with limits for each client address. The test is a trusted proxy, so that it can be anyone.
    pub async fn start_limited(
        module: impl Module + 'static,
        verifier: Arc<TokenVerifier>,
        limiter: RateLimiter,
    ) -> Self {
        let limiter = web::Data::new(limiter);
        let proxies = web::Data::new(TrustedProxies::parse(&["127.0.0.1"]).unwrap());
        let data = move |config: &mut web::ServiceConfig| {
            config.app_data(limiter.clone()).app_data(proxies.clone());
        };
        Self::start_with(module, verifier, data).await
    }

    async fn start_with(
        module: impl Module + 'static,
        verifier: Arc<TokenVerifier>,
        data: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> Self {
        let module: Arc<dyn Module> = Arc::new(module);
        let served = module.clone();
        let verifier = web::Data::from(verifier);
        let (_, document) = App::new()
            .into_utoipa_app()
            .configure(|config| module.routes(&mut Routes::documented(config)))
            .split_for_parts();
        let mut policies = Policies::default();
        policies.add_all(&document).unwrap();
        let policies = web::Data::new(policies);
        let server = HttpServer::new(move || {
            let (module, data) = (served.clone(), data.clone());
            App::new()
                .app_data(verifier.clone())
                .app_data(policies.clone())
                .configure(data)
                .configure(|config| module.routes(&mut Routes::served(config)))
                .wrap(from_fn(admitted))
        })
        .workers(2)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
        let address = format!("http://{}", server.addrs().first().unwrap());
        actix_web::rt::spawn(server.run());
        let bus =
            Arc::new(RecordingBus { local: LocalBus::new(module.handlers()), published: Default::default() });
        Self { address, client: reqwest::Client::new(), module, bus }
    }

    /// A request, such as `app.call("POST", "/orders")`.
    pub fn call(&self, method: &str, path: &str) -> Sent {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Sent { request: self.client.request(method, format!("{}{path}", self.address)) }
    }

    /// A GET request.
    pub fn get(&self, path: &str) -> Sent {
        self.call("GET", path)
    }

    /// A POST request.
    pub fn post(&self, path: &str) -> Sent {
        self.call("POST", path)
    }

    /// Delivers an event from another module to this one's handlers; a second call with the same id is a redelivery.
    pub async fn deliver<E: Event>(&self, event_id: Uuid, event: &E) -> Result<(), PublishError> {
        let envelope = Envelope {
            id: EventId(event_id),
            event_type: E::TYPE.to_owned(),
            aggregate_id: event.aggregate_id(),
            occurred_at: self.module.db().system().now(),
            trace_id: None,
            payload: serde_json::to_value(event).unwrap(),
        };
        self.bus.local.publish(&envelope).await
    }

    /// Empties the module's outbox and returns every event of a type published so far, oldest first.
    pub async fn published<E: Event>(&self) -> Vec<E> {
        let relay = Relay::new(self.module.db().clone(), self.bus.clone(), RelaySettings::default());
        while relay.deliver_batch().await.unwrap() > 0 {}
        self.bus
            .published
            .lock()
            .unwrap()
            .iter()
            .filter_map(|envelope| envelope.open::<E>())
            .map(Result::unwrap)
            .collect()
    }

    /// Runs a worker of the module once.
    pub async fn work(&self, name: &str) {
        let workers = self.module.workers();
        let worker = workers.iter().find(|worker| worker.name == name).expect("a worker of this name");
        (worker.run)().await.unwrap();
    }

    /// Fails the test if the module's doctor finds anything.
    pub async fn assert_healthy(&self) {
        let sick: Vec<_> =
            self.module.doctor().await.unwrap().into_iter().filter(|check| !check.holds()).collect();
        assert!(sick.is_empty(), "{sick:#?}");
    }

    /// The module itself.
    pub fn module(&self) -> &Arc<dyn Module> {
        &self.module
    }
}
