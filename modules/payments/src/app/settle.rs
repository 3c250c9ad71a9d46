//! Writes what the provider said: the attempt's end, the payment's amounts, the ledger, the event and the client's answer,
//! in one transaction, once.

use std::time::Duration;

use contracts::payments::{
    PaymentAuthorized, PaymentCaptured, PaymentFailed, PaymentRefunded, PaymentVoided,
};
use kernel::{PaymentId, RefundId};
use platform::batch::{Batch, Ran};
use platform::db::{Committed, Tx};
use sea_orm::DbErr;

use crate::Context;
use crate::app::call_off;
use crate::app::outcome::{Outcome, PaymentBody, facts};
use crate::domain::entries::entries;
use crate::domain::movement::Movement;
use crate::domain::status::Status;
use crate::error::PaymentError;
use crate::provider::{ABANDONED, Verdict};
use crate::store::{attempts, keys, ledger, payments};

/// How long the client's answer waits for the events, so that a client that reads its order next usually sees it paid.
const COURTESY: Duration = Duration::from_millis(500);

/// What was written.
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    /// The payment as it is now. If it failed, its order is to be told.
    pub(crate) payment: payments::Model,
    committed: Committed,
}

impl Settled {
    /// What the client hears, when the events had a moment to take effect.
    pub(crate) async fn answer(self) -> Outcome {
        self.committed.settle(COURTESY).await;
        self.outcome
    }
}

/// `None` if somebody else has ended the attempt: then nothing was changed. The payment as it was read before; it may be another by now.
pub(crate) async fn settle(
    context: &Context,
    payment: &payments::Model,
    attempt: &attempts::Model,
    verdict: &Verdict,
) -> Result<Option<Settled>, PaymentError> {
    if let Verdict::Done { charge } = verdict
        && let Some(settled) = settle_at_once(context, payment, attempt, charge).await?
    {
        return Ok(Some(settled));
    }
    settle_locked(context, attempt, verdict).await
}

/// The usual case in one statement: the first movement of a payment has succeeded, and nobody has touched the payment since it was read. `None`
/// if it is not that: then nothing was changed.
///
/// No row is locked first, and yet the events of a payment are in the order of its commits: a payment whose first movement is under way has
/// no other event that leaves the row as it was read.
async fn settle_at_once(
    context: &Context,
    payment: &payments::Model,
    attempt: &attempts::Model,
    charge: &str,
) -> Result<Option<Settled>, PaymentError> {
    let (movement, before) = (attempt.movement()?, payment.balance()?);
    if !movement.begins() || before.status != Status::Pending || payment.called_off_at_ms.is_some() {
        return Ok(None);
    }
    let Ok(balance) = before.succeed(movement, attempt.amount_minor) else { return Ok(None) };
    let system = context.db.system();
    let now = system.now();
    let mut batch = Batch::default();
    let (replaced, after) =
        payments::replace_balance_in(&mut batch, payment, &before, &balance, Some(charge), now);
    attempts::succeed_in(&mut batch, attempt.id, now, replaced);
    let rows = entries(movement, attempt.amount_minor, payment.authorized_minor);
    ledger::append_in(&mut batch, system, &after, attempt, &rows, now);
    match movement {
        Movement::Authorize => batch.emit(system, &PaymentAuthorized { payment: facts(&after)? })?,
        _ => batch.emit(system, &PaymentCaptured { payment: facts(&after)? })?,
    }
    let outcome = outcome_of(&after, movement, None)?;
    keys::complete_in(&mut batch, attempt.resource_id()?, &outcome)?;
    let Ran::Done(committed) = context.db.commit(batch).await? else { return Ok(None) };
    log(&after, attempt, None)?;
    Ok(Some(Settled { outcome, payment: after, committed }))
}

fn log(
    payment: &payments::Model,
    attempt: &attempts::Model,
    failure: Option<&str>,
) -> Result<(), PaymentError> {
    tracing::info!(payment.id = %payment.id, order.id = %payment.order_id, movement = attempt.movement()?.as_str(),
        amount = %payment.money(attempt.amount_minor)?, failure = failure.unwrap_or("none"), "settled a movement of money");
    Ok(())
}

