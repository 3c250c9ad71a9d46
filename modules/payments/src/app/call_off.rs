//! Gives back what the payment of a cancelled order holds or took.

use contracts::audit::By;
use kernel::{PaymentId, Timestamp};
use platform::db::Tx;

use crate::app::{announce_move, draft};
use crate::domain::movement::Movement;
use crate::error::PaymentError;
use crate::store::{attempts, payments};

/// What refunds of cancelled orders give as their reason.
const REASON: &str = "order_cancelled";

/// Writes the attempts that are due now, for the worker to carry out or the caller to drive. Called whenever something
/// of the payment has ended: what is still under way (a charge, a capture) is undone when it has ended.
pub(crate) async fn plan(
    tx: &mut Tx,
    payment: &payments::Model,
    now: Timestamp,
) -> Result<Vec<attempts::Model>, PaymentError> {
    if payment.called_off_at_ms.is_none() {
        return Ok(Vec::new());
    }
    let id = PaymentId(payment.id);
    let balance = payment.balance()?;
    let Some((movement, amount_minor)) = balance.to_give_back(attempts::hold_is_moving(tx.conn(), id).await?)
    else {
        return Ok(Vec::new());
    };
    if movement == Movement::Refund && !payments::reserve_refund(tx.conn(), id, amount_minor, now).await? {
        return Ok(Vec::new());
    }
    let attempt = attempts::Model {
        undo: true,
        reason: Some(REASON.to_owned()),
        ..draft(tx.system().id(), id, movement, amount_minor, now, now)
    };
    let attempt = attempts::insert(tx.conn(), attempt).await?;
    announce_move(tx, payment, &attempt, By::Shop).await?;
    Ok(vec![attempt])
}
