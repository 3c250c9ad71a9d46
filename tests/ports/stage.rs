//! A port in each of its forms.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, FromRequest, HttpMessage, HttpServer, web};
use contracts::port::PortError;
use remote::{Caller, Gate, Options, Peer};
use serde_json::{Value, json};
use testkit::Bench;

pub const SECRET: &str = "a secret of these checks alone";

/// How a port is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The module is called in this process.
    Local,
    /// It is asked over HTTP.
    Remote,
    /// The same, and each side is of a version that says more than the other knows.
    Newer,
    /// The same, and the first answer to every request is lost after the work was done, as it is when a process is
    /// restarted: every call is made twice.
    Lossy,
}

/// What a port is served and asked with.
pub struct Sides<P: ?Sized> {
    pub module: &'static str,
    pub routes: fn(&mut web::ServiceConfig, Arc<P>),
    pub client: fn(Peer) -> Arc<P>,
}

impl Form {
    /// How many may ask at once for what only some can have. Five answers lost in a row would open the circuit breaker,
    /// and the rest would not be asked again.
    pub fn crowd(self) -> usize {
        if self == Form::Lossy { 4 } else { 20 }
    }

    /// A module's own port in this form.
    pub fn of<P: ?Sized + Send + Sync + 'static>(
        self,
        bench: &Bench,
        sides: &Sides<P>,
        local: Arc<P>,
    ) -> Arc<P> {
        if self == Form::Local {
            return local;
        }
        let gate = web::Data::new(Gate::new(SECRET, bench.clock.clone()));
        let (routes, seen) = (sides.routes, web::Data::new(Seen::default()));
        let server = HttpServer::new(move || {
            let local = local.clone();
            App::new()
                .app_data(gate.clone())
                .app_data(seen.clone())
                .app_data(web::Data::new(self))
                .configure(move |config| routes(config, local))
                .wrap(from_fn(on_the_way))
        })
        .workers(2)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
        let address = format!("http://{}", server.addrs()[0]);
        actix_web::rt::spawn(server.run());
        let options = Options {
            secret: SECRET.to_owned(),
            caller: "the suite".to_owned(),
            deadline: Duration::from_secs(60),
            ..Options::default()
        };
        let caller = Caller::new(options, bench.clock.clone()).unwrap();
        (sides.client)(caller.peer(sides.module, &address).unwrap())
    }
}

/// The requests whose answers were lost once.
#[derive(Default)]
struct Seen(Mutex<HashSet<(String, Vec<u8>)>>);

/// What a form does to requests and answers.
async fn on_the_way(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let form = ***request.app_data::<web::Data<Form>>().unwrap();
    match form {
        Form::Local | Form::Remote => next.call(request).await,
        Form::Newer => {
            let body = body_of(&mut request).await;
            let body = saying_more(&body);
            request.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from(body.len()));
            request.set_payload(payload(body));
            let answer = next.call(request).await?;
            if answer.status() != 200 {
                return Ok(answer);
            }
            let (request, answer) = answer.into_parts();
            let (answer, body) = answer.into_parts();
            let body = actix_web::body::to_bytes(body).await.unwrap();
            Ok(ServiceResponse::new(request, answer.set_body(BoxBody::new(saying_more(&body)))))
        }
        Form::Lossy => {
            let body = body_of(&mut request).await;
            let seen = request.app_data::<web::Data<Seen>>().unwrap().clone();
            let is_first = seen.0.lock().unwrap().insert((request.path().to_owned(), body.clone()));
            request.set_payload(payload(body));
            let answer = next.call(request).await?;
            Ok(if is_first { answer.map_body(|_, _| BoxBody::new(Lost)) } else { answer })
        }
    }
}

async fn body_of(request: &mut ServiceRequest) -> Vec<u8> {
    let mut payload = HttpMessage::take_payload(request);
    web::Bytes::from_request(request.request(), &mut payload).await.unwrap().to_vec()
}

fn payload(body: Vec<u8>) -> actix_web::dev::Payload {
    let once = futures_util::stream::once(async move { Ok::<_, PayloadError>(web::Bytes::from(body)) });
    actix_web::dev::Payload::Stream { payload: Box::pin(once) }
}

/// The same with a field more wherever a message may grow: in the object it is, or in those it lists.
fn saying_more(body: &[u8]) -> Vec<u8> {
    let mut message: Value = serde_json::from_slice(body).unwrap();
    let grow = |part: &mut Value| {
        if let Some(fields) = part.as_object_mut() {
            fields.insert("added_later".to_owned(), json!({"by": ["a", {"newer": "version"}, null]}));
        }
    };
    match &mut message {
        Value::Array(parts) => parts.iter_mut().for_each(grow),
        one => grow(one),
    }
    serde_json::to_vec(&message).unwrap()
}

/// A body that breaks off.
struct Lost;

impl MessageBody for Lost {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(99)
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<web::Bytes, std::io::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

/// The refusal of a call; fails the test for everything else.
#[track_caller]
pub fn refusal<T: std::fmt::Debug, R: std::fmt::Display + std::fmt::Debug>(
    result: Result<T, PortError<R>>,
) -> R {
    match result {
        Err(PortError::Refused(refusal)) => refusal,
        other => panic!("should be refused: {other:?}"),
    }
}

/// Fails the test unless the module did not answer.
#[track_caller]
pub fn assert_silent<T: std::fmt::Debug, R: std::fmt::Display + std::fmt::Debug + 'static>(
    module: &str,
    result: Result<T, PortError<R>>,
) {
    match result {
        Err(error @ PortError::Unavailable { .. }) => {
            assert_eq!(error.to_string(), format!("the {module} module did not answer"));
            assert!(std::error::Error::source(&error).is_some(), "silence has a cause for the log");
        }
        other => panic!("should be silent: {other:?}"),
    }
}
