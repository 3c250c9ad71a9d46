//! How many messages wait for each module.

use std::time::Duration;

use contracts::subscriptions::Subscriptions;
use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use crate::rabbit::Options;
use crate::rabbit::dead_letters::is_not_found;
use crate::rabbit::link::{OPENED_WITHIN, RabbitError, close, connect, within};
use crate::rabbit::topology::Names;

/// An answer of the broker that takes longer is none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// The messages that wait in the queue of each module that subscribes to anything; those that are being handled just now do not
/// count. A queue that was never declared has none. Declares and changes nothing.
pub async fn waiting(options: &Options) -> Result<Vec<(&'static str, u64)>, RabbitError> {
    let connection = within(OPENED_WITHIN, connect(&options.url, "souk doctor")).await?;
    let counted = within(ANSWERED_WITHIN, count(&connection, &options.prefix, options.subscriptions)).await;
    close(&connection).await;
    counted
}

async fn count(
    connection: &Connection,
    prefix: &str,
    subscriptions: Subscriptions,
) -> Result<Vec<(&'static str, u64)>, RabbitError> {
    let (names, mut counted) = (Names::new(prefix), Vec::new());
    for module in subscriptions.subscribers() {
        // Asking for a queue that is not there closes the channel.
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions::default().passive();
        match channel.queue_declare(names.queue(module).into(), passive, FieldTable::default()).await {
            Ok(queue) => counted.push((module, u64::from(queue.message_count()))),
            Err(error) if is_not_found(&error) => counted.push((module, 0)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(counted)
}
