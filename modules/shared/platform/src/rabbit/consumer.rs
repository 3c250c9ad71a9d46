//! Handles what waits in a module's queue.
//!
//! The broker gives the queue to one consumer at a time, whichever replica it is in. It works on several aggregates at once and
//! on each of them strictly in turn. A message is acknowledged after the module's handlers have committed, so one that
//! comes again, because a process or a connection died in between, finds its inbox row and has no second effect.
//!
//! A failure that passes (the database or a peer is away) is tried again as long as the connection lives. Any other one
//! is tried a few times, then the message goes to the dead letters with its cause, and the next one of its aggregate follows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use contracts::event::Envelope;
use contracts::subscriptions::Subscriptions;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Consumer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{EventHandler, HandleError, deliver};
use crate::deadline;
use crate::failpoint::{self, Point};
use crate::problem::chain;
use crate::rabbit::dead_letters::Verdict;
use crate::rabbit::link::{Backoff, RabbitError, close_channel, within};
use crate::rabbit::notices::{Notice, say};
use crate::rabbit::publisher::{Message, Publisher};
use crate::rabbit::topology::Names;
use crate::system::System;

/// A handler that has not ended within this has failed.
const HANDLED_WITHIN: Duration = Duration::from_secs(30);
/// A connection that does not take an acknowledgement within this is lost.
const ACKED_WITHIN: Duration = Duration::from_secs(5);
/// How long a consumer that is told to stop, or whose connection is lost, lets its handlers finish.
const FINISHED_WITHIN: Duration = Duration::from_secs(20);

/// A message that was given out this often and never answered is taken to kill its consumers: it is not tried again. Each loss of a
/// connection counts, too, for what was being handled and what waited here for its turn, so it must be many more than a few. The
/// broker's own net hangs at twice as many.
const MOST_DELIVERIES: i64 = 50;
/// Where the broker counts.
const DELIVERIES: &str = "x-delivery-count";

/// What handles the messages of one module.
pub(super) struct Desk {
    pub(super) module: &'static str,
    pub(super) handlers: Vec<Arc<dyn EventHandler>>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) names: Names,
    pub(super) subscriptions: Subscriptions,
    pub(super) system: System,
    pub(super) max_attempts: u32,
    /// As many messages are handled at once.
    pub(super) room: Semaphore,
}

/// What became of a message.
enum Settled {
    /// The module has handled it, or it is among the dead letters.
    Done,
    /// It stays in the queue and comes again.
    Left,
}

/// Why a message was not handled at this try.
struct Failure {
    handler: &'static str,
    error: HandleError,
}

/// A module's queue, as this consumer has it.
///
/// It ends by closing the channel, never by cancelling the consumer: the broker would give the queue to the next replica
/// while messages that came before are still here, and they would be overtaken. A closed channel gives them back first.
pub(super) struct Subscription {
    channel: Channel,
    messages: Option<Consumer>,
}

impl Subscription {
    pub(super) fn new(channel: Channel, messages: Consumer) -> Self {
        Self { channel, messages: Some(messages) }
    }

    async fn next(&mut self) -> Option<Result<Delivery, lapin::Error>> {
        self.messages.as_mut()?.next().await
    }

    async fn end(mut self) {
        if let Err(error) = close_channel(&self.channel).await {
            tracing::debug!(%error, "the channel had ended");
        }
        self.messages = None;
    }
}

impl Drop for Subscription {
    /// In the middle of work, when the process ends at once: a consumer that is dropped on an open channel is cancelled. The
    /// connection ends soon, too, and everything with it.
    fn drop(&mut self) {
        std::mem::forget(self.messages.take());
    }
}

/// One aggregate's messages that wait for the one that is being handled.
type Lanes = HashMap<Uuid, VecDeque<Delivery>>;

