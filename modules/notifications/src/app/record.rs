//! What every event handler does with its event: a letter to the person concerned, and a delivery to each endpoint
//! that asked for it, in one transaction with the inbox row.

use contracts::event::Envelope;
use contracts::users::Profile;
use kernel::UserId;
use platform::batch::{Batch, Ran};
use platform::bus::HandleError;
use platform::group_commit::Shape;
use platform::inbox;
use serde_json::{Value, json};

use crate::Context;
use crate::domain::letter::Letter;
use crate::store::{deliveries, notifications};

/// The person an event concerns, if it has an account. Asked before the transaction: no call is made while one is open.
pub(crate) async fn recipient(
    context: &Context,
    user_id: Option<UserId>,
) -> Result<Option<Profile>, HandleError> {
    let Some(user_id) = user_id else { return Ok(None) };
    context.users.profile(user_id).await.map_err(HandleError::other)
}

/// What endpoints are told of an event.
pub(crate) struct WebhookEvent {
    pub(crate) name: &'static str,
    pub(crate) data: Value,
}

/// What more endpoints than this are told of is recorded alone: each number is a statement of its own.
const MOST_TOLD_WITH_OTHERS: usize = 2;

/// Stores both. The sender posts the letter, so that a slow mail server holds up no event.
pub(crate) async fn record(
    context: &Context,
    envelope: &Envelope,
    handler: &'static str,
    letter: Option<(Profile, Letter)>,
    webhook: Option<WebhookEvent>,
) -> Result<(), HandleError> {
    let system = context.db.system();
    let now = system.now();
    // Read before the transaction: an endpoint that comes or goes at this moment may hear of the event or not.
    let endpoints = match &webhook {
        Some(_) => context.endpoints.get(()).await?.unwrap_or_default(),
        None => Vec::new(),
    };
    let mut batch = Batch::default();
    inbox::first_delivery_in(&mut batch, envelope, handler, system);
    let queued = letter.map(|(profile, letter)| notifications::Model {
        id: system.id(),
        user_id: profile.id.uuid(),
        channel: "email".to_owned(),
        template: letter.template.to_owned(),
        recipient: profile.email.as_str().to_owned(),
        subject: letter.subject,
        body: letter.body,
        status: notifications::QUEUED.to_owned(),
        attempts: 0,
        next_attempt_at_ms: now.ms(),
        last_error: None,
        created_at_ms: now.ms(),
        sent_at_ms: None,
    });
    let (mut letters, mut told) = (0, 0);
    if let Some(row) = queued {
        letters = 1;
        notifications::insert_in(&mut batch, row);
    }
    if let Some(event) = webhook {
        let payload = json!({"event": event.name, "data": event.data, "timestamp": envelope.occurred_at});
        let rows = endpoints.iter().filter(|endpoint| endpoint.wants(event.name)).map(|endpoint| {
            deliveries::Model {
                id: system.id(),
                webhook_id: endpoint.id,
                event_id: envelope.id.uuid(),
                event: event.name.to_owned(),
                payload: payload.clone(),
                status: deliveries::PENDING.to_owned(),
                attempts: 0,
                created_at_ms: now.ms(),
                delivered_at_ms: None,
            }
        });
        let rows: Vec<_> = rows.collect();
        told = rows.len();
        deliveries::insert_all_in(&mut batch, rows);
    }
    // Nothing that could be done twice. Should the event come again, an endpoint that has come since hears of it.
    if letters + told == 0 {
        return Ok(());
    }
    let committed = match told <= MOST_TOLD_WITH_OTHERS {
        true => {
            context.db.commit_with_others(Shape("notifications.record", 2 * told + letters), batch).await?
        }
        false => context.db.commit(batch).await?,
    };
    match committed {
        // A refusal says that this handler dealt with the event before.
        Ran::Done(_) | Ran::Refused(_) => Ok(()),
    }
}
