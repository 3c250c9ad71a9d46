//! The life of an order: which status may follow which, and who may say so.

use contracts::orders::{OrderStatus, PaymentStatus};
use thiserror::Error;

/// On whose behalf a status changes, and through which door an owner came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// An admin: every transition there is.
    Admin,
    /// The owner through `PATCH /orders/{id}/status`: may cancel what is pending.
    OwnerByStatus,
    /// The owner through `POST /orders/{id}/cancel`: may cancel what is pending or confirmed.
    OwnerByCancel,
    /// The shop itself, when a payment window has passed or a payment was captured.
    Shop,
}

/// Why a status does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransitionRefusal {
    #[error("an order that is {} cannot become {}", .from.as_str(), .to.as_str())]
    Invalid { from: OrderStatus, to: OrderStatus },
    /// An owner may cancel, and nothing else.
    #[error("only an admin may make an order {}", .0.as_str())]
    AdminOnly(OrderStatus),
    /// The payment ends within seconds; then the order can be cancelled, and the money goes back.
    #[error("a payment of this order is under way; cancel it when the payment has ended")]
    PaymentInProgress,
    /// Its books are closed: what was paid and given back belongs to the cancelled order.
    #[error("this order was paid and cancelled; place a new one instead")]
    WasPaid,
    /// The provider still holds the money of the cancelled order.
    #[error("the payment of this cancelled order is still being voided; try again when it is")]
    NotYetVoided,
    /// Another request is taking its stock just now.
    #[error("this order is being reactivated already")]
    BeingReactivated,
}

/// Whether one status may follow another at all.
pub fn may_follow(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::{Cancelled, Confirmed, Delivered, Pending, Processing, Shipped};
    matches!(
        (from, to),
        (Pending, Confirmed | Processing | Cancelled)
            | (Confirmed, Processing | Cancelled)
            | (Processing, Shipped | Cancelled)
            | (Shipped, Delivered)
            | (Cancelled, Pending)
    )
}

/// Whether this change may happen now.
///
/// A paid order that was cancelled is never reactivated: its refund is booked against it, so a second payment of the
/// same order would have to be told from the first in every sum. A new order says the same without that.
pub fn check(
    from: OrderStatus,
    to: OrderStatus,
    payment: PaymentStatus,
    by: By,
) -> Result<(), TransitionRefusal> {
    use OrderStatus::{Cancelled, Confirmed, Pending};
    let invalid = TransitionRefusal::Invalid { from, to };
    let within_rights = match by {
        By::Admin | By::Shop => true,
        By::OwnerByStatus | By::OwnerByCancel if to != Cancelled => {
            return Err(TransitionRefusal::AdminOnly(to));
        }
        By::OwnerByStatus => from == Pending,
        By::OwnerByCancel => matches!(from, Pending | Confirmed),
    };
    if !within_rights || !may_follow(from, to) {
        return Err(invalid);
    }
    match (to, payment) {
        (Cancelled, PaymentStatus::InProgress) => Err(TransitionRefusal::PaymentInProgress),
        (Pending, PaymentStatus::Authorized | PaymentStatus::InProgress) => {
            Err(TransitionRefusal::NotYetVoided)
        }
        (Pending, PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded) => {
            Err(TransitionRefusal::WasPaid)
        }
        _ => Ok(()),
    }
}

/// Whether an order of this status holds stock in the house.
pub fn holds_stock(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Pending | OrderStatus::Confirmed | OrderStatus::Processing)
}

/// Whether the time of an order that nobody pays is up: it is pending, no payment is under way or done, and its window
/// has passed.
pub fn is_overdue(status: OrderStatus, payment: PaymentStatus, due_at_ms: Option<i64>, now_ms: i64) -> bool {
    status == OrderStatus::Pending
        && payment == PaymentStatus::Unpaid
        && due_at_ms.is_some_and(|due_at_ms| due_at_ms <= now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrderStatus::{Cancelled, Confirmed, Delivered, Pending, Processing, Shipped};

    #[test]
    fn the_table_is_that_of_the_contract() {
        let allowed: Vec<_> = OrderStatus::ALL
            .into_iter()
            .flat_map(|from| OrderStatus::ALL.into_iter().map(move |to| (from, to)))
            .filter(|(from, to)| check(*from, *to, PaymentStatus::Unpaid, By::Admin).is_ok())
            .collect();
        let expected = vec![
            (Pending, Confirmed),
            (Pending, Processing),
            (Pending, Cancelled),
            (Confirmed, Processing),
            (Confirmed, Cancelled),
            (Processing, Shipped),
            (Processing, Cancelled),
            (Shipped, Delivered),
            (Cancelled, Pending),
        ];
        assert_eq!(allowed, expected);
    }

    #[test]
    fn an_owner_may_only_cancel_and_only_early() {
        let may = |by, from| check(from, Cancelled, PaymentStatus::Unpaid, by).is_ok();
        let statuses = |by| OrderStatus::ALL.into_iter().filter(|from| may(by, *from)).collect::<Vec<_>>();
        assert_eq!(statuses(By::OwnerByStatus), vec![Pending]);
        assert_eq!(statuses(By::OwnerByCancel), vec![Pending, Confirmed]);
        for to in [Pending, Confirmed, Processing, Shipped, Delivered] {
            let refusal = check(Pending, to, PaymentStatus::Unpaid, By::OwnerByStatus);
            assert_eq!(refusal, Err(TransitionRefusal::AdminOnly(to)));
        }
    }

    #[test]
    fn payments_hold_an_order_where_it_is() {
        let check = |from, to, payment| check(from, to, payment, By::Admin).err();
        let under_way = Some(TransitionRefusal::PaymentInProgress);
        assert_eq!(check(Pending, Cancelled, PaymentStatus::InProgress), under_way);
        assert_eq!(check(Confirmed, Cancelled, PaymentStatus::Captured), None);
        assert_eq!(check(Cancelled, Pending, PaymentStatus::Refunded), Some(TransitionRefusal::WasPaid));
        assert_eq!(check(Cancelled, Pending, PaymentStatus::Captured), Some(TransitionRefusal::WasPaid));
        assert_eq!(
            check(Cancelled, Pending, PaymentStatus::Authorized),
            Some(TransitionRefusal::NotYetVoided)
        );
        assert_eq!(check(Cancelled, Pending, PaymentStatus::Unpaid), None);
    }

    #[test]
    fn only_an_unpaid_pending_order_runs_out_of_time() {
        let is_overdue = |status, payment, due| is_overdue(status, payment, due, 100);
        assert!(is_overdue(Pending, PaymentStatus::Unpaid, Some(100)));
        assert!(!is_overdue(Pending, PaymentStatus::Unpaid, Some(101)));
        assert!(!is_overdue(Pending, PaymentStatus::Unpaid, None));
        assert!(!is_overdue(Pending, PaymentStatus::InProgress, Some(0)));
        assert!(!is_overdue(Confirmed, PaymentStatus::Unpaid, Some(0)));
    }
}
