//! Brings an open attempt to its end, step by step along the table of [`crate::domain::driving`], which says what is left
//! when the power fails.

use std::future::Future;
use std::time::Duration;

use kernel::{Money, PaymentId};
use platform::lease::{self, LEASE};
use platform::problem::chain;
use tokio::time::Instant;

use crate::Context;
use crate::app::settle::{Settled, settle};
use crate::app::{lease_until, release_order};
use crate::domain::driving::{self, Heard, Manner, Step, next};
use crate::domain::movement::Movement;
use crate::error::PaymentError;
use crate::provider::{Authorization, NoAnswer, Verdict};
use crate::store::{attempts, keys, payments};

/// How far it came.
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub(crate) enum Driven {
    Settled(Settled),
    /// Somebody else has ended it.
    Overtaken,
    /// No verdict in the tries that this manner has.
    Unanswered,
}

/// Between two looks at an attempt that somebody may be at work on.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Takes over an attempt that a dead request left behind, as soon as its lease has ended: that may be later than the lease
/// of its key. `None` if it has ended, or somebody is at work on it.
pub(crate) async fn resume(
    context: &Context,
    mut attempt: attempts::Model,
) -> Result<Option<attempts::Model>, PaymentError> {
    let (db, system) = (&context.db, context.db.system());
    // A lease that was renewed until then has somebody who is at work.
    let give_up_at = Instant::now() + LEASE;
    while attempt.state == attempts::OPEN {
        if attempt.lease_until_ms <= system.now().ms() {
            let lease = lease_until(system);
            if attempts::lease(db.writer(), &attempt, lease).await? {
                return Ok(Some(attempts::Model { lease_until_ms: lease.ms(), ..attempt }));
            }
        } else if Instant::now() < give_up_at {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        } else {
            break;
        }
        let Some(now) = attempts::find(db.reader(), attempt.id).await? else { break };
        attempt = now;
    }
    Ok(None)
}

/// Drives an attempt whose lease the caller has; the lease is renewed for as long as that takes.
pub(crate) async fn drive(
    context: &Context,
    attempt: &attempts::Model,
    manner: Manner,
) -> Result<Driven, PaymentError> {
    let id = PaymentId(attempt.payment_id);
    let payment = payments::find(context.db.reader(), payments::Scope::All, id).await?;
    drive_of(context, &payment.ok_or(PaymentError::NotFound(id))?, attempt, manner).await
}

/// The same of a payment that has just been read or written.
pub(crate) async fn drive_of(
    context: &Context,
    payment: &payments::Model,
    attempt: &attempts::Model,
    manner: Manner,
) -> Result<Driven, PaymentError> {
    if attempt.state != attempts::OPEN {
        return Ok(Driven::Overtaken);
    }
    if payment.provider != context.provider.name() {
        return Err(PaymentError::UnknownProvider(payment.provider.clone()));
    }
    let (db, system) = (&context.db, context.db.system());
    let renew = || attempts::renew(db.writer(), attempt.id, lease_until(system));
    let first = driving::first(attempt.movement()?, manner);
    let driving = Driving { context, payment, attempt, verdict: None, settled: None, failure: None };
    // On the heap: the frames of all steps together are more than a stack of a debug build has room for.
    lease::keep(renew, Box::pin(driving.run(first))).await
}

/// Has a verdict settled that was heard by chance, and the order told if it is one of failure.
pub(crate) async fn settle_what_was_heard(
    context: &Context,
    attempt: &attempts::Model,
    verdict: Verdict,
) -> Result<(), PaymentError> {
    let id = PaymentId(attempt.payment_id);
    let payment = payments::find(context.db.reader(), payments::Scope::All, id).await?;
    let payment = payment.ok_or(PaymentError::NotFound(id))?;
    let driving =
        Driving { context, payment: &payment, attempt, verdict: Some(verdict), settled: None, failure: None };
    Box::pin(driving.run(Step::Settle)).await.map(|_driven| ())
}

/// One attempt on its way to its end.
struct Driving<'a> {
    context: &'a Context,
    payment: &'a payments::Model,
    attempt: &'a attempts::Model,
    /// What the provider said, once and for all.
    verdict: Option<Verdict>,
    settled: Option<Settled>,
    /// Why a step of ours failed.
    failure: Option<PaymentError>,
}

