//! What surrounds every request: one form of each path, a trace id, a log line, metrics, and no way for a panic or a
//! bare error to reach the client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use futures_util::FutureExt;
use metrics::{Counter, Histogram};
use platform::access::{self, Admission};
use platform::failpoint::{self, Point};
use platform::problem::{Problem, codes};
use platform::system::System;
use platform::{deadline, trace};
use tracing::Instrument;

use crate::route_table::RouteTable;

/// Paths that mean others.
const ALIASES: &[(&str, &str)] = &[("/products", "/catalog/products"), ("/pay", "/payments")];

/// What a request may spend on calls to other modules, all together.
#[derive(Debug, Clone, Copy)]
pub struct RequestDeadline(pub Duration);

/// An upload takes as long as the client sends, so only its single calls are bounded.
const UNBOUNDED: &str = "/import";

const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");

/// The middleware around the whole app.
pub async fn guard<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let system = request.app_data::<web::Data<System>>().cloned();
    let fresh = system.as_ref().map(|system| system.id()).unwrap_or_default();
    let trace_id = trace::from_headers(request.headers(), fresh);
    let span = tracing::info_span!("request", %trace_id, method = %request.method(), path = request.path());
    let header_value = HeaderValue::from_str(&trace_id).ok();
    canonicalise(&mut request);
    let within = request
        .app_data::<web::Data<RequestDeadline>>()
        .filter(|_| !request.path().ends_with(UNBOUNDED))
        .map_or(Duration::MAX, |deadline| deadline.0);
    let work = async move {
        let (started, method) = (Instant::now(), request.method().clone());
        // The router needs the request to itself, so no copy of it is left for an answer after an error or a panic:
        // that answer is made here, under the trace id, and travels as an error with a response of its own.
        let mut response = match AssertUnwindSafe(next.call(request)).catch_unwind().await {
            Ok(Ok(response)) => as_problem(response.map_into_boxed_body()),
            Ok(Err(error)) => {
                let response = problem_of(&error.error_response()).map(|problem| problem.error_response());
                return Err(answered(
                    &method,
                    started,
                    response.unwrap_or_else(|| error.error_response()),
                    header_value,
                ));
            }
            Err(panic) => {
                tracing::error!(cause = panic_message(panic.as_ref()), "a handler panicked");
                let problem =
                    Problem::new(codes::INTERNAL, "The request was not completed. Tell us the trace id.");
                return Err(answered(&method, started, problem.error_response(), header_value));
            }
        };
        if let Some(value) = header_value {
            response.headers_mut().insert(TRACE_ID, value);
        }
        let route = response.request().match_pattern();
        if !method.is_safe() {
            let met = || format!("{method} {}", route.as_deref().unwrap_or("unmatched"));
            failpoint::hit(Point::RespondBefore, met).await;
        }
        record(&method, route.as_deref(), response.status().as_u16(), started);
        Ok(response)
    };
    let work = trace::scope(trace_id, deadline::scope(within, work.instrument(span)));
    let Some(system) = system else {
        return work.await;
    };
    let answer = system.inside(work).await?;
    Ok(answer.map_body(|_, body| match body.size() {
        BodySize::Stream => Streamed { body, system }.boxed(),
        _ => body,
    }))
}

/// Lets each request in to its operation, as the policy beside the route says. What has no policy is not there.
pub async fn admitted<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let refused = match access::admit(request.request()).await {
        Ok(Admission::Granted) => {
            access::watch_body(&mut request);
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        Ok(Admission::NoOperation) => no_operation(request.request()),
        Err(problem) => problem,
    };
    Ok(request.into_response(refused.error_response()))
}

/// A body that is made while it is sent, such as an export: it reads the database inside of the process' runtime, too.
struct Streamed {
    body: BoxBody,
    system: web::Data<System>,
}

impl MessageBody for Streamed {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let Self { body, system } = &mut *self;
        let _entered = system.enter();
        Pin::new(body).poll_next(context)
    }
}

/// Trims slashes at the end, resolves aliases, and lets HEAD be answered as GET (the server then leaves the body out).
fn canonicalise(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let path = request.path();
    let trimmed = path.trim_end_matches('/');
    let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
    let alias = ALIASES.iter().find_map(|(from, to)| {
        let rest = trimmed.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
    });
    let canonical = alias.unwrap_or_else(|| trimmed.to_owned());
    if canonical == path {
        return;
    }
    let with_query = match request.uri().query() {
        Some(query) => format!("{canonical}?{query}"),
        None => canonical,
    };
    let mut parts = request.uri().clone().into_parts();
    let Ok(path_and_query) = with_query.parse() else {
        return;
    };
    parts.path_and_query = Some(path_and_query);
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// A finished answer to a request that ended in an error.
fn answered(
    method: &Method,
    started: Instant,
    mut response: HttpResponse,
    trace_id: Option<HeaderValue>,
) -> actix_web::Error {
    if let Some(value) = trace_id {
        response.headers_mut().insert(TRACE_ID, value);
    }
    record(method, None, response.status().as_u16(), started);
    InternalError::from_response("answered", response).into()
}

/// An error that some part below made without a problem body becomes one.
fn as_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    match problem_of(response.response()) {
        Some(problem) => {
            let (request, _) = response.into_parts();
            ServiceResponse::new(request, problem.error_response())
        }
        None => response,
    }
}

