//! What one payment holds, took and gave back, and which movement is allowed next. All amounts are minor units of the
//! payment's one currency.

use crate::domain::movement::Movement;
use crate::domain::status::Status;

/// The amounts of a payment with its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub status: Status,
    /// What was due.
    pub amount_minor: i64,
    /// What the provider held at most. Capturing less does not lower it; the ledger shows what was released.
    pub authorized_minor: i64,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    /// Set aside for refunds that the provider has not confirmed yet.
    pub refund_pending_minor: i64,
}

/// Why a movement is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Only an authorized payment can be captured or voided.
    NotAuthorized {
        status: Status,
    },
    ExceedsAuthorized {
        authorized_minor: i64,
    },
    /// What is left includes neither refunds that were made nor those under way.
    ExceedsCaptured {
        left_minor: i64,
    },
    NotPositive,
}

/// The provider says something that cannot be true of this payment. It is never applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {} cannot {} {amount_minor}", .status.as_str(), .movement.as_str())]
pub struct Impossible {
    status: Status,
    movement: Movement,
    amount_minor: i64,
}

impl Balance {
    /// A payment of which nothing has moved yet.
    pub fn pending(amount_minor: i64) -> Self {
        Self {
            status: Status::Pending,
            amount_minor,
            authorized_minor: 0,
            captured_minor: 0,
            refunded_minor: 0,
            refund_pending_minor: 0,
        }
    }

    /// How much a capture takes: what was asked for, or all that is held.
    pub fn may_capture(&self, asked_minor: Option<i64>) -> Result<i64, Refusal> {
        let held_minor = self.may_void()?;
        match asked_minor {
            Some(amount_minor) if amount_minor <= 0 => Err(Refusal::NotPositive),
            Some(amount_minor) if amount_minor > held_minor => {
                Err(Refusal::ExceedsAuthorized { authorized_minor: held_minor })
            }
            Some(amount_minor) => Ok(amount_minor),
            None => Ok(held_minor),
        }
    }

    /// How much a void gives free.
    pub fn may_void(&self) -> Result<i64, Refusal> {
        match self.status {
            Status::Authorized => Ok(self.authorized_minor),
            status => Err(Refusal::NotAuthorized { status }),
        }
    }

    /// How much a refund gives back: what was asked for, or all that is left.
    pub fn may_refund(&self, asked_minor: Option<i64>) -> Result<i64, Refusal> {
        let left_minor = self.left_minor();
        match asked_minor {
            Some(amount_minor) if amount_minor <= 0 => Err(Refusal::NotPositive),
            Some(amount_minor) if amount_minor > left_minor => Err(Refusal::ExceedsCaptured { left_minor }),
            Some(amount_minor) => Ok(amount_minor),
            None if left_minor == 0 => Err(Refusal::ExceedsCaptured { left_minor }),
            None => Ok(left_minor),
        }
    }

    /// What was taken and is neither given back nor on its way back.
    pub fn left_minor(&self) -> i64 {
        self.captured_minor.saturating_sub(self.refunded_minor).saturating_sub(self.refund_pending_minor)
    }

    /// Sets an amount aside for a refund. `None`: so much is not left. The store decides the same in one conditional
    /// update, whatever was read before.
    pub fn set_aside(self, amount_minor: i64) -> Option<Self> {
        let pending_minor = self.refund_pending_minor.checked_add(amount_minor)?;
        let is_left = self.refunded_minor.checked_add(pending_minor)? <= self.captured_minor;
        is_left.then_some(Self { refund_pending_minor: pending_minor, ..self })
    }

    /// What a payment whose order was cancelled gives back now: a hold is lifted, what was taken is refunded. `None`:
    /// nothing, or not before the movement that is under way has ended.
    pub fn to_give_back(&self, hold_is_moving: bool) -> Option<(Movement, i64)> {
        match (self.may_void(), self.may_refund(None)) {
            (Ok(_), _) if hold_is_moving => None,
            (Ok(held_minor), _) => Some((Movement::Void, held_minor)),
            (_, Ok(left_minor)) => Some((Movement::Refund, left_minor)),
            _ => None,
        }
    }

    /// The provider has done it.
    pub fn succeed(self, movement: Movement, amount_minor: i64) -> Result<Self, Impossible> {
        let impossible = Impossible { status: self.status, movement, amount_minor };
        let within = |bound_minor: i64| (1..=bound_minor).contains(&amount_minor);
        match (movement, self.status) {
            (Movement::Authorize, Status::Pending) if within(self.amount_minor) => {
                Ok(Self { status: Status::Authorized, authorized_minor: amount_minor, ..self })
            }
            (Movement::Charge, Status::Pending) if within(self.amount_minor) => Ok(Self {
                status: Status::Captured,
                authorized_minor: amount_minor,
                captured_minor: amount_minor,
                ..self
            }),
            (Movement::Capture, Status::Authorized) if within(self.authorized_minor) => {
                Ok(Self { status: Status::Captured, captured_minor: amount_minor, ..self })
            }
            (Movement::Void, Status::Authorized) => Ok(Self { status: Status::Voided, ..self }),
            (Movement::Refund, Status::Captured | Status::PartiallyRefunded)
                if within(self.refund_pending_minor) =>
            {
                let refunded_minor = self.refunded_minor + amount_minor;
                let all = refunded_minor == self.captured_minor;
                Ok(Self {
                    status: if all { Status::Refunded } else { Status::PartiallyRefunded },
                    refunded_minor,
                    refund_pending_minor: self.refund_pending_minor - amount_minor,
                    ..self
                })
            }
            _ => Err(impossible),
        }
    }

