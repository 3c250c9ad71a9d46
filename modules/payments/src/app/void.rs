//! Lets go what is held.

use platform::db::Tx;

use crate::app::refused;
use crate::error::PaymentError;
use crate::store::{attempts, payments};

/// How much is let go. As with a capture, one movement of the hold at a time.
pub(crate) async fn allow(tx: &Tx, payment: &payments::Model) -> Result<i64, PaymentError> {
    let amount_minor = payment.balance()?.may_void().map_err(|refusal| refused(payment, refusal))?;
    if attempts::hold_is_moving(tx.conn(), kernel::PaymentId(payment.id)).await? {
        return Err(PaymentError::Busy);
    }
    Ok(amount_minor)
}
