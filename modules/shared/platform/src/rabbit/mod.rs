//! The bus of a shop in several processes: events go over RabbitMQ.
//!
//! Every process keeps two connections. One publishes; the other reads, so that a broker that has no room for more messages
//! can still be told which ones are done. Each is replaced when it is lost, for ever. The outbox stays the source: what the
//! broker has not confirmed waits there.
//!
//! | on the broker | what for |
//! |---|---|
//! | topic exchange `<prefix>.events` | events, by type |
//! | quorum queue `<prefix>.<module>` | what a module has to handle; one consumer at a time |
//! | direct exchange `<prefix>.dead`, quorum queue `<prefix>.<module>.dead` | what it could not handle |
//! | topic exchange `<prefix>.handled` | who is there, and who has handled what ([`crate::db::Committed::settle`]) |
//! | queues `<prefix>.process.<id>.*` | one process's memory and notices; they end with its connection |

mod broadcast;
mod consumer;
mod dead_letters;
mod handled;
mod link;
mod notices;
mod publisher;
mod queues;
mod topology;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::Envelope;
use contracts::subscriptions::Subscriptions;
use futures_util::future::BoxFuture;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{EventBus, EventHandler, PublishError, Reach};
use crate::db::Db;
use crate::module::AnyError;
use crate::problem::chain;
use crate::rabbit::broadcast::{Broadcasts, catch_up};
use crate::rabbit::consumer::{Desk, Subscription};
use crate::rabbit::link::{Backoff, OPENED_WITHIN, close, connect, within};
use crate::rabbit::notices::Notices;
use crate::rabbit::publisher::{IN_FLIGHT, Message, Publisher, PublisherError};
use crate::rabbit::topology::{EVERYONE, Names};
use crate::system::System;

pub use dead_letters::{DeadLetter, DeadLetters, Selection, list, replay, reset};
pub(crate) use handled::{Expected, Handled};
pub use link::RabbitError;
pub use queues::waiting;

/// How the broker is used. Without `Debug`: the address holds a password.
#[derive(Clone)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`; `amqps` for TLS.
    pub url: String,
    /// What the name of every exchange and queue begins with.
    pub prefix: String,
    /// Who subscribes to what.
    pub subscriptions: Subscriptions,
    /// Messages that the broker gives one module without having heard that earlier ones are done.
    pub prefetch: u16,
    /// Events that one module handles at the same time.
    pub parallel: usize,
    /// After so many failures that do not pass a message becomes a dead letter.
    pub max_attempts: u32,
}

impl Options {
    /// The usual bounds.
    pub fn new(url: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: prefix.into(),
            subscriptions: Subscriptions::default(),
            // The broker counts what it gave out in vain, so it gives out little more than is handled at once.
            prefetch: 8,
            parallel: 4,
            max_attempts: 5,
        }
    }
}

/// A module that runs in this process.
pub struct ModuleHere {
    /// Its database: the commits of the module can then wait for their effects elsewhere.
    pub db: Db,
    /// All its handlers, whatever their reach.
    pub handlers: Vec<Arc<dyn EventHandler>>,
}

/// Called after each connection, when nothing that happens from then on is missed: reads what this process holds in its memory anew.
pub type Hook = Arc<dyn Fn() -> BoxFuture<'static, Result<(), AnyError>> + Send + Sync>;

struct Subscriber {
    module: &'static str,
    handlers: Vec<Arc<dyn EventHandler>>,
}

/// The bus to the processes of a shop.
pub struct RabbitBus {
    options: Options,
    names: Names,
    system: System,
    publisher: Arc<Publisher>,
    subscribers: Vec<Subscriber>,
    /// Handlers for the memory of this process.
    followers: Vec<Arc<dyn EventHandler>>,
    on_connect: Hook,
    handled: Arc<Handled>,
}

