//! One use case a file: one transaction, and the events in it.
//!
//! Money moves in three steps that are the same for every movement: a transaction writes the attempt ([`pay`],
//! [`capture`], [`void`], [`refund`], [`call_off`]), [`drive`] asks the provider, [`settle`] writes what came of it.

pub(crate) mod call_off;
pub(crate) mod capture;
pub(crate) mod drive;
pub(crate) mod move_money;
pub(crate) mod on_order_status_changed;
pub(crate) mod outcome;
pub(crate) mod pay;
pub(crate) mod receive_webhook;
pub(crate) mod recover;
pub(crate) mod refund;
pub(crate) mod release_order;
pub(crate) mod settle;
pub(crate) mod void;

use contracts::audit::By;
use contracts::payments::{MoneyMove, MoneyMoveRequested};
use kernel::{Money, OrderId, PaymentId, Timestamp};
use platform::db::Tx;
use platform::lease::LEASE;
use platform::system::System;
use uuid::Uuid;

use crate::domain::balance::Refusal;
use crate::domain::movement::Movement;
use crate::error::PaymentError;
use crate::store::{attempts, payments};

/// An open attempt of a movement, with a fresh key for the provider.
fn draft(
    id: Uuid,
    payment_id: PaymentId,
    movement: Movement,
    amount_minor: i64,
    now: Timestamp,
    lease_until: Timestamp,
) -> attempts::Model {
    attempts::Model {
        id,
        payment_id: payment_id.uuid(),
        kind: movement.as_str().to_owned(),
        amount_minor,
        provider_key: format!("{}-{}", movement.as_str(), id.simple()),
        token: None,
        state: attempts::OPEN.to_owned(),
        failure: None,
        reason: None,
        actor_id: None,
        undo: false,
        created_at_ms: now.ms(),
        lease_until_ms: lease_until.ms(),
        ended_at_ms: None,
    }
}

/// Publishes who wants money of a payment moved. Not that a customer pays: that is no decision of the shop's.
async fn announce_move(
    tx: &mut Tx,
    payment: &payments::Model,
    attempt: &attempts::Model,
    by: By,
) -> Result<(), PaymentError> {
    let movement = match attempt.movement()? {
        Movement::Authorize | Movement::Charge => return Ok(()),
        Movement::Capture => MoneyMove::Capture,
        Movement::Void => MoneyMove::Void,
        Movement::Refund => MoneyMove::Refund,
    };
    let requested = MoneyMoveRequested {
        payment_id: PaymentId(payment.id),
        order_id: OrderId(payment.order_id),
        movement_id: attempt.id,
        movement,
        amount: payment.money(attempt.amount_minor)?,
        reason: attempt.reason.clone(),
        by,
    };
    Ok(tx.emit(&requested).await?)
}

/// When work that begins now may be taken over by another.
fn lease_until(system: &System) -> Timestamp {
    system.now().plus(LEASE)
}

/// A rule's refusal with the amounts in the payment's currency.
fn refused(payment: &payments::Model, refusal: Refusal) -> PaymentError {
    let money = |amount_minor: i64| payment.money(amount_minor);
    match refusal {
        Refusal::NotAuthorized { status } => PaymentError::NotAuthorized(status),
        Refusal::ExceedsAuthorized { authorized_minor } => money(authorized_minor)
            .map_or_else(Into::into, |authorized| PaymentError::ExceedsAuthorized { authorized }),
        Refusal::ExceedsCaptured { left_minor } => {
            money(left_minor).map_or_else(Into::into, |left| PaymentError::ExceedsCaptured { left })
        }
        Refusal::NotPositive => PaymentError::Invalid {
            pointer: "/amount/amount",
            detail: "an amount is greater than zero".to_owned(),
        },
    }
}

/// What a client asked for, in minor units of the payment's currency.
fn asked_minor(payment: &payments::Model, amount: Option<Money>) -> Result<Option<i64>, PaymentError> {
    let Some(amount) = amount else { return Ok(None) };
    let currency = payment.currency()?;
    if amount.currency != currency {
        let detail = format!("this payment is in {currency}, not {}", amount.currency);
        return Err(PaymentError::Invalid { pointer: "/amount/currency", detail });
    }
    if amount.amount_minor <= 0 {
        return Err(refused(payment, Refusal::NotPositive));
    }
    Ok(Some(amount.amount_minor))
}
