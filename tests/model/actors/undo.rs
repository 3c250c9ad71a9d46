//! `orders::app::undo`.

use orders::domain::undoing::{self, Heard, Step};

use crate::coverage::follow;
use crate::world::{Call, Id, Reply, World};

/// What is undone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Placement,
    Reactivation { order: Id },
}

#[derive(Debug, Clone)]
pub(crate) struct Undo {
    what: What,
    reservation: Id,
    step: Step,
    released_early: bool,
}

impl Undo {
    pub(crate) fn new(what: What, reservation: Id) -> Self {
        Self { what, reservation, step: Step::CloseIntent, released_early: false }
    }

    /// What the worker finds on the list.
    pub(crate) fn listed(reservation: Id) -> Self {
        Self { what: What::Placement, reservation, step: Step::Release, released_early: false }
    }

    /// Takes one step; the last one, at the end.
    pub(crate) fn step(&mut self, world: &mut World) -> Option<Step> {
        let reservation = self.reservation;
        if world.flaws.releases_before_closing && self.step == Step::CloseIntent && !self.released_early {
            self.released_early = true;
            world.call(Call::Release { reservation });
            return None;
        }
        let heard = match self.step {
            Step::CloseIntent => self.close(world),
            Step::Release => match world.call(Call::Release { reservation }) {
                Some(Reply::Refused) => Heard::No,
                Some(_) => Heard::Done,
                None => Heard::Silent,
            },
            Step::Forget => world.commit(Heard::Silent, |world| {
                world.orders.abandoned.remove(&reservation);
                Heard::Done
            }),
            end => return Some(end),
        };
        self.step = follow!(world, undoing, self.step, heard);
        matches!(self.step, Step::Undone | Step::NotOpen | Step::Unknown).then_some(self.step)
    }

    fn close(&self, world: &mut World) -> Heard {
        let (what, reservation) = (self.what, self.reservation);
        world.commit(Heard::Silent, |world| {
            let flaws = world.flaws;
            let closed = match what {
                What::Placement => world.orders.close_placement(reservation, flaws),
                What::Reactivation { order } => world.orders.close_reactivation(order, reservation, flaws),
            };
            if closed { Heard::Done } else { Heard::NotOpen }
        })
    }
}
