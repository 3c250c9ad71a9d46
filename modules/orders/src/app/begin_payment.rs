//! Marks an order as being paid, so that it can neither expire nor be paid twice while a provider works.

use contracts::orders::{BeginPaymentRefusal, PayableOrder};
use contracts::users::Actor;
use kernel::{OrderId, PaymentId, UserId};
use platform::batch::{Batch, Ran};
use sea_orm::DbErr;

use crate::Context;
use crate::store::ended_payments::{self, unless_ended};
use crate::store::orders;

/// Idempotent by payment id. Nobody is told: whether the payment comes to anything is what others want to hear.
pub(crate) async fn begin_payment(
    context: &Context,
    order_id: OrderId,
    payment_id: PaymentId,
    actor: Actor,
) -> Result<Result<PayableOrder, BeginPaymentRefusal>, DbErr> {
    match begin_at_once(context, order_id, payment_id, actor).await? {
        Some(due) => Ok(Ok(due)),
        None => begin_locked(context, order_id, payment_id, actor).await,
    }
}

/// The usual case: the order waits to be paid, and is the same when that is written. `None` if it is not that, or if this payment holds it
/// already; then nothing was changed.
async fn begin_at_once(
    context: &Context,
    order_id: OrderId,
    payment_id: PaymentId,
    actor: Actor,
) -> Result<Option<PayableOrder>, DbErr> {
    let Some(before) = orders::find(context.db.reader(), order_id, actor).await? else { return Ok(None) };
    let Ok(payment) = before.payment()?.begin(before.status()?, payment_id) else { return Ok(None) };
    if payment == before.payment()? {
        return Ok(None);
    }
    let Some(due) = due(&before)? else { return Ok(None) };
    let now = context.db.system().now();
    let mut after = before.clone();
    after.set_payment(payment, now);
    let mut batch = Batch::default();
    let (saved, _after) = orders::save_if_in(&mut batch, &before, after, now, unless_ended(payment_id));
    batch.gate(saved);
    Ok(matches!(context.db.commit(batch).await?, Ran::Done(_)).then_some(due))
}

/// What is to be paid. `None`: an imported order has no customer here, and was paid elsewhere.
fn due(order: &orders::Model) -> Result<Option<PayableOrder>, DbErr> {
    let Some(user_id) = order.user_id.map(UserId) else { return Ok(None) };
    Ok(Some(PayableOrder {
        order_id: order.order_id(),
        number: order.number.clone(),
        user_id,
        amount: order.total()?,
    }))
}

async fn begin_locked(
    context: &Context,
    order_id: OrderId,
    payment_id: PaymentId,
    actor: Actor,
) -> Result<Result<PayableOrder, BeginPaymentRefusal>, DbErr> {
    let tx = context.db.begin().await?;
    let Some(before) = orders::find_for_update(tx.conn(), order_id, actor).await? else {
        return Ok(Err(BeginPaymentRefusal::NotFound));
    };
    let now = tx.system().now();
    let payment = match before.payment()?.begin(before.status()?, payment_id) {
        // It was refused or given up before, and this call was slow on its way: whoever made it has gone. A wish to pay
        // that is meant comes again under another id.
        Ok(_) if ended_payments::is_ended(tx.conn(), payment_id).await? => {
            return Ok(Err(BeginPaymentRefusal::InProgress));
        }
        Ok(payment) => payment,
        Err(refusal) => {
            // What was refused stays refused: a twin of this call may come when the order could be paid again. (One that has read the order
            // as payable meanwhile has read another version of it.)
            ended_payments::remember(tx.conn(), payment_id, order_id, now).await?;
            tx.commit().await?;
            return Ok(Err(refusal));
        }
    };
    let Some(due) = due(&before)? else { return Ok(Err(BeginPaymentRefusal::AlreadyPaid)) };
    if payment != before.payment()? {
        let mut after = before.clone();
        after.set_payment(payment, now);
        if orders::save(tx.conn(), &before, after, now).await?.is_none() {
            return Ok(Err(BeginPaymentRefusal::InProgress));
        }
        tx.commit().await?;
    }
    Ok(Ok(due))
}
