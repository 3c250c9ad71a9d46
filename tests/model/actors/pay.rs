//! `payments::app::pay`.

use payments::domain::driving::{self, Manner};
use payments::domain::paying::{self, Heard, Step};
use payments::domain::taking_back;

use crate::actors::drive::Drive;
use crate::actors::take_back::TakeBack;
use crate::coverage::follow;
use crate::world::keys::Begun;
use crate::world::payments::{Opened, PayWish, Remembered};
use crate::world::{Answer, Call, Id, LEASE_MS, Reply, World};

/// How often a request looks whether the key is free before it gives up.
const MAX_WAITS: usize = 3;

#[derive(Debug, Clone)]
pub(crate) struct Pay {
    wish: PayWish,
    step: Step,
    /// The payment that is to be.
    payment: Id,
    /// The lease under which its key was opened, until that is known to be another's.
    opened: Option<i64>,
    due: i64,
    attempt: Id,
    waits: usize,
    drive: Option<Drive>,
    take_back: Option<TakeBack>,
    answer: Option<Answer>,
}

impl Pay {
    pub(crate) fn new(wish: PayWish) -> Self {
        Self {
            wish,
            step: Step::OpenKey,
            payment: 0,
            opened: None,
            due: 0,
            attempt: 0,
            waits: 0,
            drive: None,
            take_back: None,
            answer: None,
        }
    }

    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        let Some(heard) = self.carry_out(world) else { return false };
        self.step = follow!(world, paying, self.step, heard);
        match (self.step, self.answer) {
            (Step::Answer, Some(answer)) => {
                world.tell_client(self.wish.key, answer);
                true
            }
            (Step::Answer | Step::Refuse, _) => true,
            _ => false,
        }
    }

    /// `None` if the step has not ended yet.
    fn carry_out(&mut self, world: &mut World) -> Option<Heard> {
        let (payment, order, now) = (self.payment, self.wish.order, world.now);
        Some(match self.step {
            Step::OpenKey | Step::AwaitAnswer => self.begin(world)?,
            Step::FindAttempt | Step::FindTwin => {
                let found = world.commit(None, |world| Some(world.payments.first_of(payment)));
                match found {
                    Some(Some(attempt)) => {
                        self.attempt = attempt;
                        Heard::Done
                    }
                    Some(None) => Heard::Nothing,
                    None => Heard::Silent,
                }
            }
            Step::Remember if self.opened.is_some() => {
                let lease = self.opened.take().unwrap_or_default();
                let first = |world: &mut World| Some(world.remember_first_wish(payment, order, lease));
                match world.commit(None, first) {
                    Some(true) => Heard::Done,
                    // Somebody may have had the key: the next step looks closely.
                    Some(false) => return None,
                    None => Heard::Silent,
                }
            }
            Step::Remember => {
                world.commit(Heard::Silent, |world| match world.remember_wish(payment, order) {
                    Remembered::Done => Heard::Done,
                    Remembered::Begun => Heard::Begun,
                    Remembered::Refused => Heard::No,
                })
            }
            Step::AskOrder => match world.call(Call::BeginPayment { order, payment }) {
                Some(Reply::Due(0)) => Heard::NothingDue,
                Some(Reply::Due(due)) => {
                    self.due = due;
                    Heard::Done
                }
                Some(_) => Heard::No,
                None => Heard::Silent,
            },
            Step::Forget => world.commit(Heard::Silent, |world| {
                if world.forget_wish(payment) { Heard::Done } else { Heard::Nothing }
            }),
            Step::LetGo => world.commit(Heard::Silent, |world| {
                let resumed = world.payments.resume_intent(payment, now);
                if resumed && world.payments.keys.hold(payment, now) { Heard::Done } else { Heard::Nothing }
            }),
            Step::Open => self.open(world),
            Step::TakeBack => {
                let new = || TakeBack::new(payment, order);
                match self.take_back.get_or_insert_with(new).step(world)? {
                    taking_back::Step::Done => Heard::Done,
                    _ => Heard::Silent,
                }
            }
            Step::Resume => {
                let attempt = self.attempt;
                world.commit(Heard::Silent, |world| {
                    if world.payments.lease_attempt(attempt, now) { Heard::Done } else { Heard::No }
                })
            }
            Step::Drive => self.drive(world)?,
            Step::WithdrawKey => world.commit(Heard::Silent, |world| {
                world.payments.keys.withdraw(payment);
                Heard::Done
            }),
            Step::Answer | Step::Refuse => return None,
        })
    }

    fn begin(&mut self, world: &mut World) -> Option<Heard> {
        let (key, now, resource) = (self.wish.key, world.now, world.id());
        let begun = world.commit(None, |world| Some(world.payments.keys.begin(key, resource, now)));
        Some(match begun {
            Some(Begun::Busy) if self.waits < MAX_WAITS => {
                self.waits += 1;
                return None;
            }
            Some(Begun::Busy) => Heard::No,
            Some(Begun::Opened(id)) => {
                self.opened = (self.step == Step::OpenKey).then_some(now + LEASE_MS);
                self.payment = id;
                Heard::Opened
            }
            Some(Begun::TakenOver(id)) => {
                self.payment = id;
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

    fn open(&mut self, world: &mut World) -> Heard {
        let (payment, wish, due) = (self.payment, self.wish, self.due);
        match world.commit(None, |world| Some(world.open_payment(payment, &wish, due))) {
            Some(Opened::Attempt(attempt)) => {
                self.attempt = attempt;
                Heard::Done
            }
            Some(Opened::NotOurs) => Heard::Nothing,
            Some(Opened::Second) => Heard::Second,
            None => Heard::Silent,
        }
    }

    fn drive(&mut self, world: &mut World) -> Option<Heard> {
        if self.drive.is_none() {
            self.drive = Drive::new(world, self.attempt, Manner::Waiting);
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