async fn settle_locked(
    context: &Context,
    attempt: &attempts::Model,
    verdict: &Verdict,
) -> Result<Option<Settled>, PaymentError> {
    let movement = attempt.movement()?;
    let now = context.db.system().now();
    let failure = match verdict {
        Verdict::Done { .. } => None,
        Verdict::Refused { code } => Some(code.as_str()),
    };
    let mut tx = context.db.begin().await?;
    // The payment's row is locked first, by everyone but `settle_at_once`, which says why it need not be: so the events of a payment are in the
    // order of its commits.
    let id = PaymentId(attempt.payment_id);
    let before = payments::find_for_update(tx.conn(), id).await?.ok_or(PaymentError::NotFound(id))?;
    if !attempts::end(tx.conn(), attempt.id, failure, now).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let after = match verdict {
        Verdict::Done { charge } => done(&mut tx, &before, attempt, charge).await?,
        Verdict::Refused { .. } => refused(&mut tx, &before, attempt).await?,
    };
    // What a cancelled order had paid goes back. An undoing that was refused is not tried again: somebody must look.
    if !(attempt.undo && failure.is_some()) {
        call_off::plan(&mut tx, &after, now).await?;
    }
    let outcome = outcome_of(&after, movement, failure)?;
    keys::complete(tx.conn(), attempt.resource_id()?, &outcome).await?;
    let committed = tx.commit().await?;
    log(&after, attempt, failure)?;
    Ok(Some(Settled { outcome, payment: after, committed }))
}

/// The money has moved.
async fn done(
    tx: &mut Tx,
    before: &payments::Model,
    attempt: &attempts::Model,
    charge: &str,
) -> Result<payments::Model, PaymentError> {
    let now = tx.system().now();
    let movement = attempt.movement()?;
    let balance = before.balance()?;
    let next = balance.succeed(movement, attempt.amount_minor)?;
    let charge = movement.begins().then_some(charge);
    let after = payments::replace_balance(tx.conn(), before, &balance, &next, charge, now).await?;
    let rows = entries(movement, attempt.amount_minor, before.authorized_minor);
    ledger::append(tx.conn(), tx.system(), &after, attempt, &rows, now).await?;
    let payment = facts(&after)?;
    match movement {
        Movement::Authorize => tx.emit(&PaymentAuthorized { payment }).await?,
        // A charge is authorized and captured at once; one event says both.
        Movement::Charge | Movement::Capture => tx.emit(&PaymentCaptured { payment }).await?,
        Movement::Void => tx.emit(&PaymentVoided { payment }).await?,
        Movement::Refund => {
            let refunded = PaymentRefunded {
                payment,
                refund_id: RefundId(attempt.id),
                amount: after.money(attempt.amount_minor)?,
                reason: attempt.reason.clone(),
            };
            tx.emit(&refunded).await?;
        }
    }
    Ok(after)
}

/// Nothing has moved, and nothing will.
async fn refused(
    tx: &mut Tx,
    before: &payments::Model,
    attempt: &attempts::Model,
) -> Result<payments::Model, PaymentError> {
    let now = tx.system().now();
    let movement = attempt.movement()?;
    let balance = before.balance()?;
    let next = balance.fail(movement, attempt.amount_minor)?;
    let after = payments::replace_balance(tx.conn(), before, &balance, &next, None, now).await?;
    if movement.begins() {
        tx.emit(&PaymentFailed { payment: facts(&after)? }).await?;
    }
    Ok(after)
}

fn outcome_of(
    payment: &payments::Model,
    movement: Movement,
    failure: Option<&str>,
) -> Result<Outcome, DbErr> {
    let payment_id = PaymentId(payment.id);
    Ok(match failure {
        None => Outcome::Done(PaymentBody::try_from(payment)?),
        Some(ABANDONED) if movement.begins() => Outcome::GivenUp { payment_id },
        Some(code) if movement.begins() => Outcome::Declined { payment_id, decline_code: code.to_owned() },
        Some(code) => Outcome::Refused { payment_id, code: code.to_owned() },
    })
}
