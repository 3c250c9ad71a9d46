//! A provider says that something happened. Its word is only a reason to look: what is written comes from asking it.

use std::sync::Arc;

use kernel::Timestamp;

use crate::Context;
use crate::app::drive::settle_what_was_heard;
use crate::error::PaymentError;
use crate::store::{attempts, webhooks};

/// A webhook whose signature holds.
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) provider_key: Option<String>,
}

/// Goes on to the end even if the provider does not wait for it.
pub(crate) async fn receive_webhook(context: Arc<Context>, webhook: Webhook) -> Result<(), PaymentError> {
    let system = context.db.system().clone();
    system.to_the_end(async move { receive(&context, &webhook, context.db.system().now()).await }).await?
}

async fn receive(context: &Context, webhook: &Webhook, now: Timestamp) -> Result<(), PaymentError> {
    let provider = context.provider.name();
    if !webhooks::first_time(context.db.writer(), provider, &webhook.id, now).await? {
        return Ok(());
    }
    // Power fails here: the webhook is remembered and nothing was done; the worker looks without being told.
    let Some(key) = &webhook.provider_key else {
        return Ok(());
    };
    let Some(attempt) = attempts::open_by_provider_key(context.db.reader(), key).await? else {
        return Ok(());
    };
    // Only a look: whoever is at work on the attempt goes on, and it ends once.
    let fate = tokio::time::timeout(context.provider_timeout(), context.provider.find(key)).await;
    if let Ok(Ok(Some(verdict))) = fate {
        settle_what_was_heard(context, &attempt, verdict).await?;
    }
    Ok(())
}
