//! Puts a delivery back in line.

use kernel::WebhookId;
use uuid::Uuid;

use crate::Context;
use crate::error::NotificationsError;
use crate::store::deliveries;

pub(crate) async fn replay_delivery(
    context: &Context,
    webhook_id: WebhookId,
    id: Uuid,
) -> Result<deliveries::Model, NotificationsError> {
    let find = || deliveries::find_of(context.db.reader(), webhook_id, id);
    find().await?.ok_or(NotificationsError::NotFound("delivery"))?;
    if !deliveries::put_back(context.db.writer(), id).await? {
        return Err(NotificationsError::DeliveryPending);
    }
    find().await?.ok_or(NotificationsError::NotFound("delivery"))
}