impl Driving<'_> {
    async fn run(mut self, first: Step) -> Result<Driven, PaymentError> {
        let mut step = first;
        loop {
            let heard = match step {
                // Power fails before, in or after it: the attempt is open, and is asked for again under the same key.
                Step::Call | Step::CallAgain | Step::CarryOut => {
                    let verdict = call(self.context, self.payment, self.attempt).await?;
                    self.hear(verdict.map(Some))
                }
                // Only reads.
                Step::Look | Step::LookAgain => {
                    let finding = self.context.provider.find(&self.attempt.provider_key);
                    let fate = in_time(self.context, self.attempt, finding).await;
                    self.hear(fate)
                }
                // The provider never saw it, or says what it did; a call still on its way cannot charge any more.
                Step::Abandon => {
                    let abandoning = self.context.provider.abandon(&self.attempt.provider_key);
                    let verdict = in_time(self.context, self.attempt, abandoning).await;
                    self.hear(verdict.map(Some))
                }
                // One transaction. Power fails before its commit: the provider says the same again under the same key.
                Step::Settle => {
                    let settled = self.settle().await;
                    self.hear_of(settled)
                }
                // Power fails before it: the payment's row says that it is due, and the worker does it.
                Step::TellOrder => self.tell_order().await,
                // Power fails before it: the worker waits for the lease.
                Step::LeaveToWorker => {
                    let let_go = let_go(self.context, self.attempt).await;
                    self.hear_of(let_go.map(|()| Heard::Done))
                }
                Step::Settled => return Ok(self.settled.map_or(Driven::Overtaken, Driven::Settled)),
                Step::Overtaken => return Ok(Driven::Overtaken),
                Step::Unanswered => return self.failure.map_or(Ok(Driven::Unanswered), Err),
            };
            step = next(step, heard);
        }
    }

    fn hear(&mut self, said: Option<Option<Verdict>>) -> Heard {
        match said {
            Some(Some(verdict)) => {
                self.verdict = Some(verdict);
                Heard::Verdict
            }
            Some(None) => Heard::Nothing,
            None => Heard::Silent,
        }
    }

    /// A failure of ours is silence to the table; its cause is kept.
    fn hear_of(&mut self, outcome: Result<Heard, PaymentError>) -> Heard {
        outcome.unwrap_or_else(|error| {
            self.failure = Some(error);
            Heard::Silent
        })
    }

    async fn settle(&mut self) -> Result<Heard, PaymentError> {
        let Some(verdict) = &self.verdict else { return Ok(Heard::Silent) };
        let Some(settled) = Box::pin(settle(self.context, self.payment, self.attempt, verdict)).await? else {
            return Ok(Heard::No);
        };
        let heard = if settled.payment.release_due { Heard::Failed } else { Heard::Done };
        self.settled = Some(settled);
        Ok(heard)
    }

    async fn tell_order(&self) -> Heard {
        let Some(settled) = &self.settled else { return Heard::Silent };
        match release_order::release(self.context, &settled.payment).await {
            Ok(()) => Heard::Done,
            Err(error) => {
                tracing::warn!(payment.id = %settled.payment.id, cause = %chain(&error),
                    "could not tell the order that its payment failed");
                Heard::Silent
            }
        }
    }
}

/// Leaves attempt and key to whoever comes first, the client with the same key again or the worker: nobody waits for a
/// request that has been answered.
async fn let_go(context: &Context, attempt: &attempts::Model) -> Result<(), PaymentError> {
    let now = context.db.system().now();
    let tx = context.db.begin().await?;
    attempts::renew(tx.conn(), attempt.id, now).await?;
    keys::let_go(tx.conn(), attempt.resource_id()?, now).await?;
    tx.commit().await?;
    Ok(())
}

/// One call under the attempt's key.
async fn call(
    context: &Context,
    payment: &payments::Model,
    attempt: &attempts::Model,
) -> Result<Option<Verdict>, PaymentError> {
    let provider = context.provider.as_ref();
    let key = attempt.provider_key.as_str();
    let amount: Money = payment.money(attempt.amount_minor)?;
    let movement = attempt.movement()?;
    // The schema ties what is held to the name of its charge, and open beginnings to their token.
    let charge = payment.charge.as_deref().unwrap_or_default();
    let token = attempt.token.as_deref().unwrap_or_default();
    Ok(match movement {
        Movement::Authorize | Movement::Charge => {
            let capture = movement == Movement::Charge;
            in_time(context, attempt, provider.authorize(Authorization { key, token, amount, capture })).await
        }
        Movement::Capture => in_time(context, attempt, provider.capture(key, charge, amount)).await,
        Movement::Void => in_time(context, attempt, provider.void(key, charge)).await,
        Movement::Refund => in_time(context, attempt, provider.refund(key, charge, amount)).await,
    })
}

/// The answer, unless it does not come in time: then what happened is unknown.
async fn in_time<T>(
    context: &Context,
    attempt: &attempts::Model,
    call: impl Future<Output = Result<T, NoAnswer>> + Send,
) -> Option<T> {
    match tokio::time::timeout(context.provider_timeout(), call).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(silence)) => {
            tracing::warn!(attempt.id = %attempt.id, cause = %chain(&silence), "the provider did not answer");
            None
        }
        Err(_elapsed) => {
            tracing::warn!(attempt.id = %attempt.id, "the provider did not answer in time");
            None
        }
    }
}
