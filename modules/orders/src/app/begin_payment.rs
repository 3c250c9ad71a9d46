//! Marks an order as being paid, so that it can neither expire nor be paid twice while a provider works.

use contracts::orders::{BeginPaymentRefusal, PayableOrder};
use contracts::users::Actor;
use kernel::{OrderId, PaymentId, UserId};
use sea_orm::DbErr;

use crate::Context;
use crate::store::orders;

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
    let payment = match before.payment()?.begin(before.status()?, payment_id) {
        Ok(payment) => payment,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // An imported order has no customer here, and was paid elsewhere.
    let Some(user_id) = before.user_id.map(UserId) else {
        return Ok(Err(BeginPaymentRefusal::AlreadyPaid));
    };
    let due = PayableOrder { order_id, number: before.number.clone(), user_id, amount: before.total()? };
    if payment != before.payment()? {
        let now = tx.system().now();
        let mut after = before.clone();
        after.set_payment(payment, now);
        if orders::save(tx.conn(), &before, after, now).await?.is_none() {
            return Ok(Err(BeginPaymentRefusal::InProgress));
        }
        tx.commit().await?;
    }
    Ok(Ok(due))
}
