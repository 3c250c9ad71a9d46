//! `payments::app::drive`, with `settle` and the release of the order.

use payments::domain::driving::{self, Heard, Manner, Step};

use crate::coverage::follow;
use crate::world::bank::{Order, Verdict};
use crate::world::payments::Settlement;
use crate::world::{Answer, Call, Id, Reply, World};

#[derive(Debug, Clone)]
pub(crate) struct Drive {
    attempt: Id,
    step: Step,
    verdict: Option<Verdict>,
    /// What the client hears, once it is settled.
    pub(crate) answer: Option<Answer>,
}

impl Drive {
    /// Drives an attempt whose lease the caller has. `None` if there is none.
    pub(crate) fn new(world: &World, attempt: Id, manner: Manner) -> Option<Self> {
        let movement = world.payments.attempts.get(&attempt)?.movement;
        Some(Self { attempt, step: driving::first(movement, manner), verdict: None, answer: None })
    }

    /// Tells the order that a payment failed, as the worker does.
    pub(crate) fn tell_order(attempt: Id) -> Self {
        Self { attempt, step: Step::TellOrder, verdict: None, answer: None }
    }

    /// Takes one step; the last one, at the end.
    pub(crate) fn step(&mut self, world: &mut World) -> Option<Step> {
        let (id, now) = (self.attempt, world.now);
        let Some(attempt) = world.payments.attempts.get(&id).cloned() else { return Some(Step::Overtaken) };
        let key = attempt.provider_key;
        let heard = match self.step {
            Step::Call | Step::CallAgain | Step::CarryOut => {
                let payment = world.payments.payments.get(&attempt.payment);
                let for_order = payment.map_or(0, |payment| payment.order);
                let charge = payment.and_then(|payment| payment.charge);
                let again = world.flaws.repeats_under_a_new_key && self.step == Step::CallAgain;
                let order = Order {
                    key: if again { world.id() } else { key },
                    movement: attempt.movement,
                    amount: attempt.amount,
                    charge: charge.filter(|_| !attempt.movement.begins()),
                    good_card: attempt.good_card,
                    for_order,
                };
                self.hear(world.call(Call::Move(order)))
            }
            Step::Look | Step::LookAgain => self.hear(world.call(Call::Find { key })),
            Step::Abandon => self.hear(world.call(Call::Abandon { key })),
            Step::Settle => {
                let verdict = self.verdict?;
                let (heard, answer) =
                    world.commit((Heard::Silent, None), |world| match world.settle(id, verdict) {
                        Settlement::Overtaken => (Heard::No, None),
                        Settlement::Settled { answer, tell_order: true } => (Heard::Failed, Some(answer)),
                        Settlement::Settled { answer, .. } => (Heard::Done, Some(answer)),
                    });
                self.answer = answer;
                heard
            }
            Step::TellOrder => tell_order(world, attempt.payment),
            Step::LeaveToWorker => world.commit(Heard::Silent, |world| {
                world.payments.leave_attempt(id, now);
                Heard::Done
            }),
            end => return Some(end),
        };
        self.step = follow!(world, driving, self.step, heard);
        matches!(self.step, Step::Settled | Step::Overtaken | Step::Unanswered).then_some(self.step)
    }

    fn hear(&mut self, reply: Option<Reply>) -> Heard {
        match reply {
            Some(Reply::Verdict(verdict)) => {
                self.verdict = Some(verdict);
                Heard::Verdict
            }
            Some(_) => Heard::Nothing,
            None => Heard::Silent,
        }
    }
}

fn tell_order(world: &mut World, payment: Id) -> Heard {
    let order = world.payments.payments.get(&payment).map_or(0, |payment| payment.order);
    if world.call(Call::GiveUpPayment { order, payment }).is_none() {
        return Heard::Silent;
    }
    world.commit(Heard::Silent, |world| {
        if let Some(row) = world.payments.payments.get_mut(&payment) {
            row.release_due = false;
        }
        Heard::Done
    })
}
