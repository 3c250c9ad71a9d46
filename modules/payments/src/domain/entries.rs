//! Double entry: what every movement writes into the ledger.
//!
//! Three accounts: `customer` (the money outside), `held` (on hold for the shop) and `shop` (taken). A debit is what
//! an account receives, a credit what it gives, so that authorized is the debits of `held`, captured those of `shop`,
//! and refunded the credits of `shop`.

use crate::domain::movement::Movement;

/// One row of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub account: &'static str,
    pub side: &'static str,
    pub amount_minor: i64,
}

pub const CUSTOMER: &str = "customer";
pub const HELD: &str = "held";
pub const SHOP: &str = "shop";
pub const DEBIT: &str = "debit";
pub const CREDIT: &str = "credit";

/// The rows of a movement; debits equal credits. `held_minor` is what the hold of the payment was, which a capture
/// ends: what it does not take goes back.
pub fn entries(movement: Movement, amount_minor: i64, held_minor: i64) -> Vec<Entry> {
    let debit = |account, amount_minor| Entry { account, side: DEBIT, amount_minor };
    let credit = |account, amount_minor| Entry { account, side: CREDIT, amount_minor };
    let rows = match movement {
        Movement::Authorize => vec![debit(HELD, amount_minor), credit(CUSTOMER, amount_minor)],
        Movement::Charge => vec![
            debit(HELD, amount_minor),
            credit(CUSTOMER, amount_minor),
            debit(SHOP, amount_minor),
            credit(HELD, amount_minor),
        ],
        Movement::Capture => vec![
            debit(SHOP, amount_minor),
            debit(CUSTOMER, held_minor.saturating_sub(amount_minor)),
            credit(HELD, held_minor),
        ],
        Movement::Void => vec![debit(CUSTOMER, held_minor), credit(HELD, held_minor)],
        Movement::Refund => vec![debit(CUSTOMER, amount_minor), credit(SHOP, amount_minor)],
    };
    rows.into_iter().filter(|entry| entry.amount_minor != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[Entry], side: &str) -> i64 {
        rows.iter().filter(|row| row.side == side).map(|row| row.amount_minor).sum()
    }

    #[test]
    fn debits_equal_credits_in_every_movement() {
        for movement in Movement::ALL {
            for (amount, held) in [(100, 100), (60, 100), (1, 100)] {
                let rows = entries(movement, amount, held);
                assert_eq!(sum(&rows, DEBIT), sum(&rows, CREDIT), "{movement:?} {amount} of {held}");
                assert!(rows.iter().all(|row| row.amount_minor > 0));
            }
        }
    }

    #[test]
    fn a_partial_capture_gives_the_rest_back() {
        let rows = entries(Movement::Capture, 60, 100);
        assert!(rows.contains(&Entry { account: CUSTOMER, side: DEBIT, amount_minor: 40 }));
        assert!(rows.contains(&Entry { account: HELD, side: CREDIT, amount_minor: 100 }));
    }
}
