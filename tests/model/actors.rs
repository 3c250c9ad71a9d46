//! Whoever is at work: requests of clients and workers. What an actor knows is lost when its process dies.
//!
//! An actor does what the executor of the same name in a module's `app/` does: it carries out the step that the shipped
//! table names, and takes what it heard back to the table. One step is one effect on the world.

pub(crate) mod drive;
pub(crate) mod move_money;
pub(crate) mod pay;
pub(crate) mod place;
pub(crate) mod reactivate;
pub(crate) mod take_back;
pub(crate) mod undo;

use crate::world::{Id, World};

/// What an actor is at.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Place(place::Place),
    Reactivate(reactivate::Reactivate),
    Undo(undo::Undo),
    Pay(pay::Pay),
    Move(move_money::MoveMoney),
    Drive(drive::Drive),
    TakeBack(take_back::TakeBack),
    /// Drops the key of a request that died early, if it stands for nothing else.
    DropKey {
        resource: Id,
        /// The lease that it had when it was seen to be alone.
        seen: Option<i64>,
    },
    /// The provider's webhook: a look for the fate of an attempt, which is settled if there is one.
    Look {
        attempt: Id,
        verdict: Option<crate::world::bank::Verdict>,
    },
}

/// One actor in one process.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) process: usize,
    pub(crate) work: Work,
}

impl Work {
    /// Takes one step. True at the end.
    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        match self {
            Work::Place(place) => place.step(world),
            Work::Reactivate(reactivate) => reactivate.step(world),
            Work::Undo(undo) => undo.step(world).is_some(),
            Work::Pay(pay) => pay.step(world),
            Work::Move(movement) => movement.step(world),
            Work::Drive(drive) => drive.step(world).is_some(),
            Work::TakeBack(take_back) => take_back.step(world).is_some(),
            Work::DropKey { resource, seen: None } => {
                let lease = world.payments.keys.stale_lease(*resource, world.now);
                let seen = lease.filter(|_| world.payments.key_is_alone(*resource));
                *self = Work::DropKey { resource: *resource, seen };
                seen.is_none()
            }
            Work::DropKey { resource, seen: Some(seen) } => {
                world.commit((), |world| world.payments.keys.withdraw_stale(*resource, *seen));
                true
            }
            Work::Look { attempt, verdict: None } => {
                let key = world.payments.attempts.get(attempt).map(|attempt| attempt.provider_key);
                let reply = key.and_then(|key| world.call(crate::world::Call::Find { key }));
                let Some(crate::world::Reply::Verdict(verdict)) = reply else { return true };
                *self = Work::Look { attempt: *attempt, verdict: Some(verdict) };
                false
            }
            Work::Look { attempt, verdict: Some(verdict) } => {
                world.commit((), |world| {
                    world.settle(*attempt, *verdict);
                });
                true
            }
        }
    }

    /// Whether it runs in a process of `payments`, not of `orders`.
    pub(crate) fn is_of_payments(&self) -> bool {
        !matches!(self, Work::Place(_) | Work::Reactivate(_) | Work::Undo(_))
    }
}
