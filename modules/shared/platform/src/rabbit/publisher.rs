//! Gives messages to the broker and waits for its word that it has them.
//!
//! Each message that is under way has a channel to itself. The client library tells which channel a message came back on that no
//! queue takes, but not reliably which message it was; on a shared channel a lost event could pass for a published one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::subscriptions::Subscriptions;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::problem::chain;
use crate::rabbit::link::{Backoff, OPENED_WITHIN, RabbitError, close, connect, follow, within};
use crate::rabbit::topology::{self, Names};

/// Messages under way at once, and so channels.
pub(super) const IN_FLIGHT: usize = 64;
/// A message that is not under way within this, so many are before it, is given back. With the next bound it stays well below the
/// patience of the relay, for which a bus that does not answer is a fault of the event.
const UNDER_WAY_WITHIN: Duration = Duration::from_secs(10);
/// A broker that has not confirmed a message within this is left, and asked again on a new connection.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// A notice that cannot be sent within this is left; nobody may wait for it.
const SAID_WITHIN: Duration = Duration::from_secs(1);
/// The delivery mode of a message that is written to disk.
const PERSISTENT: u8 = 2;

/// A message on its way out.
pub(super) struct Message<'a> {
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    /// Whether it is an error if no queue takes it.
    pub(super) mandatory: bool,
    pub(super) properties: BasicProperties,
    pub(super) body: &'a [u8],
}

/// A connection with its channels.
struct Link {
    connection: Connection,
    idle: Mutex<Vec<Channel>>,
    /// For what needs no confirmation.
    notices: Channel,
    /// Cancelled to have it replaced.
    spent: CancellationToken,
}

impl Link {
    async fn channel(&self) -> Result<Channel, RabbitError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(channel) => Ok(channel),
            None => confirming_channel(&self.connection).await,
        }
    }

    fn give_back(&self, channel: Channel) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }
}

pub(super) async fn confirming_channel(connection: &Connection) -> Result<Channel, RabbitError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes a message on a channel that nothing else uses; done when the broker has it. The caller bounds it.
pub(super) async fn publish_on(channel: &Channel, message: &Message<'_>) -> Result<(), RabbitError> {
    let options = BasicPublishOptions { mandatory: message.mandatory, ..BasicPublishOptions::default() };
    let properties = message.properties.clone().with_delivery_mode(PERSISTENT);
    let (exchange, routing_key) = (message.exchange.into(), message.routing_key.into());
    let taken = channel.basic_publish(exchange, routing_key, options, message.body, properties).await?;
    match taken.await? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(RabbitError::Unroutable(message.routing_key.to_owned())),
        Confirmation::Nack(_) | Confirmation::NotRequested => Err(RabbitError::NotKept),
    }
}

/// The way out of this process.
pub(super) struct Publisher {
    url: String,
    names: Names,
    subscriptions: Subscriptions,
    slots: Semaphore,
    link: watch::Sender<Option<Arc<Link>>>,
    /// Whether messages can be published now.
    open: watch::Sender<bool>,
}

impl Publisher {
    pub(super) fn new(url: &str, names: Names, subscriptions: Subscriptions) -> Self {
        Self {
            url: url.to_owned(),
            names,
            subscriptions,
            slots: Semaphore::new(IN_FLIGHT),
            link: watch::Sender::new(None),
            open: watch::Sender::new(false),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until messages can be published.
    pub(super) async fn opened(&self) {
        // The sender lives as long as this does.
        let mut open = self.open.subscribe();
        let _opened = open.wait_for(|open| *open).await;
    }

    /// Publishes a message; done when the broker has it for good. Every step is bounded.
    pub(super) async fn publish(&self, message: &Message<'_>) -> Result<(), PublisherError> {
        let Ok(slot) = tokio::time::timeout(UNDER_WAY_WITHIN, self.slots.acquire()).await else {
            // The connection may be a good one: those before this message judge it.
            return Err(RabbitError::TooSlow(UNDER_WAY_WITHIN).into());
        };
        let Ok(_slot) = slot else {
            return Err(PublisherError::NotConnected);
        };
        let link = self.link.borrow().clone().ok_or(PublisherError::NotConnected)?;
        let publishing = async {
            let channel = link.channel().await?;
            publish_on(&channel, message).await.map(|()| channel)
        };
        match within(CONFIRM_WITHIN, publishing).await {
            Ok(channel) => {
                link.give_back(channel);
                Ok(())
            }
            Err(error) => {
                // A queue or exchange that is missing is declared with the next connection.
                if !matches!(error, RabbitError::NotKept) {
                    link.spent.cancel();
                }
                Err(error.into())
            }
        }
    }

    /// Says something that may be lost.
    pub(super) async fn say(&self, exchange: &str, routing_key: &str, body: &[u8]) {
        let Some(link) = self.link.borrow().clone() else {
            return;
        };
        let (exchange, routing_key): (ShortString, ShortString) = (exchange.into(), routing_key.into());
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let saying = link.notices.basic_publish(exchange, routing_key, options, body, properties);
        match tokio::time::timeout(SAID_WITHIN, saying).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                // Its channel is gone and does not come back, as when somebody has deleted the exchange.
                link.spent.cancel();
                tracing::debug!(%error, "a notice was lost");
            }
            Err(_) => tracing::debug!("a notice was lost: the connection takes nothing"),
        }
    }

    /// Keeps a connection until told to stop.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                opened = within(OPENED_WITHIN, self.open()) => opened,
                () = stop.cancelled() => return,
            };
            match opened {
                Ok(link) => {
                    backoff.reset();
                    tracing::debug!("events can be published");
                    self.serve(link, stop).await;
                    if !stop.is_cancelled() {
                        tracing::warn!("the message broker is lost; events wait");
                    }
                }
                Err(error) => {
                    tracing::warn!(cause = %chain(&error), "the message broker is away; events wait")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.pause()) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn open(&self) -> Result<Arc<Link>, RabbitError> {
        let connection = connect(&self.url, "souk publisher").await?;
        let notices = connection.create_channel().await?;
        topology::declare(&notices, &self.names, self.subscriptions).await?;
        Ok(Arc::new(Link { connection, idle: Mutex::default(), notices, spent: CancellationToken::new() }))
    }

    async fn serve(&self, link: Arc<Link>, stop: &CancellationToken) {
        self.link.send_replace(Some(link.clone()));
        self.open.send_replace(true);
        tokio::select! {
            () = follow(&link.connection, &link.spent, |blocked| { self.open.send_replace(!blocked); }) => {}
            () = stop.cancelled() => {}
        }
        self.open.send_replace(false);
        self.link.send_replace(None);
        close(&link.connection).await;
    }
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublisherError {
    #[error("there is no connection to the message broker")]
    NotConnected,
    #[error(transparent)]
    Rabbit(#[from] RabbitError),
}
