//! Sends what is queued.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
/// Messages that are taken at once.
const BATCH: u64 = 64;
/// Messages that are given to the transport at once, and whose sending is noted in one statement.
const AT_ONCE: usize = 32;
/// Batches a run; what is left waits for the next run.
const MOST_BATCHES: usize = 100;

/// Sends what is due.
pub(crate) async fn send_due(context: &Context) -> Result<(), DbErr> {
    let db = &context.db;
    for _ in 0..MOST_BATCHES {
        // A look without a lock first: an idle sender must not take SQLite's writer.
        let due = notifications::due(db.reader(), db.system().now(), BATCH).await?;
        if due.is_empty() {
            break;
        }
        let is_full = u64::try_from(due.len()).is_ok_and(|found| found == BATCH);
        let now = db.system().now();
        let claimed =
            notifications::claim(db.writer(), due.iter().map(|row| row.id), now, now.plus(LEASE)).await?;
        send_all(context, claimed).await?;
        if !is_full {
            break;
        }
    }
    Ok(())
}

/// Sends messages that were taken, and keeps the lease of those that wait for their turn. If the power fails after the transport took one
/// and before that is noted, the lease runs out and it is sent again under the same id.
async fn send_all(context: &Context, claimed: Vec<notifications::Model>) -> Result<(), DbErr> {
    let db = &context.db;
    let unsent = Mutex::new(claimed.iter().map(|row| row.id).collect::<BTreeSet<Uuid>>());
    let unsent = &unsent;
    let sending = async {
        let mut failure = None;
        let mut waiting = claimed.into_iter().peekable();
        while waiting.peek().is_some() {
            let some = post(context, waiting.by_ref().take(AT_ONCE).collect()).await;
            let ids: Vec<Uuid> = some.iter().map(|(_, row)| row.id).collect();
            // A failed one waits for longer than a lease, which must not be renewed; a sent one keeps its lease until that is noted.
            let failed: Vec<Uuid> =
                some.iter().filter(|(sent, _)| sent.is_err()).map(|(_, row)| row.id).collect();
            lock(unsent).retain(|id| !failed.contains(id));
            // What was taken is sent, whatever becomes of another one.
            if let Err(error) = note(context, some).await {
                failure = Some(error);
            }
            lock(unsent).retain(|id| !ids.contains(id));
        }
        failure.map_or(Ok(()), Err)
    };
    let renew = || {
        let ids = lock(unsent).clone();
        async move { notifications::renew(db.writer(), ids, db.system().now().plus(LEASE)).await }
    };
    lease::keep(renew, sending).await
}

/// What became of each message.
async fn post(
    context: &Context,
    rows: Vec<notifications::Model>,
) -> Vec<(Result<(), std::io::Error>, notifications::Model)> {
    let mails = rows.iter().map(|row| Mail {
        id: row.id.to_string(),
        from: context.settings.from.clone(),
        to: row.recipient.clone(),
        subject: row.subject.clone(),
        body: row.body.clone(),
        date: Timestamp::from_ms(row.created_at_ms),
    });
    let sent = context.transport.send(mails.collect()).await;
    sent.into_iter().zip(rows).collect()
}

/// Notes what became of some messages: all of it, whatever goes wrong with a part; the first error.
async fn note(
    context: &Context,
    posted: Vec<(Result<(), std::io::Error>, notifications::Model)>,
) -> Result<(), DbErr> {
    let (system, db) = (context.db.system(), &context.db);
    let (mut sent, mut secrets, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (outcome, row) in posted {
        let is_secret = SECRET_TEMPLATES.contains(&row.template.as_str());
        match outcome {
            Ok(()) => {
                tracing::info!(notification.id = %row.id, template = %row.template, "sent a notification");
                sent.push(row.id);
                secrets.extend(is_secret.then_some(row.id));
            }
            Err(error) => {
                let attempts = row.attempts;
                tracing::warn!(notification.id = %row.id, attempts, cause = %error, "a notification was not sent");
                let next = (attempts < MAX_ATTEMPTS).then(|| system.now().plus(back_off(attempts)));
                secrets.extend((is_secret && next.is_none()).then_some(row.id));
                failures.push((row.id, error.to_string(), next));
            }
        }
    }
    let mut outcome = Ok(());
    if !sent.is_empty() {
        outcome = outcome.and(notifications::mark_sent(db.writer(), sent, system.now()).await);
    }
    for (id, cause, next) in failures {
        outcome = outcome.and(notifications::mark_failure(db.writer(), id, cause, next).await);
    }
    // Deletes the text of letters with a token, which is of no more use here.
    for id in secrets {
        outcome = outcome.and(notifications::withhold_body(db.writer(), id).await);
    }
    outcome
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 1 s, doubled with each failure, an hour at most.
fn back_off(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 12)).unwrap_or(12);
    Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(doublings)).min(Duration::from_secs(3_600))
}
