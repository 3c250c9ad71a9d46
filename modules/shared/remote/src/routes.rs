//! The internal routes of one port.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use contracts::port::PortError;
use futures_util::StreamExt;
use platform::deadline;
use platform::failpoint::{self, Point};
use platform::problem::{Problem, codes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::gate::{self, Gate};
use crate::operation::{Facts, Operation};
use crate::{MAX_BYTES, TIMEOUT_HEADER, path_of};

/// The most time an operation may take here, whatever its caller would wait.
const LONGEST: Duration = Duration::from_secs(30);

/// Adds the operations of a port to a server, one by one.
pub(crate) struct Routes<'a, P: ?Sized> {
    config: &'a mut web::ServiceConfig,
    port: Arc<P>,
}

impl<'a, P: ?Sized + Send + Sync + 'static> Routes<'a, P> {
    pub(crate) fn new(config: &'a mut web::ServiceConfig, port: Arc<P>) -> Self {
        Self { config, port }
    }

    /// Serves an operation by asking the port.
    pub(crate) fn serve<Q, T, R, F, Answer>(self, operation: Operation<Q, T, R>, ask: F) -> Self
    where
        Q: DeserializeOwned + 'static,
        T: Serialize + 'static,
        R: Serialize + std::fmt::Display + std::fmt::Debug + 'static,
        F: Fn(Arc<P>, Q) -> Answer + Clone + 'static,
        Answer: Future<Output = Result<T, PortError<R>>> + 'static,
    {
        let (facts, port) = (operation.facts, self.port.clone());
        let handler = move |http: HttpRequest, payload: web::Payload| {
            let (port, ask) = (port.clone(), ask.clone());
            async move {
                admit(&http, facts)?;
                let most = time_for(&http, facts);
                let work = async {
                    let request = read(&http, payload).await?;
                    let answer = ask(port, request).await;
                    failpoint::hit(Point::ServeAfter, || format!("{}.{}", facts.module, facts.name)).await;
                    respond(answer)
                };
                deadline::scope(most, tokio::time::timeout(most, work))
                    .await
                    .unwrap_or_else(|_| Err(Problem::unavailable(&TimeIsUp { facts, most })))
            }
        };
        self.config.route(&path_of(facts.module, facts.name), web::post().to(handler));
        self
    }
}

/// The work may go on ([`platform::system::System::to_the_end`]); the caller hears that it is not done.
#[derive(Debug, Error)]
#[error("{}.{} was not done within {} ms", .facts.module, .facts.name, .most.as_millis())]
struct TimeIsUp {
    facts: Facts,
    most: Duration,
}

fn admit(http: &HttpRequest, facts: Facts) -> Result<(), Problem> {
    let gate = http.app_data::<web::Data<Gate>>().ok_or_else(gate::refused)?;
    let caller = gate.check(http.headers(), facts.module)?;
    tracing::debug!(%caller, operation = facts.name, "a process asks");
    Ok(())
}

/// What the caller has left, within the bounds of this side. A caller that says nothing, or nonsense, gets those.
fn time_for(http: &HttpRequest, facts: Facts) -> Duration {
    let said = http.headers().get(TIMEOUT_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let bounds = [said.map(Duration::from_millis), facts.within];
    bounds.into_iter().flatten().min().unwrap_or(LONGEST).min(LONGEST)
}

async fn read<Q: DeserializeOwned>(http: &HttpRequest, mut payload: web::Payload) -> Result<Q, Problem> {
    let content_type = http.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    if content_type != Some(b"application/json") {
        return Err(Problem::new(codes::UNSUPPORTED_MEDIA_TYPE, "Send `Content-Type: application/json`."));
    }
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|_| Problem::new(codes::MALFORMED_REQUEST, "The body could not be read to its end."))?;
        if body.len().saturating_add(chunk.len()) > MAX_BYTES {
            return Err(Problem::new(
                codes::PAYLOAD_TOO_LARGE,
                format!("A request has at most {MAX_BYTES} bytes."),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let place = format!("The body is not what this operation takes, at line {line} column {column}.");
        tracing::warn!(route = http.path(), line, column, "a process sent a body that does not fit");
        Problem::new(if error.is_data() { codes::INVALID_BODY } else { codes::MALFORMED_JSON }, place)
    })
}

fn respond<T, R>(answer: Result<T, PortError<R>>) -> Result<HttpResponse, Problem>
where
    T: Serialize,
    R: Serialize + std::fmt::Display + std::fmt::Debug + 'static,
{
    let (mut response, body) = match &answer {
        Ok(value) => (HttpResponse::Ok(), serde_json::to_vec(value)),
        Err(PortError::Refused(refusal)) => (HttpResponse::Conflict(), serde_json::to_vec(refusal)),
        Err(silent) => return Err(Problem::unavailable(silent)),
    };
    let body = body.map_err(|error| Problem::internal(&error))?;
    Ok(response.content_type("application/json").body(body))
}
