//! `payments::app::move_money`.

use payments::domain::driving::{self, Manner};
use payments::domain::moving::{self, Heard, Step};

use crate::actors::drive::Drive;
use crate::coverage::follow;
use crate::world::keys::Begun;
use crate::world::payments::{Moved, Wish};
use crate::world::{Answer, Id, World};

/// How often a request looks whether the key is free before it gives up.
const MAX_WAITS: usize = 3;

#[derive(Debug, Clone)]
pub(crate) struct MoveMoney {
    key: Id,
    payment: Id,
    wish: Wish,
    step: Step,
    /// The attempt that is to be.
    resource: Id,
    waits: usize,
    drive: Option<Drive>,
    answer: Option<Answer>,
}

impl MoveMoney {
    pub(crate) fn new(key: Id, payment: Id, wish: Wish) -> Self {
        let step = Step::OpenKey;
        Self { key, payment, wish, step, resource: 0, waits: 0, drive: None, answer: None }
    }

    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        let Some(heard) = self.carry_out(world) else { return false };
        self.step = follow!(world, moving, self.step, heard);
        match (self.step, self.answer) {
            (Step::Answer, Some(answer)) => {
                world.tell_client(self.key, answer);
                true
            }
            (Step::Answer | Step::Refuse, _) => true,
            _ => false,
        }
    }

    /// `None` if the step has not ended yet.
    fn carry_out(&mut self, world: &mut World) -> Option<Heard> {
        let (key, resource, payment, wish) = (self.key, self.resource, self.payment, self.wish);
        let now = world.now;
        Some(match self.step {
            Step::OpenKey | Step::AwaitAnswer => self.begin(world)?,
            Step::Open => {
                let moved =
                    world.commit(None, |world| Some(world.open_movement(key, resource, payment, wish)));
                match moved {
                    Some(Moved::Attempt(_)) => Heard::Done,
                    Some(Moved::Begun(_)) => Heard::Begun,
                    Some(Moved::Refused) => Heard::No,
                    None => Heard::Silent,
                }
            }
            Step::Resume => world.commit(Heard::Silent, |world| {
                if world.payments.lease_attempt(resource, now) { Heard::Done } else { Heard::No }
            }),
            Step::Drive => self.drive(world)?,
            Step::WithdrawKey => world.commit(Heard::Silent, |world| {
                world.payments.keys.withdraw(resource);
                Heard::Done
            }),
            Step::Answer | Step::Refuse => return None,
        })
    }

    fn begin(&mut self, world: &mut World) -> Option<Heard> {
        let (key, now, resource) = (self.key, world.now, world.id());
        let begun = world.commit(None, |world| Some(world.payments.keys.begin(key, resource, now)));
        Some(match begun {
            Some(Begun::Busy) if self.waits < MAX_WAITS => {
                self.waits += 1;
                return None;
            }
            Some(Begun::Busy) => Heard::No,
            Some(Begun::Opened(id)) => {
                self.resource = id;
                Heard::Opened
            }
            Some(Begun::TakenOver(id)) => {
                self.resource = id;
                if self.step == Step::AwaitAnswer && world.flaws.drops_keys_of_open_attempts {
                    world.payments.keys.withdraw(id);
                }
                Heard::TakenOver
            }
            Some(Begun::Stored(answer)) => {
                self.answer = Some(answer);
                Heard::Stored
            }
            None => Heard::Silent,
        })
    }

    fn drive(&mut self, world: &mut World) -> Option<Heard> {
        if self.drive.is_none() {
            self.drive = Drive::new(world, self.resource, Manner::Waiting);
        }
        let drive = self.drive.as_mut()?;
        Some(match drive.step(world)? {
            driving::Step::Settled => {
                self.answer = drive.answer;
                Heard::Done
            }
            driving::Step::Overtaken => Heard::No,
            _ => Heard::Silent,
        })
    }
}
