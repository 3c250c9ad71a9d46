//! What an order knows of its payment, and how that changes.

use contracts::orders::{BeginPaymentRefusal, OrderStatus, PaymentStatus};
use kernel::PaymentId;

/// The payment side of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentState {
    pub status: PaymentStatus,
    /// The payment that holds the order; none while it is unpaid.
    pub payment_id: Option<PaymentId>,
    pub refunded_minor: i64,
}

impl PaymentState {
    /// Nobody pays, and nobody has paid.
    pub const UNPAID: PaymentState =
        PaymentState { status: PaymentStatus::Unpaid, payment_id: None, refunded_minor: 0 };

    fn of(self, status: PaymentStatus, payment_id: PaymentId) -> Self {
        Self { status, payment_id: Some(payment_id), ..self }
    }

    fn is_held_by(self, payment_id: PaymentId) -> bool {
        self.payment_id == Some(payment_id)
    }

    /// A payment begins. The payment that holds the order already may ask again.
    pub fn begin(self, order: OrderStatus, payment_id: PaymentId) -> Result<Self, BeginPaymentRefusal> {
        match self.status {
            _ if order == OrderStatus::Cancelled => Err(BeginPaymentRefusal::NotPayable(order)),
            _ if self.is_held_by(payment_id) => Ok(self),
            PaymentStatus::InProgress => Err(BeginPaymentRefusal::InProgress),
            PaymentStatus::Unpaid if order == OrderStatus::Pending => {
                Ok(self.of(PaymentStatus::InProgress, payment_id))
            }
            PaymentStatus::Unpaid => Err(BeginPaymentRefusal::NotPayable(order)),
            PaymentStatus::Authorized
            | PaymentStatus::Captured
            | PaymentStatus::PartiallyRefunded
            | PaymentStatus::Refunded => Err(BeginPaymentRefusal::AlreadyPaid),
        }
    }

    /// A payment came to nothing. `None`: it does not hold the order, or money has moved since.
    pub fn give_up(self, payment_id: PaymentId) -> Option<Self> {
        let ends = self.is_held_by(payment_id) && self.status == PaymentStatus::InProgress;
        ends.then_some(Self::UNPAID)
    }

    /// The provider holds the money. `None`: another payment holds the order, or more is known already.
    pub fn authorize(self, payment_id: PaymentId) -> Option<Self> {
        let news = match self.status {
            PaymentStatus::Unpaid => true,
            PaymentStatus::InProgress => self.is_held_by(payment_id),
            _ => false,
        };
        news.then(|| self.of(PaymentStatus::Authorized, payment_id))
    }

    /// The money was taken. It is taken in whatever the order was doing, even if the payment had been given up:
    /// money that moved is a fact.
    pub fn capture(self, payment_id: PaymentId) -> Option<Self> {
        let news = match self.status {
            PaymentStatus::Unpaid => true,
            PaymentStatus::InProgress | PaymentStatus::Authorized => self.is_held_by(payment_id),
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => false,
        };
        news.then(|| self.of(PaymentStatus::Captured, payment_id))
    }

    /// The hold was lifted. `None`: this payment holds nothing.
    pub fn void(self, payment_id: PaymentId) -> Option<Self> {
        let ends = self.is_held_by(payment_id)
            && matches!(self.status, PaymentStatus::InProgress | PaymentStatus::Authorized);
        ends.then_some(Self::UNPAID)
    }

    /// Money was given back: so much in all, of so much that was taken. What is known only grows. `None`: it is
    /// another payment's money.
    pub fn refund(self, payment_id: PaymentId, refunded_minor: i64, captured_minor: i64) -> Option<Self> {
        if !self.is_held_by(payment_id) {
            return None;
        }
        let refunded_minor = self.refunded_minor.max(refunded_minor);
        let all = refunded_minor >= captured_minor;
        let status = if all { PaymentStatus::Refunded } else { PaymentStatus::PartiallyRefunded };
        Some(Self { status, refunded_minor, ..self })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const P1: PaymentId = PaymentId(Uuid::from_u128(1));
    const P2: PaymentId = PaymentId(Uuid::from_u128(2));

    fn held(status: PaymentStatus) -> PaymentState {
        PaymentState { status, payment_id: Some(P1), refunded_minor: 0 }
    }

    #[test]
    fn one_payment_holds_an_order_at_a_time() {
        let begun = PaymentState::UNPAID.begin(OrderStatus::Pending, P1).unwrap();
        assert_eq!(begun, held(PaymentStatus::InProgress));
        assert_eq!(begun.begin(OrderStatus::Pending, P1), Ok(begun));
        assert_eq!(begun.begin(OrderStatus::Pending, P2), Err(BeginPaymentRefusal::InProgress));
        let captured = held(PaymentStatus::Captured);
        assert_eq!(captured.begin(OrderStatus::Confirmed, P2), Err(BeginPaymentRefusal::AlreadyPaid));
        for order in [OrderStatus::Cancelled, OrderStatus::Shipped] {
            let refusal = PaymentState::UNPAID.begin(order, P1);
            assert_eq!(refusal, Err(BeginPaymentRefusal::NotPayable(order)));
        }
    }

    #[test]
    fn only_the_holder_gives_up_and_voids() {
        assert_eq!(held(PaymentStatus::InProgress).give_up(P1), Some(PaymentState::UNPAID));
        assert_eq!(held(PaymentStatus::InProgress).give_up(P2), None);
        assert_eq!(held(PaymentStatus::Captured).give_up(P1), None);
        assert_eq!(held(PaymentStatus::Authorized).void(P1), Some(PaymentState::UNPAID));
        assert_eq!(held(PaymentStatus::Authorized).void(P2), None);
        assert_eq!(held(PaymentStatus::Captured).void(P1), None);
    }

    #[test]
    fn money_that_moved_is_a_fact() {
        assert_eq!(PaymentState::UNPAID.capture(P1), Some(held(PaymentStatus::Captured)));
        assert_eq!(held(PaymentStatus::InProgress).capture(P1), Some(held(PaymentStatus::Captured)));
        assert_eq!(held(PaymentStatus::InProgress).capture(P2), None);
        assert_eq!(held(PaymentStatus::Captured).authorize(P1), None);
        assert_eq!(held(PaymentStatus::Refunded).capture(P1), None);
    }

    #[test]
    fn refunds_only_grow() {
        let half = held(PaymentStatus::Captured).refund(P1, 50, 100).unwrap();
        assert_eq!((half.status, half.refunded_minor), (PaymentStatus::PartiallyRefunded, 50));
        let late = half.refund(P1, 20, 100).unwrap();
        assert_eq!(late, half);
        let all = half.refund(P1, 100, 100).unwrap();
        assert_eq!((all.status, all.refunded_minor), (PaymentStatus::Refunded, 100));
        assert_eq!(all.refund(P2, 100, 100), None);
    }
}
