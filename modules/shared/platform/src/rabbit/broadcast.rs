//! Events for the memory of this process: every process sees each of them, none sees those of before it ran.

use std::sync::Arc;

use contracts::event::Envelope;
use contracts::subscriptions::Subscriptions;
use futures_util::StreamExt;
use lapin::Consumer;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{EventHandler, deliver};
use crate::problem::chain;
use crate::rabbit::Hook;
use crate::rabbit::link::{Backoff, RabbitError};
use crate::rabbit::notices::{Notice, say};
use crate::rabbit::publisher::Publisher;
use crate::rabbit::topology::Names;

/// What takes them in while one connection lives.
pub(super) struct Broadcasts {
    pub(super) handlers: Vec<Arc<dyn EventHandler>>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) names: Names,
    pub(super) subscriptions: Subscriptions,
    pub(super) process: Uuid,
}

impl Broadcasts {
    pub(super) async fn run(
        self,
        mut messages: Consumer,
        ending: CancellationToken,
    ) -> Result<(), RabbitError> {
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = ending.cancelled() => return Ok(()),
            };
            let delivery = message.ok_or_else(|| RabbitError::Cancelled("broadcasts".to_owned()))??;
            match serde_json::from_slice::<Envelope>(&delivery.data) {
                Ok(envelope) => self.take_in(&envelope, &ending).await,
                Err(error) => tracing::error!(%error, "a broadcast that is not an event"),
            }
        }
    }

    /// A handler that fails is called again, for a stale memory is a wrong one; the others wait, as nothing may overtake.
    async fn take_in(&self, envelope: &Envelope, ending: &CancellationToken) {
        let wants =
            |handler: &&Arc<dyn EventHandler>| handler.event_types().contains(&envelope.event_type.as_str());
        for handler in self.handlers.iter().filter(wants) {
            let mut backoff = Backoff::default();
            while let Err(error) = deliver(handler.as_ref(), envelope).await {
                tracing::warn!(event.id = %envelope.id, handler = handler.name(), cause = %chain(&error),
                    "an event did not reach the memory of this process");
                if !error.passes() && backoff.failures() >= TRIES {
                    break;
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.pause()) => {}
                    () = ending.cancelled() => return,
                }
            }
        }
        if let Some(publisher) = self.subscriptions.publisher_of(&envelope.event_type) {
            let notice = Notice::HandledByProcess { event: envelope.id.uuid(), process: self.process };
            say(&self.publisher, &self.names, publisher, &notice).await;
        }
    }
}

/// After so many tries a failure that lasts is left.
const TRIES: u32 = 5;

/// Catches up on the broadcasts that this process has missed, until that has worked; then waits for the end.
pub(super) async fn catch_up(on_connect: Hook, ending: CancellationToken) -> Result<(), RabbitError> {
    let mut backoff = Backoff::default();
    loop {
        let caught_up = tokio::select! {
            caught_up = on_connect() => caught_up,
            () = ending.cancelled() => return Ok(()),
        };
        let Err(error) = caught_up else {
            ending.cancelled().await;
            return Ok(());
        };
        tracing::warn!(cause = %chain(error.as_ref()), "this process could not catch up on what it missed");
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = ending.cancelled() => return Ok(()),
        }
    }
}