impl RabbitBus {
    /// A bus for the modules that run here; `followers` are handlers of the process itself. The broker need not be there yet.
    pub fn new(
        options: Options,
        system: System,
        modules: Vec<ModuleHere>,
        mut followers: Vec<Arc<dyn EventHandler>>,
        on_connect: Hook,
    ) -> Arc<Self> {
        let names = Names::new(&options.prefix);
        let handled = Arc::new(Handled::new(options.subscriptions));
        let mut subscribers = Vec::new();
        for ModuleHere { db, handlers } in modules {
            db.follow(handled.clone());
            let (own, shared) =
                handlers.into_iter().partition::<Vec<_>, _>(|handler| handler.reach() == Reach::Process);
            followers.extend(own);
            subscribers.push(Subscriber { module: db.module(), handlers: shared });
        }
        let publisher = Arc::new(Publisher::new(&options.url, names.clone(), options.subscriptions));
        Arc::new(Self { options, names, system, publisher, subscribers, followers, on_connect, handled })
    }

    /// Whether events can be published now.
    pub fn is_connected(&self) -> bool {
        self.publisher.is_open()
    }

    /// Publishes and handles until told to stop; then lets what is being handled finish. Stop it after the relays, which
    /// publish through it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        // Handlers that finish at the end still have to say so.
        let stop_publishing = CancellationToken::new();
        let handling = async {
            self.handle_until(&stop).await;
            stop_publishing.cancel();
        };
        tokio::join!(self.publisher.run(&stop_publishing), handling);
    }

    async fn handle_until(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                opened = within(OPENED_WITHIN, self.open()) => opened,
                () = stop.cancelled() => return,
            };
            match opened {
                Ok(session) => {
                    backoff.reset();
                    if let Err(error) = session.run(stop).await {
                        tracing::warn!(cause = %chain(&error), "no events arrive; connecting again");
                    }
                }
                Err(error) => {
                    tracing::warn!(cause = %chain(&error), "the message broker is away; no events arrive")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Connects, declares everything and subscribes.
    async fn open(&self) -> Result<Session, RabbitError> {
        let connection = connect(&self.options.url, "souk consumer").await?;
        let channel = connection.create_channel().await?;
        topology::declare(&channel, &self.names, self.options.subscriptions).await?;
        let mut session = Session { connection, ending: CancellationToken::new(), parts: JoinSet::new() };
        let process = self.system.id();
        let follows: BTreeSet<&'static str> =
            self.followers.iter().flat_map(|handler| handler.event_types()).copied().collect();

        let queue = self.names.process_queue("events", process);
        topology::declare_for_process(&channel, &queue).await?;
        for event_type in &follows {
            topology::bind(&channel, &queue, &self.names.events(), event_type).await?;
        }
        let broadcasts = Broadcasts {
            handlers: self.followers.clone(),
            publisher: self.publisher.clone(),
            names: self.names.clone(),
            subscriptions: self.options.subscriptions,
            process,
        };
        let messages = consume(&channel, &queue, true).await?;
        session.parts.spawn(broadcasts.run(messages, session.ending.clone()));
        session.parts.spawn(catch_up(self.on_connect.clone(), session.ending.clone()));

        for subscriber in self.subscribers.iter().filter(|subscriber| !subscriber.handlers.is_empty()) {
            let channel = session.connection.create_channel().await?;
            channel.basic_qos(self.options.prefetch, BasicQosOptions::default()).await?;
            let messages = consume(&channel, &self.names.queue(subscriber.module), false).await?;
            let messages = Subscription::new(channel, messages);
            session.parts.spawn(self.desk(subscriber).run(messages, session.ending.clone()));
        }
        self.listen(&channel, process, follows, &mut session).await?;
        Ok(session)
    }

    /// Last of all: from here on others wait for this process.
    async fn listen(
        &self,
        channel: &Channel,
        process: Uuid,
        follows: BTreeSet<&'static str>,
        session: &mut Session,
    ) -> Result<(), RabbitError> {
        let queue = self.names.process_queue("notices", process);
        topology::declare_for_process(channel, &queue).await?;
        let modules = self.subscribers.iter().map(|subscriber| subscriber.module);
        for key in modules.clone().chain([EVERYONE]) {
            topology::bind(channel, &queue, &self.names.handled(), key).await?;
        }
        let notices = Notices {
            publisher: self.publisher.clone(),
            names: self.names.clone(),
            handled: self.handled.clone(),
            process,
            modules: modules.map(str::to_owned).collect(),
            follows,
        };
        let heard = consume(channel, &queue, true).await?;
        session.parts.spawn(notices.run(heard, session.ending.clone()));
        Ok(())
    }

    fn desk(&self, subscriber: &Subscriber) -> Arc<Desk> {
        Arc::new(Desk {
            module: subscriber.module,
            handlers: subscriber.handlers.clone(),
            publisher: self.publisher.clone(),
            names: self.names.clone(),
            subscriptions: self.options.subscriptions,
            system: self.system.clone(),
            max_attempts: self.options.max_attempts,
            room: Semaphore::new(self.options.parallel.max(1)),
        })
    }
}

async fn consume(channel: &Channel, queue: &str, no_ack: bool) -> Result<Consumer, RabbitError> {
    let options = BasicConsumeOptions { no_ack, ..BasicConsumeOptions::default() };
    Ok(channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?)
}

/// What reads, while one connection lives.
struct Session {
    connection: Connection,
    ending: CancellationToken,
    parts: JoinSet<Result<(), RabbitError>>,
}

impl Session {
    /// Until told to stop or until one part ends; then all end, and what is being handled is finished.
    async fn run(mut self, stop: &CancellationToken) -> Result<(), RabbitError> {
        let mut outcome = tokio::select! {
            Some(ended) = self.parts.join_next() => Some(ended),
            () = stop.cancelled() => None,
        };
        self.ending.cancel();
        while let Some(ended) = self.parts.join_next().await {
            outcome.get_or_insert(ended);
        }
        // Messages that nobody has begun with go back to the queue.
        close(&self.connection).await;
        match outcome {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => Err(RabbitError::BrokeOff(error)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl EventBus for RabbitBus {
    async fn publish(&self, envelope: &Envelope) -> Result<(), PublishError> {
        let failed = |cause: String| PublishError::Failed { handler: "the message broker".to_owned(), cause };
        let body = serde_json::to_vec(envelope).map_err(|error| failed(error.to_string()))?;
        let (exchange, event_type) = (self.names.events(), envelope.event_type.as_str());
        let message = Message {
            exchange: &exchange,
            routing_key: event_type,
            mandatory: !self.options.subscriptions.subscribers_of(event_type).is_empty(),
            properties: self.properties_of(envelope),
            body: &body,
        };
        // No queue for it is no fault of the event either: the queues are declared anew before the next try.
        let away = |error: PublisherError| PublishError::Away { cause: chain(&error) };
        self.publisher.publish(&message).await.map_err(away)
    }

    async fn ready(&self) {
        self.publisher.opened().await;
    }

    fn room(&self) -> usize {
        IN_FLIGHT
    }
}

impl RabbitBus {
    /// For operators who look into a queue: everything also stands in the body.
    fn properties_of(&self, envelope: &Envelope) -> BasicProperties {
        let text = |value: &str| AMQPValue::LongString(LongString::from(value));
        let mut headers = FieldTable::default();
        headers.insert("souk-aggregate-id".into(), text(&envelope.aggregate_id.to_string()));
        if let Some(publisher) = self.options.subscriptions.publisher_of(&envelope.event_type) {
            headers.insert("souk-source".into(), text(publisher));
        }
        if let Some(trace_id) = &envelope.trace_id {
            headers.insert("souk-trace-id".into(), text(trace_id));
        }
        let occurred_s = u64::try_from(envelope.occurred_at.ms() / 1_000).unwrap_or_default();
        BasicProperties::default()
            .with_content_type("application/json".into())
            .with_message_id(envelope.id.to_string().into())
            .with_type(envelope.event_type.as_str().into())
            .with_timestamp(occurred_s)
            .with_headers(headers)
    }
}