impl Desk {
    /// Handles messages until the connection is lost or `ending` says so; then lets what is being handled finish.
    pub(super) async fn run(
        self: Arc<Self>,
        mut messages: Subscription,
        ending: CancellationToken,
    ) -> Result<(), RabbitError> {
        let (mut lanes, mut at_work) = (Lanes::new(), JoinSet::new());
        let outcome = loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => break Ok(()),
                Some(done) = at_work.join_next(), if !at_work.is_empty() => match done {
                    Ok((lane, Ok(Settled::Done))) => self.next_of(lane, &mut lanes, &mut at_work, &ending),
                    Ok((_, Ok(Settled::Left))) => break Ok(()),
                    Ok((_, Err(error))) => break Err(error),
                    // Handlers' panics are caught; this is one of the lines here.
                    Err(error) => break Err(RabbitError::BrokeOff(error)),
                },
                message = messages.next() => match message {
                    Some(Ok(delivery)) => self.take(delivery, &mut lanes, &mut at_work, &ending),
                    Some(Err(error)) => break Err(error.into()),
                    None => break Err(RabbitError::Cancelled(self.names.queue(self.module))),
                },
            }
        };
        ending.cancel();
        let finished = async { while at_work.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISHED_WITHIN, finished).await.is_err() {
            tracing::warn!(module = self.module, "handlers did not end in time; their events come again");
        }
        messages.end().await;
        outcome
    }

    fn take(
        self: &Arc<Self>,
        delivery: Delivery,
        lanes: &mut Lanes,
        at_work: &mut JoinSet<(Uuid, Result<Settled, RabbitError>)>,
        ending: &CancellationToken,
    ) {
        // What cannot be read has no aggregate; such messages share a lane.
        let lane = serde_json::from_slice::<Envelope>(&delivery.data)
            .map(|envelope| envelope.aggregate_id)
            .unwrap_or_default();
        if let Some(waiting) = lanes.get_mut(&lane) {
            waiting.push_back(delivery);
            return;
        }
        lanes.insert(lane, VecDeque::from([delivery]));
        self.next_of(lane, lanes, at_work, ending);
    }

    fn next_of(
        self: &Arc<Self>,
        lane: Uuid,
        lanes: &mut Lanes,
        at_work: &mut JoinSet<(Uuid, Result<Settled, RabbitError>)>,
        ending: &CancellationToken,
    ) {
        let Some(delivery) = lanes.get_mut(&lane).and_then(VecDeque::pop_front) else {
            lanes.remove(&lane);
            return;
        };
        let (desk, ending) = (self.clone(), ending.clone());
        at_work.spawn(async move { (lane, desk.settle(&delivery, &ending).await) });
    }

    /// Handles a message or makes it a dead letter, and tells the broker.
    async fn settle(&self, delivery: &Delivery, ending: &CancellationToken) -> Result<Settled, RabbitError> {
        let handled = match serde_json::from_slice::<Envelope>(&delivery.data) {
            Ok(_) if deliveries_before(&delivery.properties) >= MOST_DELIVERIES => {
                let times = deliveries_before(&delivery.properties);
                let cause = format!("given out {times} times without an answer");
                Err(Some(Verdict { handler: None, cause, attempts: 0 }))
            }
            Ok(envelope) => self.handle(&envelope, ending).await.map(|()| Some(envelope)),
            Err(error) => {
                Err(Some(Verdict { handler: None, cause: format!("not an event: {error}"), attempts: 1 }))
            }
        };
        let envelope = match handled {
            Ok(envelope) => envelope,
            Err(None) => return Ok(Settled::Left),
            Err(Some(verdict)) => {
                if self.bury(delivery, &verdict, ending).await.is_err() {
                    return Ok(Settled::Left);
                }
                None
            }
        };
        failpoint::hit(Point::AckBefore, || self.module.to_owned()).await;
        within(ACKED_WITHIN, async { Ok(delivery.ack(BasicAckOptions::default()).await?) }).await?;
        failpoint::hit(Point::AckAfter, || self.module.to_owned()).await;
        if let Some(envelope) = envelope {
            self.report(&envelope).await;
        }
        Ok(Settled::Done)
    }

    /// Calls every handler until it has succeeded. `Err(None)` if there is no time left to try again.
    async fn handle(&self, envelope: &Envelope, ending: &CancellationToken) -> Result<(), Option<Verdict>> {
        let wants =
            |handler: &&Arc<dyn EventHandler>| handler.event_types().contains(&envelope.event_type.as_str());
        let mut handlers: Vec<_> = self.handlers.iter().filter(wants).collect();
        if handlers.is_empty() {
            // Another version has subscribed to it. That one may want to see it.
            let cause = format!("this version does not handle {}", envelope.event_type);
            return Err(Some(Verdict { handler: None, cause, attempts: 1 }));
        }
        let (mut attempts, mut backoff) = (0, Backoff::default());
        loop {
            let Some(failure) = self.try_once(&mut handlers, envelope).await else {
                return Ok(());
            };
            let passes = failure.error.passes();
            attempts += u32::from(!passes);
            let cause = chain(&failure.error);
            tracing::warn!(event.id = %envelope.id, event.kind = %envelope.event_type, handler = failure.handler,
                attempts, passes, cause, "an event was not handled");
            if attempts >= self.max_attempts {
                return Err(Some(Verdict { handler: Some(failure.handler.to_owned()), cause, attempts }));
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => {}
                () = ending.cancelled() => return Err(None),
            }
        }
    }

    /// Calls the handlers that are left in turn, and leaves those that failed. Returns the last failure.
    async fn try_once(
        &self,
        handlers: &mut Vec<&Arc<dyn EventHandler>>,
        envelope: &Envelope,
    ) -> Option<Failure> {
        let _room = self.room.acquire().await;
        let mut failure: Option<Failure> = None;
        let mut failed = Vec::new();
        for handler in handlers.drain(..) {
            let work = deadline::scope(HANDLED_WITHIN, deliver(handler.as_ref(), envelope));
            let handled = tokio::time::timeout(HANDLED_WITHIN, work)
                .await
                .unwrap_or_else(|_| Err(HandleError::other("the handler took too long")));
            if let Err(error) = handled {
                failed.push(handler);
                // A failure that lasts counts, whatever happens to the others.
                if failure.as_ref().is_none_or(|earlier| earlier.error.passes()) {
                    failure = Some(Failure { handler: handler.name(), error });
                }
            }
        }
        *handlers = failed;
        failure
    }

    /// Puts a message among the dead letters. `Err` if there is no time left to try.
    async fn bury(
        &self,
        delivery: &Delivery,
        verdict: &Verdict,
        ending: &CancellationToken,
    ) -> Result<(), ()> {
        failpoint::hit(Point::BuryBefore, || self.module.to_owned()).await;
        let properties = verdict.written_on(&delivery.properties, self.system.now());
        let (exchange, mut backoff) = (self.names.dead(), Backoff::default());
        loop {
            let message = Message {
                exchange: &exchange,
                routing_key: self.module,
                mandatory: true,
                properties: properties.clone(),
                body: &delivery.data,
            };
            let Err(error) = self.publisher.publish(&message).await else {
                break;
            };
            tracing::warn!(module = self.module, cause = %chain(&error), "a dead letter could not be put away");
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => {}
                () = ending.cancelled() => return Err(()),
            }
        }
        failpoint::hit(Point::BuryAfter, || self.module.to_owned()).await;
        metrics::counter!("events_dead_total", "module" => self.module).increment(1);
        tracing::error!(
            module = self.module,
            event.id = message_id(&delivery.properties),
            handler = verdict.handler,
            attempts = verdict.attempts,
            cause = verdict.cause,
            "an event became a dead letter; see `souk events dead list`"
        );
        Ok(())
    }

    async fn report(&self, envelope: &Envelope) {
        let event_type = envelope.event_type.clone();
        metrics::counter!("events_handled_total", "module" => self.module, "type" => event_type).increment(1);
        let lag = self.system.now().ms().saturating_sub(envelope.occurred_at.ms()).max(0);
        metrics::histogram!("event_lag_seconds", "module" => self.module)
            .record(Duration::from_millis(lag.unsigned_abs()).as_secs_f64());
        if let Some(publisher) = self.subscriptions.publisher_of(&envelope.event_type) {
            let notice =
                Notice::HandledByModule { event: envelope.id.uuid(), module: self.module.to_owned() };
            say(&self.publisher, &self.names, publisher, &notice).await;
        }
    }
}

fn deliveries_before(properties: &BasicProperties) -> i64 {
    let count = properties.headers().as_ref().and_then(|headers| headers.inner().get(DELIVERIES));
    count.and_then(AMQPValue::as_long_long_int).unwrap_or_default()
}

fn message_id(properties: &BasicProperties) -> &str {
    properties.message_id().as_ref().map_or("unknown", |id| id.as_str())
}
