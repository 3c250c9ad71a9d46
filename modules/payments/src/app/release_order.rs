//! Tells the order that a payment came to nothing, so that it can be paid again.

use kernel::{OrderId, PaymentId};

use crate::Context;
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

/// For an intent that never became a payment: it goes, and its key with it, so that the same request may come again.
pub(crate) async fn take_back(
    context: &Context,
    id: PaymentId,
    order_id: OrderId,
) -> Result<(), PaymentError> {
    // From here on it cannot become a payment, so the order can safely be told.
    let ended = intents::end(context.db.writer(), id).await?;
    if !ended && payments::find(context.db.reader(), payments::Scope::All, id).await?.is_some() {
        // A twin of this request was quicker and has made it a payment: there is nothing to take back.
        return Ok(());
    }
    let told = context.orders.give_up_payment(order_id, id).await;
    told.map_err(|silence| PaymentError::Orders(Box::new(silence)))?;
    // Power fails here: the intent is still marked, and the worker does this again.
    let tx = context.db.begin().await?;
    intents::forget(tx.conn(), id).await?;
    keys::withdraw(tx.conn(), id.uuid()).await?;
    tx.commit().await?;
    tracing::info!(payment.id = %id, order.id = %order_id, "took back a payment that had not begun");
    Ok(())
}
