//! Messages that a module could not handle: why, and how they come back.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::event::Envelope;
use kernel::{EventId, Timestamp};
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ErrorKind};
use serde::Serialize;

use crate::rabbit::Options;
use crate::rabbit::link::{OPENED_WITHIN, RabbitError, close, close_channel, connect, within};
use crate::rabbit::publisher::{Message, confirming_channel, publish_on};
use crate::rabbit::topology::{self, Names};

const CAUSE: &str = "souk-cause";
const HANDLER: &str = "souk-handler";
const ATTEMPTS: &str = "souk-attempts";
const DIED_AT: &str = "souk-died-at-ms";
/// The longest cause that a dead letter carries, in characters.
const LONGEST_CAUSE: usize = 2_000;
/// An answer of the broker that takes longer is none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// The most dead letters of one module that are read at once.
const MAX_READ: u32 = 10_000;

/// Why a message was given up.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) handler: Option<String>,
    pub(super) cause: String,
    pub(super) attempts: u32,
}

impl Verdict {
    /// The properties of the message with the verdict on them.
    pub(super) fn written_on(&self, properties: &BasicProperties, now: Timestamp) -> BasicProperties {
        let mut headers = own_headers(properties);
        let cause: String = self.cause.chars().take(LONGEST_CAUSE).collect();
        headers.insert(CAUSE.into(), AMQPValue::LongString(cause.into()));
        if let Some(handler) = &self.handler {
            headers.insert(HANDLER.into(), AMQPValue::LongString(handler.as_str().into()));
        }
        headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(self.attempts.into()));
        headers.insert(DIED_AT.into(), AMQPValue::LongLongInt(now.ms()));
        properties.clone().with_headers(headers.into())
    }
}

