//! How events reach their handlers.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::Envelope;
use contracts::port::{NoRefusal, PortError};
use futures_util::FutureExt;
use sea_orm::DbErr;
use thiserror::Error;
use tracing::Instrument;

use crate::failpoint::{self, Point};
use crate::problem::{chain, is_out_of_reach};
use crate::trace;

/// A module's reaction to events. Handlers are idempotent through [`crate::inbox::first_delivery`], called in the transaction of their
/// effect.
#[async_trait]
pub trait EventHandler: Send + Sync {
    /// Stable and unique in the process, `module.on_event`: the inbox remembers it.
    fn name(&self) -> &'static str;

    /// The [`contracts::event::Event::TYPE`]s it wants.
    fn event_types(&self) -> &'static [&'static str];

    /// How many copies of the process are to see each event.
    fn reach(&self) -> Reach {
        Reach::Module
    }

    /// Deals with one event. An error means that it comes again later.
    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError>;
}

/// Who sees an event when a module runs in several processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One of them, whichever it is: the effect is in the module's database.
    Module,
    /// Each of them: the effect is in the memory of the process, such as a cache or the set of revoked tokens. Such a
    /// handler has no inbox; seeing an event twice changes nothing.
    Process,
}

/// Why a handler could not deal with an event now.
#[derive(Debug, Error)]
pub enum HandleError {
    #[error("database error")]
    Database(#[from] DbErr),
    /// The event cannot be read: no retry will help, but a newer version of the program might.
    #[error("the event cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HandleError {
    /// Wraps any other failure.
    pub fn other(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(cause.into())
    }

    /// Whether it will pass without anybody's doing: the database or another module is out of reach. Everything else, a
    /// broken rule or a mistake in the program, comes back with the next try.
    pub fn passes(&self) -> bool {
        let outermost: &(dyn std::error::Error + 'static) = match self {
            Self::Database(error) => return is_out_of_reach(error),
            Self::Unreadable(_) => return false,
            Self::Other(cause) => cause.as_ref(),
        };
        std::iter::successors(Some(outermost), |error| error.source()).any(|error| {
            let unanswered = error.downcast_ref::<PortError<NoRefusal>>();
            error.downcast_ref::<DbErr>().is_some_and(is_out_of_reach)
                || unanswered.is_some_and(|error| matches!(error, PortError::Unavailable { .. }))
        })
    }
}

/// What the relay publishes to.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Returns once the event is safe: handled by every handler, or taken over by a broker.
    async fn publish(&self, envelope: &Envelope) -> Result<(), PublishError>;

    /// Waits until it takes events. A bus within the process always does.
    async fn ready(&self) {}

    /// How many events it can be given at the same time.
    fn room(&self) -> usize {
        8
    }
}

/// Why an event could not be published; the relay tries again.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The bus was there and this event failed.
    #[error("{handler} failed: {cause}")]
    Failed {
        /// The handler, or the broker.
        handler: String,
        /// What happened, in one line.
        cause: String,
    },
    /// No event can be published now; this one has done nothing wrong.
    #[error("the message broker is away: {cause}")]
    Away {
        /// What happened, in one line.
        cause: String,
    },
}

/// The bus of a single process: it calls the handlers directly and is done when all of them have committed. If one fails, all are called
/// again; the inbox makes that harmless for the others.
#[derive(Default)]
pub struct LocalBus {
    handlers: HashMap<&'static str, Vec<Arc<dyn EventHandler>>>,
}

impl LocalBus {
    /// A bus to these handlers.
    pub fn new(handlers: impl IntoIterator<Item = Arc<dyn EventHandler>>) -> Self {
        let mut by_type: HashMap<&'static str, Vec<Arc<dyn EventHandler>>> = HashMap::new();
        for handler in handlers {
            for event_type in handler.event_types() {
                by_type.entry(event_type).or_default().push(Arc::clone(&handler));
            }
        }
        Self { handlers: by_type }
    }
}

#[async_trait]
impl EventBus for LocalBus {
    async fn publish(&self, envelope: &Envelope) -> Result<(), PublishError> {
        let handlers = self.handlers.get(envelope.event_type.as_str()).map(Vec::as_slice).unwrap_or_default();
        let mut failed = None;
        for handler in handlers {
            if let Err(error) = deliver(handler.as_ref(), envelope).await {
                failed =
                    Some(PublishError::Failed { handler: handler.name().to_owned(), cause: chain(&error) });
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Calls one handler under the trace of the event.
pub(crate) async fn deliver(handler: &dyn EventHandler, envelope: &Envelope) -> Result<(), HandleError> {
    let span = tracing::info_span!(
        "event",
        handler = handler.name(),
        event.kind = %envelope.event_type,
        event.id = %envelope.id,
        trace_id = envelope.trace_id.as_deref().unwrap_or_default(),
    );
    let trace_id = envelope.trace_id.clone().unwrap_or_else(|| envelope.id.uuid().simple().to_string());
    // A panic is a failure of this handler, not the end of the relay that every other event needs.
    let handled = AssertUnwindSafe(handler.handle(envelope)).catch_unwind();
    let met = || format!("{}>{}", envelope.event_type, handler.name());
    let handled = async {
        failpoint::hit(Point::HandleBefore, met).await;
        let handled = handled.await;
        failpoint::hit(Point::HandleAfter, met).await;
        handled
    };
    trace::scope(trace_id, handled.instrument(span))
        .await
        .unwrap_or_else(|_| Err(HandleError::other("the handler panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Error)]
    #[error("the order cannot be confirmed")]
    struct Refusal(#[source] DbErr);

    #[test]
    fn a_database_or_a_peer_that_is_away_comes_back_and_a_broken_rule_does_not() {
        let away = || DbErr::Conn(sea_orm::RuntimeErr::Internal("refused".to_owned()));
        let silent = PortError::<NoRefusal>::unavailable("users", "no answer");
        for passing in
            [HandleError::from(away()), HandleError::other(Refusal(away())), HandleError::other(silent)]
        {
            assert!(passing.passes(), "{passing:?}");
        }
        for lasting in [
            HandleError::from(DbErr::Custom("a broken constraint".to_owned())),
            HandleError::other(Refusal(DbErr::Custom("a broken constraint".to_owned()))),
            HandleError::other("a refusal"),
            HandleError::from(serde_json::from_str::<u8>("x").unwrap_err()),
        ] {
            assert!(!lasting.passes(), "{lasting:?}");
        }
    }
}
