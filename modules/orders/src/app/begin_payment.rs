//! Marks an order as being paid, so that it can neither expire nor be paid twice while a provider works.

use contracts::orders::{BeginPaymentRefusal, PayableOrder};
use contracts::users::Actor;
use kernel::{OrderId, PaymentId, UserId};
use sea_orm::DbErr;

use crate::Context;
use crate::store::{ended_payments, orders};

/// Idempotent by payment id. Nobody is told: whether the payment comes to anything is what others want to hear.
pub(crate) async fn begin_payment(
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
            // What was refused stays refused: a twin of this call may come when the order could be paid again.
            ended_payments::remember(tx.conn(), payment_id, order_id, now).await?;
            tx.commit().await?;
            return Ok(Err(refusal));
        }
    };
    // An imported order has no customer here, and was paid elsewhere.
    let Some(user_id) = before.user_id.map(UserId) else {
        return Ok(Err(BeginPaymentRefusal::AlreadyPaid));
    };
    let due = PayableOrder { order_id, number: before.number.clone(), user_id, amount: before.total()? };
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
