//! Brings an open attempt to its end: asks the provider for a verdict, and has it settled.

use std::future::Future;

use kernel::{Money, PaymentId};
use platform::http::Answer;
use platform::idempotency::{Begin, IdempotencyError, KeyedRequest, begin};
use platform::lease;
use platform::problem::chain;

use crate::Context;
use crate::app::lease_until;
use crate::app::outcome::Outcome;
use crate::app::settle::settle;
use crate::domain::movement::Movement;
use crate::error::PaymentError;
use crate::provider::{Authorization, NoAnswer, Verdict};
use crate::store::{attempts, payments};

/// How often a call is made while somebody waits; each time with its key, and each followed by a look for its fate.
const TRIES: u32 = 2;

/// Who drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A client waits: everything is tried at once.
    Waiting,
    /// The worker found it: one try, and another in a later run.
    Recovering,
}

/// How far it came.
#[derive(Debug)]
pub(crate) enum Driven {
    Settled(Outcome),
    /// Somebody else has ended it.
    Overtaken,
    /// No verdict in the tries that this manner has.
    Unanswered,
}

/// Drives an attempt for the client that waits for it; without one, somebody else is at work on it.
pub(crate) async fn answer(
    context: &Context,
    attempt: Option<attempts::Model>,
    request: KeyedRequest,
) -> Result<Answer<Outcome>, PaymentError> {
    let driven = match attempt {
        Some(attempt) => drive(context, &attempt, Manner::Waiting).await?,
        None => Driven::Overtaken,
    };
    match driven {
        Driven::Settled(outcome) => Ok(Answer::fresh(outcome)),
        Driven::Unanswered => Err(PaymentError::ProviderSilent),
        // Who ends it stores the answer with the key, in the same transaction; it is waited for, within bounds.
        Driven::Overtaken => match begin::<Outcome>(&context.db, Some(request)).await? {
            Begin::Replay(outcome) => Ok(Answer::replayed(outcome)),
            Begin::Work(ticket) => {
                ticket.withdraw(&context.db).await?;
                Err(IdempotencyError::TakenOver.into())
            }
        },
    }
}

/// Takes over an attempt that a dead request left behind. `None` while somebody may still be at work on it.
pub(crate) async fn resume(
    context: &Context,
    attempt: attempts::Model,
) -> Result<Option<attempts::Model>, PaymentError> {
    let system = context.db.system();
    if attempt.state != attempts::OPEN || attempt.lease_until_ms > system.now().ms() {
        return Ok(None);
    }
    let lease = lease_until(system);
    let taken = attempts::lease(context.db.writer(), &attempt, lease).await?;
    Ok(taken.then_some(attempts::Model { lease_until_ms: lease.ms(), ..attempt }))
}

/// Drives an attempt whose lease the caller has.
pub(crate) async fn drive(
    context: &Context,
    attempt: &attempts::Model,
    manner: Manner,
) -> Result<Driven, PaymentError> {
    if attempt.state != attempts::OPEN {
        return Ok(Driven::Overtaken);
    }
    let id = PaymentId(attempt.payment_id);
    let payment = payments::find(context.db.reader(), payments::Scope::All, id).await?;
    let payment = payment.ok_or(PaymentError::NotFound(id))?;
    if payment.provider != context.provider.name() {
        return Err(PaymentError::UnknownProvider(payment.provider));
    }
    let (db, system) = (&context.db, context.db.system());
    let renew = || attempts::renew(db.writer(), attempt.id, lease_until(system));
    let asking = async {
        match manner {
            Manner::Waiting => insist(context, &payment, attempt).await,
            Manner::Recovering => look_after(context, &payment, attempt).await,
        }
    };
    let Some(verdict) = lease::keep(renew, asking).await? else {
        if manner == Manner::Waiting {
            // Left to the worker at once; a worker's own lease stays, as its pause before the next try.
            attempts::renew(db.writer(), attempt.id, system.now()).await?;
        }
        return Ok(Driven::Unanswered);
    };
    // Power fails here: the provider knows what it did, and tells it again under the same key.
    Ok(match settle(context, attempt, &verdict, manner).await? {
        Some(outcome) => Driven::Settled(outcome),
        None => Driven::Overtaken,
    })
}

/// A call, and after silence a look for its fate; then once more, with the same key.
async fn insist(
    context: &Context,
    payment: &payments::Model,
    attempt: &attempts::Model,
) -> Result<Option<Verdict>, PaymentError> {
    for _try in 0..TRIES {
        if let Some(verdict) = call(context, payment, attempt).await? {
            return Ok(Some(verdict));
        }
        let fate = in_time(context, attempt, context.provider.find(&attempt.provider_key)).await;
        if let Some(Some(verdict)) = fate {
            return Ok(Some(verdict));
        }
    }
    Ok(None)
}

/// Nobody waits any more. A payment that the provider never saw is given up, and its key is fenced off, so that a call
/// still on its way cannot charge. What an admin or a cancelled order has asked for is carried out.
async fn look_after(
    context: &Context,
    payment: &payments::Model,
    attempt: &attempts::Model,
) -> Result<Option<Verdict>, PaymentError> {
    if attempt.movement()?.begins() {
        return Ok(in_time(context, attempt, context.provider.abandon(&attempt.provider_key)).await);
    }
    call(context, payment, attempt).await
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