    /// The provider has refused it, or it was given up.
    pub fn fail(self, movement: Movement, amount_minor: i64) -> Result<Self, Impossible> {
        match movement {
            Movement::Authorize | Movement::Charge if self.status == Status::Pending => {
                Ok(Self { status: Status::Failed, ..self })
            }
            Movement::Capture | Movement::Void => Ok(self),
            Movement::Refund if (1..=self.refund_pending_minor).contains(&amount_minor) => {
                Ok(Self { refund_pending_minor: self.refund_pending_minor - amount_minor, ..self })
            }
            _ => Err(Impossible { status: self.status, movement, amount_minor }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(captured_minor: i64, refunded_minor: i64, refund_pending_minor: i64) -> Balance {
        let status = if refunded_minor == 0 { Status::Captured } else { Status::PartiallyRefunded };
        Balance { status, captured_minor, refunded_minor, refund_pending_minor, ..authorized(100) }
    }

    fn authorized(minor: i64) -> Balance {
        Balance { status: Status::Authorized, authorized_minor: minor, ..Balance::pending(100) }
    }

    #[test]
    fn money_is_held_then_taken_then_given_back() {
        let held = Balance::pending(100).succeed(Movement::Authorize, 100).unwrap();
        assert_eq!(held.may_capture(None), Ok(100));
        let taken = held.succeed(Movement::Capture, 70).unwrap();
        assert_eq!((taken.status, taken.captured_minor, taken.authorized_minor), (Status::Captured, 70, 100));
        let reserved = Balance { refund_pending_minor: 70, ..taken };
        let part = reserved.succeed(Movement::Refund, 30).unwrap();
        assert_eq!((part.status, part.left_minor()), (Status::PartiallyRefunded, 0));
        assert_eq!(part.succeed(Movement::Refund, 40).unwrap().status, Status::Refunded);
        assert_eq!(held.succeed(Movement::Void, 100).unwrap().status, Status::Voided);
        assert_eq!(Balance::pending(100).succeed(Movement::Charge, 100).unwrap().captured_minor, 100);
    }

    #[test]
    fn nothing_more_than_there_is_is_captured_or_refunded() {
        assert_eq!(
            authorized(100).may_capture(Some(101)),
            Err(Refusal::ExceedsAuthorized { authorized_minor: 100 })
        );
        assert_eq!(authorized(100).may_capture(Some(0)), Err(Refusal::NotPositive));
        assert_eq!(
            captured(100, 0, 60).may_refund(Some(60)),
            Err(Refusal::ExceedsCaptured { left_minor: 40 })
        );
        assert_eq!(captured(100, 60, 0).may_refund(None), Ok(40));
        assert_eq!(captured(100, 60, 40).may_refund(None), Err(Refusal::ExceedsCaptured { left_minor: 0 }));
        assert_eq!(captured(100, 0, 0).may_refund(Some(i64::MIN)), Err(Refusal::NotPositive));
        assert_eq!(authorized(100).may_refund(Some(1)), Err(Refusal::ExceedsCaptured { left_minor: 0 }));
    }

    #[test]
    fn each_status_allows_only_its_movements() {
        for status in Status::ALL {
            let balance = Balance { status, ..authorized(100) };
            assert_eq!(balance.may_void().is_ok(), status == Status::Authorized, "{status:?}");
            assert_eq!(balance.may_capture(None).is_ok(), status == Status::Authorized, "{status:?}");
            assert_eq!(balance.succeed(Movement::Charge, 1).is_ok(), status == Status::Pending, "{status:?}");
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert!(captured(100, 0, 0).succeed(Movement::Refund, 1).is_err(), "a refund that was not reserved");
        assert!(authorized(100).succeed(Movement::Capture, 101).is_err());
        assert!(
            authorized(100).fail(Movement::Charge, 100).is_err(),
            "a charge cannot fail once it holds money"
        );
    }

    #[test]
    fn a_refused_refund_gives_its_reservation_back() {
        assert_eq!(captured(100, 0, 60).fail(Movement::Refund, 60), Ok(captured(100, 0, 0)));
        assert_eq!(authorized(100).fail(Movement::Capture, 50), Ok(authorized(100)));
        assert_eq!(Balance::pending(100).fail(Movement::Charge, 100).unwrap().status, Status::Failed);
    }

    #[test]
    fn refunds_under_way_never_exceed_what_was_captured() {
        assert_eq!(captured(100, 0, 60).set_aside(40), Some(captured(100, 0, 100)));
        assert_eq!(captured(100, 0, 60).set_aside(41), None);
        assert_eq!(captured(100, 60, 0).set_aside(i64::MAX), None);
    }

    #[test]
    fn a_cancelled_order_gets_back_what_is_held_or_left() {
        assert_eq!(authorized(100).to_give_back(false), Some((Movement::Void, 100)));
        assert_eq!(authorized(100).to_give_back(true), None);
        assert_eq!(captured(100, 10, 30).to_give_back(false), Some((Movement::Refund, 60)));
        assert_eq!(captured(100, 0, 100).to_give_back(false), None);
        assert_eq!(Balance::pending(100).to_give_back(false), None);
    }
}
