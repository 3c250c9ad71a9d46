//! One connection to the broker, and how long to wait before the next.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::types::LongString;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use rand::Rng;
use thiserror::Error;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// A connection that is not made within this is not made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Connecting and declaring or subscribing to everything takes no longer than this, or is begun anew.
pub(super) const OPENED_WITHIN: Duration = Duration::from_secs(30);
/// A broker that has not taken leave of a connection or channel within this is left without.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// The largest frame. The client library holds 32 of them in each direction of a connection, which with the broker's own
/// 128 KiB would be most of a process' memory. Longer messages travel in several frames.
const FRAME_BYTES: u32 = 16 * 1024;
/// Between two signs of life, seconds, if the address does not say otherwise. Two that stay away end the connection.
const HEARTBEAT_S: u16 = 10;
/// A connection says that it has ended; this is the net below.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why something cannot be done on the broker.
#[derive(Debug, Error)]
pub enum RabbitError {
    #[error("the address of the message broker cannot be read: {0}")]
    Address(String),
    #[error("the message broker does not answer")]
    Broker(#[from] lapin::Error),
    #[error("the message broker did not answer within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// Its queue was deleted.
    #[error("the message broker has ended the subscription of {0}")]
    Cancelled(String),
    /// There is no queue for a message.
    #[error("no queue takes {0}")]
    Unroutable(String),
    /// The broker had the message and did not keep it.
    #[error("the message broker did not keep a message")]
    NotKept,
    /// A mistake in the program, not the broker's doing.
    #[error("a task of this process broke off")]
    BrokeOff(#[source] JoinError),
}

/// Calls to the broker have no bound of their own; this is theirs.
pub(super) async fn within<T>(
    bound: Duration,
    calls: impl Future<Output = Result<T, RabbitError>>,
) -> Result<T, RabbitError> {
    tokio::time::timeout(bound, calls).await.unwrap_or(Err(RabbitError::TooSlow(bound)))
}

/// Takes leave of the broker. If it does not answer, the connection ends without.
pub(super) async fn close(connection: &Connection) {
    let closing = async { Ok(connection.close(200, "done".into()).await?) };
    if let Err(error) = within(CLOSED_WITHIN, closing).await {
        tracing::debug!(%error, "the connection had ended");
    }
}

/// Ends one channel of a connection that goes on.
pub(super) async fn close_channel(channel: &Channel) -> Result<(), RabbitError> {
    within(CLOSED_WITHIN, async { Ok(channel.close(200, "done".into()).await?) }).await
}

/// Connects. `name` is what operators of the broker see.
pub(super) async fn connect(url: &str, name: &str) -> Result<Connection, RabbitError> {
    let mut uri: AMQPUri = url.parse().map_err(RabbitError::Address)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
    uri.query.frame_max.get_or_insert(FRAME_BYTES);
    let properties = ConnectionProperties::default().with_connection_name(LongString::from(name));
    within(CONNECT_WITHIN, async { Ok(Connection::connect_uri(uri, properties).await?) }).await
}

/// Follows a connection until it ends; `blocked` hears when the broker takes no messages for lack of memory or disk, and
/// when it does again.
pub(super) async fn follow(connection: &Connection, ended: &CancellationToken, blocked: impl Fn(bool)) {
    let mut events = std::pin::pin!(connection.events_listener());
    loop {
        if !connection.status().connected() {
            return;
        }
        let event = tokio::select! {
            event = events.next() => event,
            () = tokio::time::sleep(LOOK_EVERY) => continue,
            () = ended.cancelled() => return,
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(reason, "the message broker takes no messages for now");
                blocked(true);
            }
            Some(Event::ConnectionUnblocked) => blocked(false),
            // An error of a channel leaves the connection as it is.
            Some(_) => {}
            None => return,
        }
    }
}

/// Pauses that grow with each failure up to a bound, each half its length or whole by chance, so that processes that lost the
/// broker together do not come back together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn pause(&mut self) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.min(10)));
        self.failures = self.failures.saturating_add(1);
        doubled.min(LONGEST_PAUSE).mul_f64(rand::thread_rng().gen_range(0.5..1.0))
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..100).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST_PAUSE && pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(pauses[10..].iter().all(|pause| *pause >= LONGEST_PAUSE / 2));
        backoff.reset();
        assert!(backoff.pause() <= FIRST_PAUSE);
    }
}