/// The headers that an event was published with: without earlier verdicts and without what the broker adds.
fn own_headers(properties: &BasicProperties) -> BTreeMap<ShortString, AMQPValue> {
    let headers = properties.headers().as_ref().map(FieldTable::inner).into_iter().flatten();
    headers
        .filter(|(key, _)| ![CAUSE, HANDLER, ATTEMPTS, DIED_AT].contains(&key.as_str()))
        .filter(|(key, _)| !key.as_str().starts_with("x-"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// A message that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The module that could not handle it.
    pub module: String,
    /// Null if the message is not an event.
    pub event_id: Option<EventId>,
    pub event_type: Option<String>,
    pub aggregate_id: Option<uuid::Uuid>,
    pub occurred_at: Option<Timestamp>,
    pub trace_id: Option<String>,
    pub handler: Option<String>,
    pub cause: String,
    pub attempts: Option<i64>,
    pub died_at: Option<Timestamp>,
}

impl DeadLetter {
    fn read(module: &str, message: &BasicGetMessage) -> Self {
        let headers = message.properties.headers().as_ref().map(FieldTable::inner);
        let header = |key: &str| headers.and_then(|headers| headers.get(key));
        let text = |key: &str| header(key).and_then(AMQPValue::as_long_string).map(ToString::to_string);
        let number = |key: &str| header(key).and_then(AMQPValue::as_long_long_int);
        let envelope = serde_json::from_slice::<Envelope>(&message.data).ok();
        let by_the_broker = || match header("x-death").is_some() || header("x-first-death-reason").is_some() {
            true => "given up by the broker: given out too often".to_owned(),
            false => "unknown".to_owned(),
        };
        Self {
            module: module.to_owned(),
            event_id: envelope.as_ref().map(|envelope| envelope.id),
            aggregate_id: envelope.as_ref().map(|envelope| envelope.aggregate_id),
            occurred_at: envelope.as_ref().map(|envelope| envelope.occurred_at),
            trace_id: envelope.as_ref().and_then(|envelope| envelope.trace_id.clone()),
            event_type: envelope.map(|envelope| envelope.event_type),
            handler: text(HANDLER),
            cause: text(CAUSE).unwrap_or_else(by_the_broker),
            attempts: number(ATTEMPTS),
            died_at: number(DIED_AT).map(Timestamp::from_ms),
        }
    }
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only this module's.
    pub module: Option<String>,
    /// Only these events; all if none is given.
    pub events: Option<Vec<EventId>>,
}

impl Selection {
    /// Whether a module is meant.
    pub fn has_module(&self, module: &str) -> bool {
        self.module.as_deref().is_none_or(|only| only == module)
    }

    fn has(&self, letter: &DeadLetter) -> bool {
        let Some(events) = &self.events else {
            return true;
        };
        letter.event_id.is_some_and(|id| events.contains(&id))
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetters {
    pub letters: Vec<DeadLetter>,
    /// So many more lie behind those that were read.
    pub unread: u64,
}

/// The dead letters of the broker, each module's from the oldest on. They stay where they are, in their order.
pub async fn list(options: &Options, selection: &Selection) -> Result<DeadLetters, RabbitError> {
    let desk = Desk::open(options).await?;
    let mut found = DeadLetters::default();
    for module in desk.modules(selection) {
        let Some(mut pile) = desk.pile_if_there(module).await? else { continue };
        while let Some(message) = pile.next().await? {
            let letter = DeadLetter::read(module, &message);
            found.letters.extend(selection.has(&letter).then_some(letter));
        }
        found.unread += pile.unread;
        // The broker puts what was not acknowledged back to where it was.
        close_channel(&pile.channel).await?;
    }
    close(&desk.connection).await;
    Ok(found)
}

/// Gives dead letters back to the queue of the module that could not handle them, and to no other. Returns which. One that dies
/// again meanwhile is left for the next time.
pub async fn replay(options: &Options, selection: &Selection) -> Result<DeadLetters, RabbitError> {
    let desk = Desk::open(options).await?;
    let mut replayed = DeadLetters::default();
    for module in desk.modules(selection) {
        let Some(mut pile) = desk.pile_if_there(module).await? else { continue };
        while let Some(message) = pile.next().await? {
            let letter = DeadLetter::read(module, &message);
            if selection.has(&letter) {
                within(ANSWERED_WITHIN, desk.give_back(module, &message)).await?;
                replayed.letters.push(letter);
            }
        }
        replayed.unread += pile.unread;
        close_channel(&pile.channel).await?;
    }
    close(&desk.connection).await;
    Ok(replayed)
}

/// Deletes every queue and exchange of this prefix, with the events that wait there.
pub async fn reset(options: &Options) -> Result<(), RabbitError> {
    let desk = Desk::open(options).await?;
    let deleting = async {
        let channel = desk.connection.create_channel().await?;
        Ok(topology::delete(&channel, &desk.names, options.subscriptions).await?)
    };
    within(ANSWERED_WITHIN, deleting).await?;
    close(&desk.connection).await;
    Ok(())
}

/// A connection for this work.
struct Desk<'a> {
    options: &'a Options,
    connection: Connection,
    names: Names,
    out: Channel,
}

impl<'a> Desk<'a> {
    async fn open(options: &'a Options) -> Result<Self, RabbitError> {
        let opening = async {
            let connection = connect(&options.url, "souk events").await?;
            let out = confirming_channel(&connection).await?;
            Ok(Self { options, connection, names: Names::new(&options.prefix), out })
        };
        within(OPENED_WITHIN, opening).await
    }

    fn modules(&self, selection: &Selection) -> Vec<&'static str> {
        let subscribers = self.options.subscriptions.subscribers().into_iter();
        subscribers.filter(|module| selection.has_module(module)).collect()
    }

    /// A module's dead letters; none if the queue was never declared.
    async fn pile_if_there(&self, module: &str) -> Result<Option<Pile>, RabbitError> {
        let queue: ShortString = self.names.dead_queue(module).into();
        let looking = async {
            let channel = self.connection.create_channel().await?;
            let passive = QueueDeclareOptions::default().passive();
            match channel.queue_declare(queue.clone(), passive, FieldTable::default()).await {
                Ok(there) => Ok(Some((channel, there.message_count()))),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        let there = within(ANSWERED_WITHIN, looking).await?;
        Ok(there.map(|(channel, lying)| {
            let to_read = lying.min(MAX_READ);
            Pile { channel, queue, to_read, unread: u64::from(lying - to_read) }
        }))
    }

    /// The dead letter goes only when the module's queue has it. If the connection dies in between there are two; the inbox
    /// makes that harmless.
    async fn give_back(&self, module: &str, message: &BasicGetMessage) -> Result<(), RabbitError> {
        let queue = self.names.queue(module);
        let properties = message.properties.clone().with_headers(own_headers(&message.properties).into());
        publish_on(
            &self.out,
            &Message { exchange: "", routing_key: &queue, mandatory: true, properties, body: &message.data },
        )
        .await?;
        message.ack(BasicAckOptions::default()).await?;
        Ok(())
    }
}

/// A module's dead letters, as many as there were at first sight: one that is given back may die at once and lie behind them again.
struct Pile {
    channel: Channel,
    queue: ShortString,
    to_read: u32,
    /// Those beyond the bound.
    unread: u64,
}

impl Pile {
    async fn next(&mut self) -> Result<Option<BasicGetMessage>, RabbitError> {
        let Some(left) = self.to_read.checked_sub(1) else {
            return Ok(None);
        };
        self.to_read = left;
        let getting = self.channel.basic_get(self.queue.clone(), BasicGetOptions::default());
        within(ANSWERED_WITHIN, async { Ok(getting.await?) }).await
    }
}

pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)))
}
