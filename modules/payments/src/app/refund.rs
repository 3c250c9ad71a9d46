//! Gives back what was taken.

use kernel::PaymentId;
use platform::db::Tx;

use crate::app::refused;
use crate::domain::balance::Refusal;
use crate::error::PaymentError;
use crate::store::payments;

/// Sets aside how much may be given back now; several refunds may be under way, as long as their sum is there. The
/// conditional update decides, whatever was read before.
pub(crate) async fn allow(
    tx: &Tx,
    payment: &payments::Model,
    asked_minor: Option<i64>,
) -> Result<i64, PaymentError> {
    let balance = payment.balance()?;
    let amount_minor = balance.may_refund(asked_minor).map_err(|refusal| refused(payment, refusal))?;
    let now = tx.system().now();
    if payments::reserve_refund(tx.conn(), PaymentId(payment.id), amount_minor, now).await? {
        Ok(amount_minor)
    } else {
        Err(refused(payment, Refusal::ExceedsCaptured { left_minor: balance.left_minor() }))
    }
}
