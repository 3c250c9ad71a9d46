//! One call: which address, how long, whether again, and what the answer means.

use std::future::Future;
use std::time::{Duration, Instant};

use contracts::port::PortError;
use platform::{deadline, failpoint, runtime, trace};
use rand::Rng;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::gate::TokenError;
use crate::operation::{Facts, Operation, Repeat};
use crate::peer::{Peer, Permit};
use crate::{MAX_BYTES, TIMEOUT_HEADER, path_of};

/// The most tries of a call that may be repeated.
const TRIES: u32 = 3;
/// Between two tries, milliseconds; a random time, so that callers who failed together do not come back together.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 10..=100;
/// A try that had less than this says nothing of the address: the caller had no time left, that is all.
const FAIR: Duration = Duration::from_millis(100);
/// Less than this is not worth dividing among tries.
const INDIVISIBLE: Duration = Duration::from_millis(20);

/// Why a call has no answer.
#[derive(Debug, Error)]
enum CallError {
    #[error("there was no time left to ask")]
    NoTime,
    #[error("none of its addresses answered lately; they are left alone for a moment")]
    Resting,
    #[error("the request cannot be written")]
    Unwritable(#[source] serde_json::Error),
    #[error("the request has more than {MAX_BYTES} bytes")]
    RequestTooLarge,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{address} has too many calls waiting")]
    Busy { address: String },
    #[error("{address} cannot be reached")]
    Unreachable {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{address} did not answer within {} ms", .within.as_millis())]
    TimedOut { address: String, within: Duration },
    #[error("the connection to {address} broke")]
    Broken {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{address} answered {status} {code}")]
    Status { address: String, status: u16, code: String },
    #[error("the answer of {address} is not JSON but `{content_type}`")]
    NotJson { address: String, content_type: String },
    #[error("the answer of {address} has more than {MAX_BYTES} bytes")]
    AnswerTooLarge { address: String },
    #[error("the answer of {address} cannot be read: {reason}")]
    Garbage { address: String, reason: String },
    #[error("{address} refused, for a reason that this version does not know: {reason}")]
    UnknownRefusal { address: String, reason: String },
}

impl CallError {
    /// Whether another try may go better. It is made only if the operation may be repeated.
    fn may_pass(&self) -> bool {
        match self {
            // Nobody listens: the process is being restarted, or another address answers.
            CallError::Unreachable { .. } => true,
            // It restarted in the middle, or closed an idle connection as the call set out.
            CallError::Broken { .. } => true,
            // This address may be stuck and another not.
            CallError::TimedOut { .. } | CallError::Busy { .. } => true,
            // A proxy without a process behind it, or a process without a database for the moment.
            CallError::Status { status: 502..=504, .. } => true,
            // It heard us and will say the same again: a wrong token, an operation that it does not know, a bug.
            CallError::Status { .. } => false,
            // Another version, or not our program at all; asking again changes neither.
            CallError::NotJson { .. }
            | CallError::AnswerTooLarge { .. }
            | CallError::Garbage { .. }
            | CallError::UnknownRefusal { .. } => false,
            // Asked again only where a replica may be back in a moment.
            CallError::Resting => true,
            // Nothing was sent, and nothing changes by waiting.
            CallError::NoTime
            | CallError::Unwritable(_)
            | CallError::RequestTooLarge
            | CallError::Token(_) => false,
        }
    }
}

/// An answer that was ours: 200 or 409.
struct Answer {
    address: String,
    refused: bool,
    body: Vec<u8>,
}

impl Peer {
    /// Asks the peer and waits for its answer, no longer than the operation, the process and the work at hand allow.
    pub(crate) async fn call<Q, T, R>(
        &self,
        operation: &Operation<Q, T, R>,
        request: &Q,
    ) -> Result<T, PortError<R>>
    where
        Q: Serialize,
        T: DeserializeOwned,
        R: DeserializeOwned + std::fmt::Display + std::fmt::Debug,
    {
        let (started, facts) = (Instant::now(), operation.facts);
        let asking = failpoint::call(facts.module, facts.name, self.ask(facts, started, request));
        let result = match asking.await {
            Ok(answer) => understand(answer),
            Err(error) => Err(error),
        };
        let (outcome, result) = match result {
            Ok(Ok(value)) => ("ok", Ok(value)),
            Ok(Err(refusal)) => ("refused", Err(PortError::Refused(refusal))),
            Err(error) => ("unavailable", Err(PortError::unavailable(self.module, error))),
        };
        let labels = [("peer", self.module), ("operation", facts.name)];
        metrics::histogram!("port_call_duration_seconds", &labels).record(started.elapsed().as_secs_f64());
        metrics::counter!("port_calls_total", "peer" => self.module, "operation" => facts.name, "outcome" => outcome)
            .increment(1);
        result
    }

    /// The most time a call that begins now may take.
    fn budget(&self, facts: Facts) -> Duration {
        let bounds = [Some(self.caller.options.deadline), facts.within, deadline::left()];
        bounds.into_iter().flatten().min().unwrap_or_default()
    }

    async fn ask<Q: Serialize>(
        &self,
        facts: Facts,
        started: Instant,
        request: &Q,
    ) -> Result<Answer, CallError> {
        let budget = self.budget(facts);
        let body = serde_json::to_vec(request).map_err(CallError::Unwritable)?;
        if body.len() > MAX_BYTES {
            return Err(CallError::RequestTooLarge);
        }
        let tries = match facts.repeat {
            Repeat::Idempotent => TRIES,
            Repeat::Never => 1,
        };
        let mut turn = self.take_turn();
        let (mut failure, mut failed) = (None, None);
        for number in 1..=tries {
            let left = budget.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(failure.unwrap_or(CallError::NoTime));
            }
            // A try takes half of what is left, so that one stuck address does not use up the time of another.
            let within = if number == tries || left <= INDIVISIBLE { left } else { left / 2 };
            let error = match self.admit(turn, failed.as_ref()) {
                Some(permit) => {
                    failed = Some(permit.address.clone());
                    match self.attempt(permit, facts, &body, within).await {
                        Ok(answer) => return Ok(answer),
                        Err(error) => error,
                    }
                }
                // Somebody else is finding out whether a replica is back; that takes a moment only.
                None if self.has_several() => CallError::Resting,
                None => return Err(failure.unwrap_or(CallError::Resting)),
            };
            let pause = Duration::from_millis(rand::thread_rng().gen_range(PAUSE_MS));
            let left = budget.saturating_sub(started.elapsed());
            // That an address is left alone says less than why.
            let error = match (error, failure.take()) {
                (CallError::Resting, Some(earlier)) => earlier,
                (error, _) => error,
            };
            if number == tries || !error.may_pass() || left <= pause {
                return Err(error);
            }
            metrics::counter!("port_retries_total", "peer" => self.module, "operation" => facts.name)
                .increment(1);
            tokio::time::sleep(pause).await;
            failure = Some(error);
            turn = turn.wrapping_add(1);
        }
        Err(failure.unwrap_or(CallError::NoTime))
    }

    /// One try at one address.
    async fn attempt(
        &self,
        permit: Permit,
        facts: Facts,
        body: &[u8],
        within: Duration,
    ) -> Result<Answer, CallError> {
        let address = permit.address.clone();
        let begun = Instant::now();
        let waited = tokio::time::timeout(within, address.slots.acquire()).await;
        let Ok(Ok(_slot)) = waited else {
            return Err(CallError::Busy { address: address.name() });
        };
        let within = within.saturating_sub(begun.elapsed());
        let request = self.request(&permit, facts, body, within)?;
        let exchange = exchange(address.name(), self.caller.client.execute(request));
        let exchange = runtime::inside(self.caller.runtime.clone(), exchange);
        let outcome = tokio::time::timeout(within, exchange)
            .await
            .unwrap_or_else(|_| Err(CallError::TimedOut { address: address.name(), within }));
        match &outcome {
            Err(CallError::TimedOut { .. }) if within < FAIR => drop(permit),
            // Gateways say 502 and 504 for a process that does not answer them.
            Err(
                CallError::Unreachable { .. }
                | CallError::Broken { .. }
                | CallError::TimedOut { .. }
                | CallError::Status { status: 502 | 504, .. },
            ) => permit.failed(),
            // Everything else came from a process that listens, 503 too: it says that somebody behind it does not.
            _ => permit.answered(),
        }
        outcome
    }

    fn request(
        &self,
        permit: &Permit,
        facts: Facts,
        body: &[u8],
        within: Duration,
    ) -> Result<Request, CallError> {
        let mut url = permit.address.url.clone();
        url.set_path(&path_of(facts.module, facts.name));
        let mut request = Request::new(Method::POST, url);
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, self.caller.tokens.authorization(facts.module)?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        headers.insert(TIMEOUT_HEADER, HeaderValue::from(within_ms));
        if let Some(value) = traceparent() {
            headers.insert("traceparent", value);
        }
        *request.body_mut() = Some(body.to_vec().into());
        Ok(request)
    }
}

/// The trace of the work at hand, with a fresh id for this step of it.
fn traceparent() -> Option<HeaderValue> {
    let step: u64 = rand::thread_rng().gen_range(1..=u64::MAX);
    HeaderValue::from_str(&format!("00-{}-{step:016x}-01", trace::current()?)).ok()
}

/// Sends a request and reads its answer whole.
async fn exchange(
    address: String,
    sent: impl Future<Output = Result<Response, reqwest::Error>>,
) -> Result<Answer, CallError> {
    let mut response = match sent.await {
        Ok(response) => response,
        // Before the connection stood nothing was sent, also if it took too long to stand.
        Err(error) if error.is_connect() => {
            return Err(CallError::Unreachable { address, source: error.without_url() });
        }
        Err(error) => return Err(CallError::Broken { address, source: error.without_url() }),
    };
    let (status, content_type) = (response.status(), content_type(response.headers()));
    let body = read(&address, &mut response).await?;
    let refused = match status {
        StatusCode::OK => false,
        // Problems have another type, so a conflict that some other part of a server found is no refusal.
        StatusCode::CONFLICT if content_type == "application/json" => true,
        status => {
            return Err(CallError::Status { address, status: status.as_u16(), code: code_of(&body) });
        }
    };
    if content_type != "application/json" {
        return Err(CallError::NotJson { address, content_type });
    }
    Ok(Answer { address, refused, body })
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn read(address: &str, response: &mut Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > MAX_BYTES => {
                return Err(CallError::AnswerTooLarge { address: address.to_owned() });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(CallError::Broken { address: address.to_owned(), source: error.without_url() });
            }
        }
    }
}

/// The code of a problem, for the log; other bodies are not repeated there.
fn code_of(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = problem.as_ref().and_then(|problem| problem.get("code")?.as_str()).unwrap_or_default();
    code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect()
}

/// What the peer said: `Ok(Err(_))` is its refusal.
fn understand<T: DeserializeOwned, R: DeserializeOwned>(answer: Answer) -> Result<Result<T, R>, CallError> {
    let Answer { address, refused, body } = answer;
    // The parser's own words can hold what it read; where it stopped is enough.
    let reason = |error: serde_json::Error| {
        format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column())
    };
    if refused {
        serde_json::from_slice(&body)
            .map(Err)
            .map_err(|error| CallError::UnknownRefusal { address, reason: reason(error) })
    } else {
        serde_json::from_slice(&body)
            .map(Ok)
            .map_err(|error| CallError::Garbage { address, reason: reason(error) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contracts::port::NoRefusal;
    use platform::system::SystemClock;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::caller::{Caller, Options};

    /// How often a call reaches a peer that hangs up on everyone.
    async fn sent(operation: Operation<(), (), NoRefusal>) -> usize {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", socket.local_addr().unwrap());
        let listening = tokio::spawn(async move {
            let mut heard = 0;
            while let Ok((mut stream, _)) = socket.accept().await {
                if stream.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {
                    heard += 1;
                } else {
                    break;
                }
            }
            heard
        });
        let options = Options { secret: "a secret of this test alone".to_owned(), ..Options::default() };
        let caller = Caller::new(options, Arc::new(SystemClock)).unwrap();
        let peer = caller.peer("users", &address).unwrap();
        assert!(matches!(
            peer.call(&operation, &()).await,
            Err(PortError::Unavailable { module: "users", .. })
        ));
        // A connection without a request is the end.
        drop(tokio::net::TcpStream::connect(address.trim_start_matches("http://")).await.unwrap());
        listening.await.unwrap()
    }

    #[tokio::test]
    async fn only_what_may_be_repeated_is_sent_again() {
        assert_eq!(sent(Operation::idempotent("users", "forget")).await, 3);
        assert_eq!(sent(Operation::once("users", "greet")).await, 1);
    }
}
