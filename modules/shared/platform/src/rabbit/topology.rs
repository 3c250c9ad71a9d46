//! What there is on the broker, by name, and how it is declared: by everyone, before anything is published or read.

use contracts::subscriptions::Subscriptions;
use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

/// How often a message is given out before the broker itself makes it a dead letter. The net below [`super::consumer`], which
/// gives it up much sooner; only a program that dies before it has looked at a message gets here.
const DELIVERY_LIMIT: i64 = 100;
/// Dead letters may be looked at any number of times: a broker counts each look as a delivery.
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;
/// The routing key of what concerns every process.
pub(super) const EVERYONE: &str = "everyone";

/// The names on the broker; all of them begin with the prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Where events are published, under their type.
    pub(super) fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// Where it is said who has handled what, under the name of the module that published it.
    pub(super) fn handled(&self) -> String {
        format!("{}.handled", self.prefix)
    }

    /// Where dead letters go, under the name of the module that could not handle them.
    pub(super) fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The queue of a module.
    pub(super) fn queue(&self, module: &str) -> String {
        format!("{}.{module}", self.prefix)
    }

    /// The dead letters of a module.
    pub(super) fn dead_queue(&self, module: &str) -> String {
        format!("{}.{module}.dead", self.prefix)
    }

    /// A queue of one process, which ends with its connection.
    pub(super) fn process_queue(&self, kind: &str, process: uuid::Uuid) -> String {
        format!("{}.process.{}.{kind}", self.prefix, process.simple())
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

/// Declares the exchanges, and the queue of every module that subscribes to anything, with its dead letters.
pub(super) async fn declare(
    channel: &Channel,
    names: &Names,
    subscriptions: Subscriptions,
) -> Result<(), lapin::Error> {
    for (exchange, kind) in [
        (names.events(), ExchangeKind::Topic),
        (names.handled(), ExchangeKind::Topic),
        (names.dead(), ExchangeKind::Direct),
    ] {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await?;
    }
    for module in subscriptions.subscribers() {
        let (queue, dead_queue) = (names.queue(module), names.dead_queue(module));
        let dead = table([
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongLongInt(NO_DELIVERY_LIMIT)),
        ]);
        channel.queue_declare(dead_queue.as_str().into(), QueueDeclareOptions::durable(), dead).await?;
        bind(channel, &dead_queue, &names.dead(), module).await?;
        channel
            .queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), module_queue(names, module))
            .await?;
        for event_type in subscriptions.types_for(module) {
            bind(channel, &queue, &names.events(), event_type).await?;
        }
    }
    Ok(())
}

/// One active consumer, so that replicas of a module do not overtake each other.
///
/// The broker moves a message to the dead letters without asking whether it has arrived (`at-most-once`). It could ask, but the process
/// of RabbitMQ 3.10 that does so gives up when many queues come and go, and every such queue goes down with it. So a module puts
/// away its dead letters itself, and waits for the broker's word.
fn module_queue(names: &Names, module: &str) -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(&names.dead())),
        ("x-dead-letter-routing-key", text(module)),
    ])
}

/// Declares a queue that ends with this connection.
pub(super) async fn declare_for_process(channel: &Channel, queue: &str) -> Result<(), lapin::Error> {
    let options = QueueDeclareOptions::exclusive().auto_delete();
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.map(|_| ())
}

/// Lets an exchange give a queue what comes under a routing key.
pub(super) async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
) -> Result<(), lapin::Error> {
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

/// Deletes all of it, with whatever still waits there.
pub(super) async fn delete(
    channel: &Channel,
    names: &Names,
    subscriptions: Subscriptions,
) -> Result<(), lapin::Error> {
    for module in subscriptions.subscribers() {
        for queue in [names.queue(module), names.dead_queue(module)] {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
    }
    for exchange in [names.events(), names.handled(), names.dead()] {
        channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
    }
    Ok(())
}
