//! A client that does what a careful one does: a request that got no answer, or one that says that it may come again, is repeated
//! as it was, with its key.

use std::time::{Duration, Instant};

use deployments::Person;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// After this the client gives up, and the test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer that takes longer is lost.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// Between two tries, unless the answer says when to come back.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub json: Value,
    /// `Retry-After`.
    come_back_after: Option<Duration>,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Whether the same request is to be sent again. A 500 is a fault of the shop's own, which no crash excuses.
    fn says_again(&self) -> bool {
        let busy = self.code().ends_with("_in_progress");
        matches!(self.status, 429 | 502..=504) || (self.status == 409 && busy)
    }

    /// Fails the test unless the status is this.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.json);
        self.json
    }

    /// Fails the test unless it is this problem.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.json);
    }
}

/// The client.
pub struct Careful {
    address: String,
    client: Client,
}

/// A request, as often as it must be sent.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub person: Option<&'a Person>,
    pub key: Option<&'a str>,
    pub body: Option<&'a Value>,
}

impl Careful {
    pub fn of(address: &str) -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { address: address.to_owned(), client: client.timeout(ANSWERED_WITHIN).build().unwrap() }
    }

    /// Sends a request until it has an answer that counts.
    pub async fn ask(&self, ask: Ask<'_>) -> Answer {
        let give_up = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(TRY_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (trouble, pause) = match self.send(ask).await {
                Ok(answer) if !answer.says_again() => return answer,
                Ok(answer) => (format!("{} {}", answer.status, answer.json), answer.come_back_after),
                Err(error) => (format!("{error:?}"), None),
            };
            tokio::time::sleep(pause.unwrap_or_default()).await;
            let (method, path) = (ask.method, ask.path);
            assert!(Instant::now() < give_up, "{method} {path} was repeated in vain, at last: {trouble}");
        }
    }

    async fn send(&self, ask: Ask<'_>) -> Result<Answer, reqwest::Error> {
        let method = Method::from_bytes(ask.method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{}", self.address, ask.path));
        if let Some(person) = ask.person {
            request = request.bearer_auth(&person.token);
        }
        if let Some(key) = ask.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = ask.body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let seconds =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let come_back_after = seconds.map(Duration::from_secs);
        let text = response.text().await?;
        Ok(Answer {
            status,
            come_back_after,
            json: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        })
    }

    pub async fn get(&self, person: &Person, path: &str) -> Value {
        let ask = Ask { method: "GET", path, person: Some(person), key: None, body: None };
        self.ask(ask).await.expect(200)
    }

    pub async fn post(&self, person: &Person, path: &str, key: &str, body: Value) -> Answer {
        let (key, body) = (Some(key), Some(&body));
        self.ask(Ask { method: "POST", path, person: Some(person), key, body }).await
    }

    pub async fn put(&self, person: &Person, path: &str, body: Value) -> Answer {
        self.ask(Ask { method: "PUT", path, person: Some(person), key: None, body: Some(&body) }).await
    }

    pub async fn patch(&self, person: &Person, path: &str, key: Option<&str>, body: Value) -> Answer {
        self.ask(Ask { method: "PATCH", path, person: Some(person), key, body: Some(&body) }).await
    }

    /// Registers somebody. Who is told that the address is taken after a try without an answer logs in.
    pub async fn register(&self, email: &str) -> Person {
        let body = json!({"email": email, "password": deployments::PASSWORD});
        let ask = Ask { method: "POST", path: "/auth/register", person: None, key: None, body: Some(&body) };
        let answer = self.ask(ask).await;
        match answer.code() {
            "email_taken" => self.log_in(email, deployments::PASSWORD).await,
            _ => person(&answer.expect(201)),
        }
    }

    pub async fn log_in(&self, email: &str, password: &str) -> Person {
        let body = json!({"email": email, "password": password});
        let ask = Ask { method: "POST", path: "/auth/login", person: None, key: None, body: Some(&body) };
        person(&self.ask(ask).await.expect(200))
    }

    /// Asks again until an answer is as hoped.
    pub async fn until(&self, person: &Person, path: &str, hoped: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(TRY_EVERY);
        loop {
            ticks.tick().await;
            let found = self.get(person, path).await;
            if hoped(&found) {
                return found;
            }
            assert!(Instant::now() < give_up, "{path} never became as hoped: {found}");
        }
    }
}

fn person(answer: &Value) -> Person {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Person {
        id: text(&answer["user"]["id"]),
        email: text(&answer["user"]["email"]),
        token: text(&answer["access_token"]),
        refresh_token: text(&answer["refresh_token"]),
    }
}
