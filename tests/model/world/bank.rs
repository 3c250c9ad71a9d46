//! The provider: it does nothing twice under one key, and its verdict about a key never changes. Its books are its own.

use std::collections::BTreeMap;

use payments::domain::movement::Movement;

use crate::flaws::Flaws;
use crate::world::Id;

/// What a provider says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done { charge: Id },
    Declined,
    Abandoned,
}

/// What the provider is told to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) key: Id,
    pub(crate) movement: Movement,
    pub(crate) amount: i64,
    /// None of a movement that begins.
    pub(crate) charge: Option<Id>,
    /// Whether the card is good.
    pub(crate) good_card: bool,
    /// For the checker: whose money it is.
    pub(crate) for_order: Id,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) movement: Option<Movement>,
    pub(crate) amount: i64,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) for_order: Id,
    pub(crate) held: i64,
    pub(crate) taken: i64,
    pub(crate) returned: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Bank {
    pub(crate) operations: BTreeMap<Id, Operation>,
    pub(crate) charges: BTreeMap<Id, Charge>,
}

impl Bank {
    pub(crate) fn operate(&mut self, order: &Order, new_charge: Id) -> Verdict {
        if let Some(known) = self.operations.get(&order.key) {
            return known.verdict;
        }
        let verdict = if self.apply(order, new_charge) {
            Verdict::Done { charge: order.charge.unwrap_or(new_charge) }
        } else {
            Verdict::Declined
        };
        let operation = Operation { movement: Some(order.movement), amount: order.amount, verdict };
        self.operations.insert(order.key, operation);
        verdict
    }

    fn apply(&mut self, order: &Order, new_charge: Id) -> bool {
        let amount = order.amount;
        let charge = order.charge.and_then(|charge| self.charges.get_mut(&charge));
        match (order.movement, charge) {
            (Movement::Authorize | Movement::Charge, _) => {
                let taken = if order.movement == Movement::Charge { amount } else { 0 };
                let charge = Charge { for_order: order.for_order, held: amount - taken, taken, returned: 0 };
                order.good_card && self.charges.insert(new_charge, charge).is_none()
            }
            (Movement::Capture, Some(charge)) if charge.held >= amount => {
                (charge.held, charge.taken) = (0, amount);
                true
            }
            (Movement::Void, Some(charge)) if charge.held > 0 => {
                charge.held = 0;
                true
            }
            (Movement::Refund, Some(charge)) if charge.returned + amount <= charge.taken => {
                charge.returned += amount;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn find(&self, key: Id) -> Option<Verdict> {
        self.operations.get(&key).map(|operation| operation.verdict)
    }

    pub(crate) fn abandon(&mut self, key: Id, flaws: Flaws) -> Verdict {
        if let Some(verdict) = self.find(key) {
            return verdict;
        }
        if !flaws.abandons_without_a_fence {
            let operation = Operation { movement: None, amount: 0, verdict: Verdict::Abandoned };
            self.operations.insert(key, operation);
        }
        Verdict::Abandoned
    }
}
