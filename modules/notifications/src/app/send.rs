//! Sends what is queued.

use std::time::Duration;

use futures_util::StreamExt;
use kernel::Timestamp;
use platform::lease::{self, LEASE};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::Context;
use crate::domain::letter::SECRET_TEMPLATES;
use crate::domain::mail::Mail;
use crate::store::notifications;

/// Then the message has failed.
const MAX_ATTEMPTS: i64 = 10;
/// Messages that are looked for at once.
const BATCH: u64 = 64;
/// Messages that are sent at the same time.
const AT_ONCE: usize = 4;
/// Batches a run; what is left waits for the next run.
const MOST_BATCHES: usize = 100;

/// Sends what is due.
pub(crate) async fn send_due(context: &Context) -> Result<(), DbErr> {
    for _ in 0..MOST_BATCHES {
        let due = notifications::due(context.db.reader(), context.db.system().now(), BATCH).await?;
        let is_full = u64::try_from(due.len()).is_ok_and(|found| found == BATCH);
        let failures = futures_util::stream::iter(due)
            .map(|row| send(context, row))
            .buffer_unordered(AT_ONCE)
            .filter_map(async |sent| sent.err());
        // What is being sent is sent, whatever becomes of another one.
        if let Some(failure) = failures.collect::<Vec<_>>().await.pop() {
            return Err(failure);
        }
        if !is_full {
            break;
        }
    }
    Ok(())
}

/// Sends one message, unless another sender has it. If the power fails after the transport took it and before that is
/// noted, the lease runs out and it is sent again under the same id.
async fn send(context: &Context, row: notifications::Model) -> Result<(), DbErr> {
    let (system, db) = (context.db.system(), &context.db);
    if !notifications::claim(db.writer(), &row, system.now().plus(LEASE)).await? {
        return Ok(());
    }
    let mail = Mail {
        id: row.id.to_string(),
        from: context.settings.from.clone(),
        to: row.recipient,
        subject: row.subject,
        body: row.body,
        date: Timestamp::from_ms(row.created_at_ms),
    };
    let attempt = row.attempts + 1;
    let renew = || notifications::renew(db.writer(), row.id, attempt, system.now().plus(LEASE));
    match lease::keep(renew, context.transport.send(&mail)).await {
        Ok(()) => {
            tracing::info!(notification.id = %row.id, template = %row.template, "sent a notification");
            notifications::mark_sent(db.writer(), row.id, system.now()).await?;
            forget_secret(context, &row.template, row.id).await
        }
        Err(error) => {
            let attempts = row.attempts + 1;
            tracing::warn!(notification.id = %row.id, attempts, cause = %error, "a notification was not sent");
            let next = (attempts < MAX_ATTEMPTS).then(|| system.now().plus(back_off(attempts)));
            notifications::mark_failure(db.writer(), row.id, error.to_string(), next).await?;
            if next.is_none() { forget_secret(context, &row.template, row.id).await } else { Ok(()) }
        }
    }
}

/// Deletes the text of a letter with a token, which is of no more use here.
async fn forget_secret(context: &Context, template: &str, id: Uuid) -> Result<(), DbErr> {
    if SECRET_TEMPLATES.contains(&template) {
        notifications::withhold_body(context.db.writer(), id).await?;
    }
    Ok(())
}

/// 1 s, doubled with each failure, an hour at most.
fn back_off(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 12)).unwrap_or(12);
    Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(doublings)).min(Duration::from_secs(3_600))
}
