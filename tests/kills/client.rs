//! The careful client: what it does not know the answer to it sends again, unchanged and under the same key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio::sync::Semaphore;

/// A request that has no final answer after this is stuck.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How long one try may take: longer than the shop lets a second request with a key wait for the first.
const TRY_FOR: Duration = Duration::from_secs(12);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// The refusals that say "ask again in a moment".
const PASSING: [&str; 2] = ["idempotency_key_in_progress", "payment_in_progress"];

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    /// The access token.
    pub token: String,
    pub key: Option<String>,
    pub body: Option<Value>,
}

/// The final word on it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Whether it says that it was given before.
    pub replayed: bool,
    pub body: Value,
}

/// Whoever asks. All customers of a shop share it, and with it the count of what had to be asked again, and why.
pub struct Client {
    http: reqwest::Client,
    address: String,
    /// Room for requests that are sent for the first time. A repetition takes none: after a kill it may wait for seconds
    /// until what the dead process has begun is given up, and meanwhile others must keep the shop busy.
    room: Semaphore,
    /// Tries without a final answer, by what came instead of it.
    again: Mutex<BTreeMap<String, usize>>,
}

impl Request {
    pub fn get(token: &str, path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), token: token.to_owned(), key: None, body: None }
    }

    pub fn of(method: Method, token: &str, path: impl Into<String>) -> Self {
        Self { method, ..Self::get(token, path) }
    }

    pub fn post(token: &str, path: impl Into<String>, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::of(Method::POST, token, path) }
    }

    pub fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.key.as_deref().unwrap_or("no key");
        write!(f, "{} {} ({key})", self.method, self.path)
    }
}

impl Answer {
    /// The code of a refusal.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Status and body without what names the request instead of its result.
    pub fn result(&self) -> (u16, Value) {
        let mut body = self.body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("trace_id");
        }
        (self.status, body)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.body)
    }
}

impl Client {
    /// At most so many requests are sent for the first time at once.
    pub fn new(address: &str, at_once: usize) -> Self {
        Self {
            http: deployments::client(),
            address: address.to_owned(),
            room: Semaphore::new(at_once),
            again: Mutex::default(),
        }
    }

    /// Asks until there is a final answer. An error says that none came in time, and what came last.
    pub async fn ask(&self, request: &Request) -> Result<Answer, String> {
        let mut room = Some(self.room.acquire().await.map_err(deployments::text)?);
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let not_final = match self.try_once(request).await {
                Ok(answer) if is_final(&answer) => return Ok(answer),
                Ok(answer) => (format!("{} {}", answer.status, answer.code()), answer.to_string()),
                Err(failure) => failure,
            };
            drop(room.take());
            let (kind, said) = not_final;
            *self.lock().entry(kind).or_default() += 1;
            if began.elapsed() + pause > GIVE_UP_AFTER {
                let waited = began.elapsed().as_secs();
                return Err(format!(
                    "stuck: {request} has no final answer after {waited} s; the last: {said}"
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One try; a failure is its kind and its words.
    async fn try_once(&self, request: &Request) -> Result<Answer, (String, String)> {
        let url = format!("{}{}", self.address, request.path);
        let mut sent = self.http.request(request.method.clone(), url).bearer_auth(&request.token);
        if let Some(key) = &request.key {
            sent = sent.header("Idempotency-Key", key);
        }
        if let Some(body) = &request.body {
            sent = sent.json(body);
        }
        let answer = sent.timeout(TRY_FOR).send().await.map_err(broken)?;
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotency-replayed");
        let text = answer.text().await.map_err(broken)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, replayed, body })
    }

    /// How many tries had no final answer, by what came instead.
    pub fn again(&self) -> BTreeMap<String, usize> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_final(answer: &Answer) -> bool {
    let passing = answer.status == 409 && PASSING.contains(&answer.code());
    // A 500 is a fault of the shop's own, which no kill excuses: whoever asked gets to see it.
    let unavailable = answer.status > 500 || answer.status == 429;
    !passing && !unavailable
}

fn broken(error: reqwest::Error) -> (String, String) {
    let kind = match () {
        () if error.is_timeout() => "timeout",
        () if error.is_connect() => "no connection",
        () => "connection lost",
    };
    (kind.to_owned(), format!("{error:?}"))
}
