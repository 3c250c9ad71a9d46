//! Captures, voids and refunds on an admin's request: the part that is the same for all three.

use std::sync::Arc;

use kernel::{Money, PaymentId, UserId};
use platform::db::Tx;
use platform::http::Answer;
use platform::idempotency::{Begin, KeyedRequest, Ticket, begin};
use platform::lease::LEASE;

use crate::Context;
use crate::app::outcome::Outcome;
use crate::app::{asked_minor, capture, draft, drive, lease_until, refund, void};
use crate::domain::movement::Movement;
use crate::domain::text::Reason;
use crate::error::PaymentError;
use crate::store::{attempts, keys, payments};

/// What an admin asks for.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// All that is held, or part of it.
    Capture {
        amount: Option<Money>,
    },
    Void,
    /// All that is left, or part of it.
    Refund {
        amount: Option<Money>,
        reason: Option<Reason>,
    },
}

/// What an admin asks for, of which payment.
pub(crate) struct MoveMoney {
    pub(crate) payment_id: PaymentId,
    pub(crate) wish: Wish,
    pub(crate) admin: UserId,
}

/// Goes on to the end even if the client does not wait for it.
pub(crate) async fn move_money(
    context: Arc<Context>,
    request: KeyedRequest,
    order: MoveMoney,
) -> Result<Answer<Outcome>, PaymentError> {
    let system = context.db.system().clone();
    system.to_the_end(async move { run(&context, request, order).await }).await?
}

async fn run(
    context: &Arc<Context>,
    request: KeyedRequest,
    order: MoveMoney,
) -> Result<Answer<Outcome>, PaymentError> {
    // What is wrong whatever the balance is refused before the key is opened.
    let payment = payments::find(context.db.reader(), payments::Scope::All, order.payment_id).await?;
    let payment = payment.ok_or(PaymentError::NotFound(order.payment_id))?;
    let asked = match &order.wish {
        Wish::Capture { amount } | Wish::Refund { amount, .. } => asked_minor(&payment, *amount)?,
        Wish::Void => None,
    };
    let ticket = match begin::<Outcome>(&context.db, Some(request.clone())).await? {
        Begin::Replay(outcome) => return Ok(Answer::replayed(outcome)),
        Begin::Work(ticket) => ticket,
    };
    // Power fails here: an open key and nothing else. The worker drops it when its lease has run out.
    let work = async {
        let attempt = start(context, &ticket, &order, asked).await?;
        // Power fails here: the attempt is open, a refund's amount is set aside. The worker carries it out under its key.
        drive::answer(context, attempt, request).await
    };
    ticket.hold(&context.db, work).await
}

/// Writes the attempt, before the provider is asked. The payment's row is locked first and the key second, by everyone,
/// so that a refusal and the withdrawal of its key are one with what they were decided on.
async fn start(
    context: &Context,
    ticket: &Ticket,
    order: &MoveMoney,
    asked_minor: Option<i64>,
) -> Result<Option<attempts::Model>, PaymentError> {
    let system = context.db.system();
    let tx = context.db.begin().await?;
    let payment = payments::find_for_update(tx.conn(), order.payment_id).await?;
    let payment = payment.ok_or(PaymentError::NotFound(order.payment_id))?;
    if let Some(attempt) = attempts::find(tx.conn(), ticket.resource_id).await? {
        tx.rollback().await?;
        return drive::resume(context, attempt).await;
    }
    keys::hold(tx.conn(), ticket.resource_id, system.now().plus(LEASE)).await?;
    match allow(&tx, &payment, &order.wish, asked_minor).await {
        Ok((movement, amount_minor)) => {
            let lease = lease_until(system);
            let id = PaymentId(payment.id);
            let reason = match &order.wish {
                Wish::Refund { reason, .. } => reason.clone().map(Reason::into_text),
                Wish::Capture { .. } | Wish::Void => None,
            };
            let attempt = attempts::Model {
                reason,
                actor_id: Some(order.admin.uuid()),
                ..draft(ticket.resource_id, id, movement, amount_minor, system.now(), lease)
            };
            let attempt = attempts::insert(tx.conn(), attempt).await?;
            tx.commit().await?;
            Ok(Some(attempt))
        }
        Err(PaymentError::Database(error)) => Err(error.into()),
        Err(refusal) => {
            keys::withdraw(tx.conn(), ticket.resource_id).await?;
            tx.commit().await?;
            Err(refusal)
        }
    }
}

async fn allow(
    tx: &Tx,
    payment: &payments::Model,
    wish: &Wish,
    asked_minor: Option<i64>,
) -> Result<(Movement, i64), PaymentError> {
    match wish {
        Wish::Capture { .. } => Ok((Movement::Capture, capture::allow(tx, payment, asked_minor).await?)),
        Wish::Void => Ok((Movement::Void, void::allow(tx, payment).await?)),
        Wish::Refund { .. } => Ok((Movement::Refund, refund::allow(tx, payment, asked_minor).await?)),
    }
}
