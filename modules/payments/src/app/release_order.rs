//! Tells the order that a payment came to nothing, so that it can be paid again.

use kernel::{OrderId, PaymentId};

use crate::Context;
use crate::domain::taking_back::{Heard, Step, next};
use crate::error::PaymentError;
use crate::store::{intents, keys, payments};

/// For a payment that failed. The row remembers that this is due until it was done.
pub(crate) async fn release(context: &Context, payment: &payments::Model) -> Result<(), PaymentError> {
    let id = PaymentId(payment.id);
    let told = context.orders.give_up_payment(OrderId(payment.order_id), id).await;
    told.map_err(|silence| PaymentError::Orders(Box::new(silence)))?;
    // Power fails here: the order is told again, which changes nothing.
    payments::released(context.db.writer(), id).await?;
    Ok(())
}

/// For an intent that never became a payment: it goes, and its key with it, so that the same request may come again. Along
/// the table of [`crate::domain::taking_back`], which says what is left when the power fails.
pub(crate) async fn take_back(
    context: &Context,
    id: PaymentId,
    order_id: OrderId,
) -> Result<(), PaymentError> {
    run(context, id, order_id, Step::MarkEnding).await
}

/// The same by the worker, which has marked the intent as it claimed it.
pub(crate) async fn take_back_claimed(
    context: &Context,
    id: PaymentId,
    order_id: OrderId,
) -> Result<(), PaymentError> {
    run(context, id, order_id, Step::TellOrder).await
}

async fn run(context: &Context, id: PaymentId, order_id: OrderId, first: Step) -> Result<(), PaymentError> {
    let (mut step, mut failure) = (first, None);
    loop {
        let done = match step {
            // From here on it cannot become a payment, so the order can safely be told.
            Step::MarkEnding => intents::end(context.db.writer(), id).await.map(found).map_err(Into::into),
            Step::LookForPayment => {
                let payment = payments::find(context.db.reader(), payments::Scope::All, id).await;
                payment.map(|payment| found(payment.is_some())).map_err(Into::into)
            }
            Step::TellOrder => {
                let told = context.orders.give_up_payment(order_id, id).await;
                told.map(|()| Heard::Done).map_err(|silence| PaymentError::Orders(Box::new(silence)))
            }
            // Power fails before its commit: the intent is still marked, and the worker does this again.
            Step::Forget => forget(context, id, order_id).await.map(|()| Heard::Done),
            Step::Done => return Ok(()),
            // The caller hears the cause.
            Step::LeftToWorker => return failure.map_or(Ok(()), Err),
        };
        let heard = done.unwrap_or_else(|error| {
            failure = Some(error);
            Heard::Silent
        });
        step = next(step, heard);
    }
}

async fn forget(context: &Context, id: PaymentId, order_id: OrderId) -> Result<(), PaymentError> {
    let tx = context.db.begin().await?;
    intents::forget(tx.conn(), id).await?;
    keys::withdraw(tx.conn(), id.uuid()).await?;
    tx.commit().await?;
    tracing::info!(payment.id = %id, order.id = %order_id, "took back a payment that had not begun");
    Ok(())
}

fn found(it: bool) -> Heard {
    if it { Heard::Done } else { Heard::Nothing }
}
