//! Ends a payment that came to nothing: the order is unpaid again, and may be paid by another.

use kernel::{OrderId, PaymentId};
use platform::db::Tx;
use sea_orm::DbErr;

use crate::Context;
use crate::store::{ended_payments, orders};

/// Nothing happens if another payment, or none, holds the order. Its payment window stays what it was: an order that
/// is declined again and again must not hold its stock for ever.
pub(crate) async fn give_up_payment(
    context: &Context,
    order_id: OrderId,
    payment_id: PaymentId,
) -> Result<(), DbErr> {
    let tx = context.db.begin().await?;
    let Some(before) = orders::lock_for_shop(tx.conn(), order_id).await? else {
        return Ok(());
    };
    give_up_in(&tx, &before, payment_id).await?;
    tx.commit().await?;
    Ok(())
}

/// The same inside a transaction of the caller's, which has locked the order.
pub(super) async fn give_up_in(tx: &Tx, before: &orders::Model, payment_id: PaymentId) -> Result<(), DbErr> {
    let now = tx.system().now();
    // Also if it does not hold the order: the call that begins it may still be on its way.
    let is_news = ended_payments::remember(tx.conn(), payment_id, before.order_id(), now).await?;
    let Some(payment) = before.payment()?.give_up(payment_id) else {
        return match is_news {
            true => orders::count_change(tx.conn(), before.order_id()).await,
            false => Ok(()),
        };
    };
    let mut after = before.clone();
    after.set_payment(payment, now);
    orders::save(tx.conn(), before, after, now).await.map(|_| ())
}