/// The problem that an answer should have been; `None` if it is no error, or has a JSON body of its own (health).
fn problem_of<B>(response: &HttpResponse<B>) -> Option<Problem> {
    let status = response.status();
    let has_body = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        [b"application/problem+json".as_slice(), b"application/json"]
            .iter()
            .any(|json| value.as_bytes().starts_with(json))
    });
    if has_body || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let code = codes::ALL.iter().find(|code| code.status == status.as_u16()).copied();
    Some(match code {
        Some(code) => Problem::new(code, format!("{}.", code.title)),
        None if status.is_client_error() => {
            Problem::new(codes::MALFORMED_REQUEST, "The request is malformed.")
        }
        None => Problem::new(codes::INTERNAL, "The request was not completed."),
    })
}

/// Methods that are counted by name. Clients may make up others without end, and a label stays in memory for good.
const COUNTED: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Looking meters up by their labels costs more than a short request, so each thread keeps those that it has used.
type Meters = HashMap<String, Meter>;

thread_local! {
    static METERS: RefCell<Meters> = RefCell::default();
}

/// What is counted of one route.
struct Meter {
    duration: Histogram,
    /// By method and status, of which a route has few.
    answers: Vec<(String, u16, Counter)>,
}

impl Meter {
    fn of(route: &str) -> Self {
        let duration = metrics::histogram!("http_request_duration_seconds", "route" => route.to_owned());
        Self { duration, answers: Vec::new() }
    }

    fn count(&mut self, route: &str, method: &str, status: u16, elapsed: Duration) {
        self.duration.record(elapsed.as_secs_f64());
        let known = self.answers.iter().find(|(of, with, _)| of == method && *with == status);
        if let Some((.., counter)) = known {
            return counter.increment(1);
        }
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        let counter = metrics::counter!("http_requests_total", &labels);
        counter.increment(1);
        self.answers.push((method.to_owned(), status, counter));
    }
}

fn record(method: &Method, route: Option<&str>, status: u16, started: Instant) {
    let elapsed = started.elapsed();
    let route = route.unwrap_or("unmatched");
    let method = if COUNTED.contains(method) { method.as_str() } else { "other" };
    METERS.with_borrow_mut(|meters| match meters.get_mut(route) {
        Some(meter) => meter.count(route, method, status, elapsed),
        None => meters
            .entry(route.to_owned())
            .or_insert_with(|| Meter::of(route))
            .count(route, method, status, elapsed),
    });
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if status >= 500 {
        tracing::error!(%route, status, elapsed_ms, "answered");
    } else {
        tracing::debug!(%route, status, elapsed_ms, "answered");
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

/// What no operation matched.
fn no_operation(request: &HttpRequest) -> Problem {
    let routes = request.app_data::<web::Data<RouteTable>>();
    let methods = routes.map(|routes| routes.methods_of(request.path())).unwrap_or_default();
    no_route(request.method(), &methods)
}

/// The refusal of a path that has these methods: 405 with `Allow`, 404 if there are none.
pub fn no_route(method: &Method, methods: &[&'static str]) -> Problem {
    if methods.is_empty() {
        return Problem::new(codes::NOT_FOUND, "There is nothing at this path; /docs lists what there is.");
    }
    let allowed = methods.join(", ");
    let detail = format!("{method} is not among the methods of this path: {allowed}.");
    Problem::new(codes::METHOD_NOT_ALLOWED, detail).header(header::ALLOW, allowed)
}

/// What a policy lets in and no route takes.
pub async fn unmatched(request: HttpRequest) -> HttpResponse {
    no_operation(&request).error_response()
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::{App, test};
    use platform::problem::ProblemBody;

    use super::*;

    async fn fails() -> HttpResponse {
        panic!("a bug")
    }

    async fn answer(path: &str) -> (u16, ProblemBody) {
        let app = App::new()
            .route("/panic", web::get().to(fails))
            .route("/bare", web::get().to(|| async { HttpResponse::BadRequest().body("plain words") }))
            .wrap(from_fn(guard));
        let app = test::init_service(app).await;
        let request = test::TestRequest::get().uri(path).to_request();
        // An error here carries the answer that the server sends.
        let response = match test::try_call_service(&app, request).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let status = response.status().as_u16();
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[actix_web::test]
    async fn a_panic_is_a_problem_that_says_nothing_of_the_inside() {
        let (status, problem) = answer("/panic").await;
        assert_eq!((status, problem.code.as_str()), (500, "internal"));
        assert!(!problem.detail.contains("a bug") && problem.trace_id.is_some(), "{problem:?}");
    }

    #[actix_web::test]
    async fn an_error_without_a_body_of_ours_becomes_a_problem() {
        let (status, problem) = answer("/bare").await;
        assert_eq!((status, problem.status), (400, 400));
    }
}
