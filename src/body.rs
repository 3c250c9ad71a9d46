//! What a request may send: nothing that two readers could read differently, nothing packed, and nothing dribbled.
//!
//! The server bounds the time of a request's head only. A client that sends its body a byte a minute would hold a connection,
//! a task and perhaps a database connection for as long as it likes, so every body has to keep a pace.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::http::{ConnectionType, Version};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpResponse, ResponseError, web};
use futures_util::Stream;
use platform::problem::{Problem, codes};
use tokio::time::Sleep;

use crate::guard::no_route;
use crate::headers::AnswerRules;
use crate::route_table::RouteTable;

/// The longest silence inside of a body, and what a slow one gets on top of its pace.
const PATIENCE: Duration = Duration::from_secs(15);
/// The slowest pace, bytes a second. A telephone at the edge of its network sends more.
const SLOWEST: u64 = 8 * 1024;

/// Inside of the guard: answers preflights, refuses methods that a path does not have and bodies that nobody should read, and sets a
/// pace for the others.
pub async fn admit<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let rules = request.app_data::<web::Data<AnswerRules>>();
    if rules.is_some_and(|rules| rules.cors.is_preflight(request.method(), request.headers())) {
        return Ok(request.into_response(HttpResponse::NoContent().finish()));
    }
    let routes = request.app_data::<web::Data<RouteTable>>();
    let methods = routes.and_then(|routes| routes.refused(request.method().as_str(), request.path()));
    if let Some(refusal) = methods.map(|methods| no_route(request.method(), methods)) {
        return Ok(request.into_response(refusal.error_response()));
    }
    if is_ambiguous(&request) {
        let problem = Problem::new(
            codes::MALFORMED_REQUEST,
            "The request says its length twice, or does not say once for which host it is.",
        );
        let mut refusal = problem.error_response();
        refusal.head_mut().set_connection_type(ConnectionType::Close);
        return Ok(request.into_response(refusal));
    }
    if is_packed(&request) {
        let problem = Problem::new(
            codes::UNSUPPORTED_MEDIA_TYPE,
            "Send the body as it is: nothing is unpacked here, so that a small request cannot become a large one.",
        );
        let problem = problem.header(header::ACCEPT_ENCODING, "identity");
        return Ok(request.into_response(problem.error_response()));
    }
    let body = request.take_payload();
    if matches!(body, Payload::None) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let paced = Paced::new(body, PATIENCE);
    let read = (paced.body.clone(), paced.has_ended.clone());
    request.set_payload(Payload::Stream { payload: Box::pin(paced) });
    let response = next.call(request).await?.map_into_boxed_body();
    let (body, has_ended) = read;
    // The server goes on reading chunks that nobody wants, for as long as they come, once their body is dropped. While it is
    // held, the server closes the connection instead.
    Ok(match has_ended.get() {
        true => response,
        false => response.map_body(|_, answer| Holding { answer, _request: body }.boxed()),
    })
}

/// An answer that holds on to the body of its request.
struct Holding {
    answer: BoxBody,
    _request: Rc<RefCell<Payload>>,
}

impl MessageBody for Holding {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(context)
    }
}

/// Whether a proxy before us and we ourselves could see two requests where there is one, or another shop (RFC 9112, 3.2 and 6.3). The
/// server refuses other forms of this itself.
fn is_ambiguous(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    let two_lengths =
        headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH);
    let hosts = headers.get_all(header::HOST).count();
    two_lengths || hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11)
}

/// Whether the body is compressed or otherwise encoded.
fn is_packed(request: &ServiceRequest) -> bool {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
    encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// A body whose sender is waited for only so long. Time that the reader takes for itself does not count.
struct Paced {
    body: Rc<RefCell<Payload>>,
    /// The longest silence.
    silence: Duration,
    /// Whether the end was read.
    has_ended: Rc<Cell<bool>>,
    received: u64,
    /// What the sender has taken so far.
    waited: Duration,
    /// Since when it is waited for now, and until when.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Paced {
    fn new(body: Payload, silence: Duration) -> Self {
        let body = Rc::new(RefCell::new(body));
        Self { body, silence, has_ended: Rc::default(), received: 0, waited: Duration::ZERO, wait: None }
    }

    /// How long the next chunk may take.
    fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.received / SLOWEST);
        self.silence.min((self.silence + earned).saturating_sub(self.waited))
    }
}

impl Stream for Paced {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut *this.body.borrow_mut()).poll_next(context);
        if let Poll::Ready(chunk) = polled {
            if let Some((since, _)) = this.wait.take() {
                this.waited += since.elapsed();
            }
            match &chunk {
                Some(Ok(bytes)) => {
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    this.received = this.received.saturating_add(length);
                }
                Some(Err(_)) => {}
                None => this.has_ended.set(true),
            }
            return Poll::Ready(chunk);
        }
        let patience = this.patience();
        let (_, end) =
            this.wait.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
        match end.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Some(Err(PayloadError::Io(std::io::Error::new(
                ErrorKind::TimedOut,
                "the body comes too slowly",
            ))))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    const SILENCE: Duration = Duration::from_millis(300);

    /// How many bytes come through of chunks that are sent with a pause before each, and whether the end does.
    async fn read(pause: Duration, chunks: usize, length: usize) -> (usize, bool) {
        let sent = futures_util::stream::iter(0..chunks).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Bytes::from(vec![b'x'; length]))
        });
        let mut body = Paced::new(Payload::Stream { payload: Box::pin(sent) }, SILENCE);
        let mut received = 0;
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(bytes) => received += bytes.len(),
                Err(_) => return (received, false),
            }
        }
        (received, true)
    }

    #[actix_web::test]
    async fn a_body_that_keeps_its_pace_comes_through() {
        assert_eq!(read(Duration::ZERO, 100, 1024).await, (100 * 1024, true));
        // Longer in all than the longest silence, but every chunk earns its time.
        assert_eq!(read(SILENCE / 3, 5, 8 * 1024).await, (40 * 1024, true));
    }

    #[actix_web::test]
    async fn a_body_that_falls_silent_or_dribbles_is_cut_off() {
        assert_eq!(read(Duration::from_secs(3_600), 1, 1).await, (0, false));
        let (received, ended) = read(SILENCE / 10, 1_000, 1).await;
        assert!(!ended && received < 12, "{received} bytes");
    }

    #[actix_web::test]
    async fn a_reader_that_takes_its_time_is_not_the_senders_fault() {
        let sent = futures_util::stream::iter((0..5).map(|_| Ok(Bytes::from_static(b"x"))));
        let mut body = Paced::new(Payload::Stream { payload: Box::pin(sent) }, Duration::from_millis(1));
        for _ in 0..5 {
            assert!(body.next().await.unwrap().is_ok());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(body.next().await.is_none());
    }
}
