//! Ends what dead processes, lost answers and silent neighbours left behind. Safe in several processes at once: work is
//! claimed by a lease, and whatever two of them do to one attempt, it ends once.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use kernel::{OrderId, PaymentId, Timestamp};
use platform::lease;
use platform::problem::chain;
use sea_orm::DbErr;

use crate::Context;
use crate::app::drive::{Driven, drive};
use crate::app::{lease_until, release_order};
use crate::domain::driving::Manner;
use crate::error::PaymentError;
use crate::store::{attempts, intents, keys, payments, webhooks};

/// Rows of a kind in one run; the rest waits for the next.
const BATCH: u64 = 64;
/// Rows of a kind that are worked on at the same time.
const AT_ONCE: usize = 8;
/// How long a webhook's id is remembered: longer than any provider repeats one.
const REMEMBER_WEBHOOKS: Duration = Duration::from_secs(7 * 24 * 3600);

/// One run. Each kind by itself: a provider that is silent keeps nobody from what needs no provider.
pub(crate) async fn recover(context: &Context) -> Result<(), PaymentError> {
    let runs = futures_util::join!(
        finish_attempts(context),
        take_back_intents(context),
        tell_orders(context),
        drop_stale_keys(context),
        forget_webhooks(context),
    );
    let (attempts, intents, orders, keys, webhooks) = runs;
    Ok(attempts.and(intents).and(orders).and(keys).and(webhooks)?)
}

/// Takes an attempt over and drives it, unless somebody else has taken it.
pub(crate) async fn take_and_drive(context: &Context, attempt: attempts::Model) -> Result<(), PaymentError> {
    let lease = lease_until(context.db.system());
    if !attempts::lease(context.db.writer(), &attempt, lease).await? {
        return Ok(());
    }
    let attempt = attempts::Model { lease_until_ms: lease.ms(), ..attempt };
    match drive(context, &attempt, Manner::Recovering).await? {
        Driven::Settled(_) | Driven::Overtaken => {}
        Driven::Unanswered => tracing::warn!(attempt.id = %attempt.id, "an attempt waits for the provider"),
    }
    Ok(())
}

/// When a lease has ended whose work is the worker's now.
fn ended(context: &Context) -> Timestamp {
    lease::left_behind(context.db.system().now())
}

async fn finish_attempts(context: &Context) -> Result<(), DbErr> {
    let left_behind = attempts::left_behind(context.db.reader(), ended(context), BATCH).await?;
    futures_util::stream::iter(left_behind)
        .for_each_concurrent(AT_ONCE, |attempt| async move {
            let id = attempt.id;
            // One that cannot be driven must not keep the others from it.
            if let Err(error) = take_and_drive(context, attempt).await {
                tracing::error!(attempt.id = %id, cause = %chain(&error), "an attempt could not be finished");
            }
        })
        .await;
    Ok(())
}

/// Intents that never became payments.
async fn take_back_intents(context: &Context) -> Result<(), DbErr> {
    let left_behind = intents::left_behind(context.db.reader(), ended(context), BATCH).await?;
    let taking_back = futures_util::stream::iter(left_behind).map(Ok);
    taking_back
        .try_for_each_concurrent(AT_ONCE, |intent| async move {
            let lease = lease_until(context.db.system());
            if !intents::claim_end(context.db.writer(), &intent, lease).await? {
                return Ok(());
            }
            let (id, order_id) = (PaymentId(intent.id), OrderId(intent.order_id));
            if let Err(error) = release_order::take_back_claimed(context, id, order_id).await {
                tracing::warn!(payment.id = %id, cause = %chain(&error), "an intent could not be taken back yet");
            }
            Ok(())
        })
        .await
}

/// Orders that do not know yet that their payment failed.
async fn tell_orders(context: &Context) -> Result<(), DbErr> {
    let due = payments::release_due(context.db.reader(), BATCH).await?;
    futures_util::stream::iter(due)
        .for_each_concurrent(AT_ONCE, |payment| async move {
            if let Err(error) = release_order::release(context, &payment).await {
                tracing::warn!(payment.id = %payment.id, cause = %chain(&error), "an order could not be told yet");
            }
        })
        .await;
    Ok(())
}

/// Keys of requests that died before they had written anything else.
async fn drop_stale_keys(context: &Context) -> Result<(), DbErr> {
    let db = &context.db;
    for key in keys::alone(db.reader(), db.system().now(), BATCH).await? {
        // If its client came back meanwhile, the lease is another and the key stays, however slow this worker is.
        keys::withdraw_unheld(db.writer(), key.resource_id, key.lease_until_ms).await?;
    }
    Ok(())
}

async fn forget_webhooks(context: &Context) -> Result<(), DbErr> {
    let before = context.db.system().now().minus(REMEMBER_WEBHOOKS);
    // A look without a lock first: an idle run must not take SQLite's writer.
    if webhooks::any_before(context.db.reader(), before).await? {
        webhooks::purge(context.db.writer(), before).await?;
    }
    Ok(())
}
