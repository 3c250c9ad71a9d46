//! Adds an endpoint.

use base64::Engine;
use platform::http::Answer;
use platform::idempotency::{self, Begin, KeyedRequest};

use crate::Context;
use crate::domain::endpoint::{parse_events, parse_secret, parse_url};
use crate::error::{MAX_WEBHOOKS, NotificationsError};
use crate::store::webhooks;

/// What an admin asks for.
pub(crate) struct CreateWebhook {
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) secret: Option<String>,
    pub(crate) key: Option<KeyedRequest>,
}

/// The secret is part of the answer this once. A replay reads it from the endpoint itself, so that it is stored in one
/// place only; an endpoint never changes, but one that was deleted since has no answer any more.
pub(crate) async fn create_webhook(
    context: &Context,
    request: CreateWebhook,
) -> Result<Answer<webhooks::Model>, NotificationsError> {
    let (url, events) = (parse_url(&request.url)?, parse_events(&request.events)?);
    let secret = request.secret.as_deref().map(parse_secret).transpose()?.unwrap_or_else(new_secret);
    let ticket = match idempotency::begin::<uuid::Uuid>(&context.db, request.key).await? {
        Begin::Work(ticket) => ticket,
        Begin::Replay(id) => {
            let row = webhooks::find(context.db.reader(), id.into()).await?;
            return Ok(Answer::replayed(row.ok_or(NotificationsError::NotFound("webhook"))?));
        }
    };
    if webhooks::count(context.db.reader()).await? >= MAX_WEBHOOKS {
        ticket.withdraw(&context.db).await?;
        return Err(NotificationsError::TooManyWebhooks);
    }
    let row = webhooks::Model {
        id: ticket.resource_id,
        url,
        events: events.join(" "),
        secret,
        configured: false,
        created_at_ms: context.db.system().now().ms(),
    };
    let tx = context.db.begin().await?;
    webhooks::insert(tx.conn(), row.clone()).await?;
    ticket.complete(&tx, &row.id).await?;
    tx.commit().await?;
    tracing::info!(webhook.id = %row.id, "created a webhook");
    Ok(Answer::fresh(row))
}

/// `whsec_` and 32 random bytes in base64, as Standard Webhooks 1.0 asks.
pub(crate) fn new_secret() -> String {
    let bytes: [u8; 32] = rand::random();
    format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}
