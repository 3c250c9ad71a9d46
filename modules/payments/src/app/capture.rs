//! Takes what is held.

use platform::db::Tx;

use crate::app::refused;
use crate::error::PaymentError;
use crate::store::{attempts, payments};

/// How much may be captured now. One movement of the hold at a time: whoever locked the payment's row first goes, and
/// the schema would refuse a second open one.
pub(crate) async fn allow(
    tx: &Tx,
    payment: &payments::Model,
    asked_minor: Option<i64>,
) -> Result<i64, PaymentError> {
    let amount_minor =
        payment.balance()?.may_capture(asked_minor).map_err(|refusal| refused(payment, refusal))?;
    if attempts::hold_is_moving(tx.conn(), kernel::PaymentId(payment.id)).await? {
        return Err(PaymentError::Busy);
    }
    Ok(amount_minor)
}
