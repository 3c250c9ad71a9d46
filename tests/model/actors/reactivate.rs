//! `orders::app::reactivate_order`.

use orders::domain::reactivating::{self, Heard, Step};
use orders::domain::undoing;

use crate::actors::undo::{Undo, What};
use crate::coverage::follow;
use crate::world::{Call, Id, Reply, World};

#[derive(Debug, Clone)]
pub(crate) struct Reactivate {
    order: Id,
    reservation: Id,
    step: Step,
    undo: Option<Undo>,
}

impl Reactivate {
    pub(crate) fn new(order: Id) -> Self {
        Self { order, reservation: 0, step: Step::Intend, undo: None }
    }

    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        let Some(heard) = self.carry_out(world) else { return false };
        self.step = follow!(world, reactivating, self.step, heard);
        matches!(self.step, Step::Answer | Step::Refuse)
    }

    fn carry_out(&mut self, world: &mut World) -> Option<Heard> {
        let (order, reservation) = (self.order, self.reservation);
        Some(match self.step {
            Step::Intend => {
                let silent = (Heard::Silent, 0);
                let (heard, id) = world.commit(silent, |world| match world.intend_reactivation(order) {
                    Some(id) => (Heard::Done, id),
                    None => (Heard::No, 0),
                });
                self.reservation = id;
                heard
            }
            Step::Reserve => {
                let lines = world.orders.orders.get(&order).map(|order| order.lines.clone())?;
                match world.call(Call::Reserve { reservation, order, lines }) {
                    Some(Reply::Done) => Heard::Done,
                    Some(_) => Heard::No,
                    None => Heard::Silent,
                }
            }
            Step::Confirm => world.commit(Heard::Silent, |world| {
                let done = world.confirm_reactivation(order, reservation);
                if done { Heard::Done } else { Heard::No }
            }),
            Step::Abandon => {
                let what = What::Reactivation { order };
                let undo = self.undo.get_or_insert_with(|| Undo::new(what, reservation));
                match undo.step(world)? {
                    undoing::Step::Undone => Heard::Done,
                    undoing::Step::NotOpen => Heard::No,
                    _ => Heard::Silent,
                }
            }
            Step::Answer | Step::Refuse => return None,
        })
    }
}
