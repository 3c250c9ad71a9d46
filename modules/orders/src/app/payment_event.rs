//! What the handlers of payment events share.

use contracts::event::Envelope;
use contracts::orders::OrderUpdated;
use contracts::payments::PaymentFacts;
use kernel::{Money, Timestamp};
use platform::bus::HandleError;
use platform::db::Tx;
use platform::inbox;
use sea_orm::DbErr;
use serde_json::json;

use crate::Context;
use crate::domain::payment::PaymentState;
use crate::store::timeline::Entry;
use crate::store::{lines, orders, timeline};

/// Opens a transaction on the order that a payment is of, and locks it. `None`: this handler has dealt with the event before,
/// or there is no such order.
pub(super) async fn open(
    context: &Context,
    envelope: &Envelope,
    handler: &str,
    facts: &PaymentFacts,
) -> Result<Option<(Tx, orders::Model)>, HandleError> {
    let tx = context.db.begin().await?;
    if !inbox::first_delivery(&tx, envelope, handler).await? {
        return Ok(None);
    }
    let Some(row) = orders::lock_for_shop(tx.conn(), facts.order_id).await? else {
        tracing::error!(order.id = %facts.order_id, payment.id = %facts.payment_id, "a payment of no order");
        return Ok(None);
    };
    Ok(Some((tx, row)))
}

/// Writes down what is known of the payment now, with its timeline entry. `restart_window` gives a pending order its full time
/// again.
pub(super) async fn record(
    context: &Context,
    tx: &Tx,
    before: &orders::Model,
    payment: PaymentState,
    restart_window: bool,
    entry: Entry,
) -> Result<orders::Model, HandleError> {
    let now = tx.system().now();
    let mut after = before.clone();
    after.set_payment(payment, now);
    if restart_window {
        after.payment_due_at_ms = Some(now.plus(context.payment_window()).ms());
    }
    let Some(after) = orders::save(tx.conn(), before, after, now).await? else {
        // The row is locked, so this cannot be; the event comes again if it is.
        return Err(HandleError::other("the order changed under its lock"));
    };
    timeline::append(tx.conn(), vec![entry]).await?;
    Ok(after)
}

/// An entry about a payment.
pub(super) fn entry(facts: &PaymentFacts, kind: &'static str, amount: Money, now: Timestamp) -> Entry {
    Entry {
        data: Some(json!({"payment_id": facts.payment_id, "amount": amount})),
        ..Entry::new(facts.order_id, kind, now)
    }
}

/// Publishes the order as it is now.
pub(super) async fn announce(tx: &mut Tx, row: &orders::Model) -> Result<(), DbErr> {
    let order = row.order(&lines::of(tx.conn(), row.id).await?)?;
    tx.emit(&OrderUpdated { order }).await
}

/// Says that an event tells nothing new, or is about a payment that does not hold the order. It counts as handled.
pub(super) fn ignore(row: &orders::Model, facts: &PaymentFacts, handler: &str) {
    tracing::warn!(order.id = %row.id, payment.id = %facts.payment_id, handler,
        payment_status = %row.payment_status, "a payment event changed nothing");
}
