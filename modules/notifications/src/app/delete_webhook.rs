//! Removes an endpoint with its deliveries.

use kernel::WebhookId;

use crate::Context;
use crate::error::NotificationsError;
use crate::store::webhooks;

pub(crate) async fn delete_webhook(context: &Context, id: WebhookId) -> Result<(), NotificationsError> {
    let row =
        webhooks::find(context.db.reader(), id).await?.ok_or(NotificationsError::NotFound("webhook"))?;
    if row.configured {
        return Err(NotificationsError::WebhookConfigured);
    }
    if !webhooks::delete(context.db.writer(), id).await? {
        return Err(NotificationsError::NotFound("webhook"));
    }
    tracing::info!(webhook.id = %id, "deleted a webhook");
    Ok(())
}
