//! `payments::app::release_order::take_back`.

use payments::domain::intent::State;
use payments::domain::taking_back::{self, Heard, Step};

use crate::coverage::follow;
use crate::world::{Call, Id, World};

#[derive(Debug, Clone)]
pub(crate) struct TakeBack {
    payment: Id,
    order: Id,
    step: Step,
}

impl TakeBack {
    pub(crate) fn new(payment: Id, order: Id) -> Self {
        Self { payment, order, step: Step::MarkEnding }
    }

    /// The worker has marked the intent as it claimed it.
    pub(crate) fn claimed(payment: Id, order: Id) -> Self {
        Self { payment, order, step: Step::TellOrder }
    }

    /// Takes one step; the last one, at the end.
    pub(crate) fn step(&mut self, world: &mut World) -> Option<Step> {
        let (order, payment) = (self.order, self.payment);
        let heard = match self.step {
            Step::MarkEnding => {
                world.commit(Heard::Silent, |world| match world.payments.intents.get_mut(&payment) {
                    Some(intent) => {
                        intent.state = State::Ending;
                        Heard::Done
                    }
                    None => Heard::Nothing,
                })
            }
            Step::LookForPayment => world.commit(Heard::Silent, |world| {
                if world.payments.payments.contains_key(&payment) { Heard::Done } else { Heard::Nothing }
            }),
            Step::TellOrder => {
                let told = world.call(Call::GiveUpPayment { order, payment });
                told.map_or(Heard::Silent, |_| Heard::Done)
            }
            Step::Forget => world.commit(Heard::Silent, |world| {
                world.payments.intents.remove(&payment);
                world.payments.keys.withdraw(payment);
                Heard::Done
            }),
            end => return Some(end),
        };
        self.step = follow!(world, taking_back, self.step, heard);
        matches!(self.step, Step::Done | Step::LeftToWorker).then_some(self.step)
    }
}
