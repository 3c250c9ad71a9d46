//! How long a connection may go without a request.
//!
//! The server bounds the head of the first request of a connection, and the silence between two requests; the clock for that stops
//! with the first byte of the next head, and no other is wound up. A client that sends that byte and no more would have its
//! connection for good. So each connection has a watch here: from the end of one answer to the head of the next request it gives
//! so much time, whatever comes.
//!
//! Rejected: closing after each answer, which costs every client a connection a request; a transport of our own below the server,
//! which cannot tell a head from a body.

use std::any::Any;
use std::cell::Cell;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use actix_web::web::Bytes;

/// A connection that is watched, for as long as the server has it.
pub struct Connection {
    state: Rc<State>,
    watch: JoinHandle<()>,
}

struct State {
    /// Requests whose answers are not made yet.
    under_way: Cell<u32>,
    /// Since when there are none.
    free_since: Cell<Instant>,
}

impl Connection {
    /// Watches what the server has accepted; `None` where the system has no second handle for it.
    pub fn watched(io: &dyn Any, bound: Duration) -> Option<Self> {
        let handle = second_handle(io.downcast_ref::<TcpStream>()?)?;
        let state = Rc::new(State { under_way: Cell::new(0), free_since: Cell::new(Instant::now()) });
        let watch = actix_web::rt::spawn(watch(state.clone(), handle, bound));
        Some(Self { state, watch })
    }

    fn occupy(&self) -> Occupied {
        self.state.under_way.set(self.state.under_way.get().saturating_add(1));
        Occupied(self.state.clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl State {
    /// How long the connection may still go without a request.
    fn left(&self, bound: Duration) -> Duration {
        match self.under_way.get() {
            0 => (self.free_since.get() + bound).saturating_duration_since(Instant::now()),
            _ => bound,
        }
    }
}

/// A request is under way.
struct Occupied(Rc<State>);

/// Who reads an answer more slowly than this is not waited for, bytes a second.
const SLOWEST_READER: u64 = 4_096;

impl Occupied {
    /// It has been answered with so many bytes, which are yet to be read.
    fn until_read(self, bytes: u64) {
        let state = self.0.clone();
        drop(self);
        state.free_since.set(Instant::now() + Duration::from_secs(bytes / SLOWEST_READER));
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
        self.0.free_since.set(Instant::now());
    }
}

#[cfg(unix)]
fn second_handle(stream: &TcpStream) -> Option<std::net::TcpStream> {
    use std::os::fd::AsFd;
    stream.as_fd().try_clone_to_owned().ok().map(Into::into)
}

#[cfg(not(unix))]
fn second_handle(_: &TcpStream) -> Option<std::net::TcpStream> {
    None
}

async fn watch(state: Rc<State>, handle: std::net::TcpStream, bound: Duration) {
    loop {
        let left = state.left(bound);
        if left.is_zero() {
            // The server reads an end, and lets the connection go.
            let _gone_already = handle.shutdown(Shutdown::Both);
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// Around everything: a connection is occupied until the answer to its request is made.
pub async fn occupied<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let occupied = request.conn_data::<Connection>().map(Connection::occupy);
    let response = next.call(request).await?.map_into_boxed_body();
    // What has a length lies ready, and is given the time of a slow reader; what is made while it is sent is sent as fast as it is read.
    Ok(response.map_body(|_, body| match body.size() {
        BodySize::Stream => Streamed { body, _occupied: occupied }.boxed(),
        BodySize::Sized(bytes) => {
            if let Some(occupied) = occupied {
                occupied.until_read(bytes);
            }
            body
        }
        BodySize::None => body,
    }))
}

struct Streamed {
    body: BoxBody,
    _occupied: Option<Occupied>,
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
        Pin::new(&mut self.body).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_without_a_request_runs_out_of_time() {
        let bound = Duration::from_secs(60);
        let state = Rc::new(State { under_way: Cell::new(0), free_since: Cell::new(Instant::now()) });
        state.free_since.set(Instant::now().checked_sub(bound).unwrap());
        assert!(state.left(bound).is_zero());
        Occupied(state.clone()).until_read(10 * SLOWEST_READER);
        assert!(state.left(bound) > bound, "whoever reads slowly has ten seconds more");
        state.under_way.set(2);
        assert_eq!(state.left(bound), bound);
        drop(Occupied(state.clone()));
        assert_eq!(state.left(bound), bound, "one is still under way");
        drop(Occupied(state.clone()));
        assert!(!state.left(bound).is_zero(), "it counts anew from the end of the last");
    }
}
