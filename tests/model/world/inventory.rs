//! The rows of `inventory`, under the rules of `inventory::domain::reservation`.

use std::collections::{BTreeMap, BTreeSet};

use inventory::domain::reservation::{self, Level, Pieces, State};

use crate::flaws::Flaws;
use crate::world::{Id, Lines, Reply};

#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    pub(crate) order: Id,
    pub(crate) state: State,
    pub(crate) lines: Lines,
}

#[derive(Debug)]
pub(crate) struct InventoryDb {
    /// By number of SKU.
    pub(crate) stock: Vec<Level>,
    /// What there was in the beginning.
    pub(crate) opening: Vec<i64>,
    pub(crate) reservations: BTreeMap<Id, Reservation>,
    pub(crate) inbox: BTreeSet<Id>,
}

impl InventoryDb {
    pub(crate) fn new(opening: Vec<i64>) -> Self {
        let stock = opening.iter().map(|on_hand| Level { on_hand: *on_hand, reserved: 0 }).collect();
        Self { stock, opening, reservations: BTreeMap::new(), inbox: BTreeSet::new() }
    }

    fn known(&self, id: Id) -> Option<State> {
        self.reservations.get(&id).map(|reservation| reservation.state)
    }

    pub(crate) fn reserve(&mut self, id: Id, order: Id, lines: &Lines, flaws: Flaws) -> Reply {
        match reservation::reserve(self.known(id)) {
            Ok(Pieces::Hold) => {
                let mut stock = self.stock.clone();
                for (sku, pieces) in lines {
                    let unchecked = Level { reserved: stock[*sku].reserved + pieces, ..stock[*sku] };
                    let held =
                        stock[*sku].hold(*pieces).or(flaws.sells_what_is_not_there.then_some(unchecked));
                    let Some(held) = held else { return Reply::Short };
                    stock[*sku] = held;
                }
                self.stock = stock;
                self.reservations.insert(id, Reservation { order, state: State::Held, lines: lines.clone() });
                Reply::Done
            }
            Ok(_) => Reply::Done,
            Err(_) => Reply::Refused,
        }
    }

    pub(crate) fn release(&mut self, id: Id, flaws: Flaws) -> Reply {
        let known = self.known(id);
        let Ok(pieces) = reservation::release(known) else { return Reply::Refused };
        if known.is_none() {
            if !flaws.burns_no_ids {
                self.burn(id);
            }
            return Reply::Done;
        }
        if pieces == Pieces::Free {
            self.end(id, State::Released);
        }
        Reply::Done
    }

    /// False if nothing is held under the id.
    pub(crate) fn ship(&mut self, id: Id) -> bool {
        let ships = reservation::ship(self.known(id)) == Some(Pieces::TakeOut);
        if ships {
            self.end(id, State::Shipped);
        }
        ships
    }

    fn burn(&mut self, id: Id) {
        self.reservations.insert(id, Reservation { order: 0, state: State::Released, lines: Vec::new() });
    }

    fn end(&mut self, id: Id, state: State) {
        if let Some(reservation) = self.reservations.get_mut(&id) {
            reservation.state = state;
            for (sku, pieces) in &reservation.lines {
                self.stock[*sku] = self.stock[*sku].unhold(*pieces, state == State::Shipped);
            }
        }
    }
}
