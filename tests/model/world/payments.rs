//! The rows of `payments`, under the rules of `payments::domain`.

use std::collections::{BTreeMap, BTreeSet};

use payments::domain::balance::Balance;
use payments::domain::entries::{Entry, entries};
use payments::domain::intent::{self, State};
use payments::domain::movement::Movement;
use payments::domain::status::Status;

use crate::world::bank::Verdict;
use crate::world::keys::Keys;
use crate::world::outbox::{Event, Outbox, PaymentChange, PaymentEvent, What};
use crate::world::{Answer, Id, LEASE_MS, World};

#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) order: Id,
    pub(crate) state: State,
    pub(crate) created_at: i64,
    pub(crate) lease_until: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) order: Id,
    pub(crate) balance: Balance,
    pub(crate) charge: Option<Id>,
    /// The order is to be told that it failed.
    pub(crate) release_due: bool,
    pub(crate) called_off: bool,
    pub(crate) created_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptState {
    Open,
    Succeeded,
    Failed,
}

#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) payment: Id,
    pub(crate) movement: Movement,
    pub(crate) amount: i64,
    pub(crate) provider_key: Id,
    pub(crate) good_card: bool,
    pub(crate) state: AttemptState,
    /// It gives back what a cancelled order had paid.
    pub(crate) undo: bool,
    pub(crate) lease_until: i64,
    /// The client's key that asked for it; for the checker.
    pub(crate) client_key: Option<Id>,
}

impl Attempt {
    /// The id that the client's key knows the movement by.
    pub(crate) fn resource(&self, id: Id) -> Id {
        if self.movement.begins() { self.payment } else { id }
    }
}

#[derive(Debug, Default)]
pub(crate) struct PaymentsDb {
    pub(crate) keys: Keys,
    pub(crate) intents: BTreeMap<Id, Intent>,
    pub(crate) payments: BTreeMap<Id, Payment>,
    pub(crate) attempts: BTreeMap<Id, Attempt>,
    pub(crate) ledger: Vec<(Id, Entry)>,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: BTreeSet<Id>,
}

/// What became of a wish to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remembered {
    Done,
    /// A twin of the request has made it a payment.
    Begun,
    /// It is being taken back, or its key is gone.
    Refused,
}

/// What became of a wish to turn an intent into a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    Attempt(Id),
    NotOurs,
    Second,
}

/// What an admin asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Capture(Option<i64>),
    Void,
    Refund(Option<i64>),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Attempt(Id),
    Begun(Id),
    Refused,
}

/// What became of settling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Overtaken,
    Settled { answer: Answer, tell_order: bool },
}

impl PaymentsDb {
    /// The attempt that began a payment.
    pub(crate) fn first_of(&self, payment: Id) -> Option<Id> {
        let first = |attempt: &Attempt| attempt.payment == payment && attempt.movement.begins();
        self.attempts.iter().find(|(_, attempt)| first(attempt)).map(|(id, _)| *id)
    }

    pub(crate) fn live_of(&self, order: Id) -> Option<Id> {
        let live = |payment: &Payment| payment.order == order && payment.balance.status.is_live();
        self.payments.iter().find(|(_, payment)| live(payment)).map(|(id, _)| *id)
    }

    fn hold_is_moving(&self, payment: Id) -> bool {
        self.attempts.values().any(|attempt| {
            attempt.payment == payment
                && attempt.state == AttemptState::Open
                && attempt.movement != Movement::Refund
        })
    }

    /// Goes on with an open intent. False if it is being taken back, or gone.
    pub(crate) fn resume_intent(&mut self, id: Id, lease_until: i64) -> bool {
        match self.intents.get_mut(&id) {
            Some(intent) if intent.state.may_go_on() => {
                intent.lease_until = lease_until;
                true
            }
            _ => false,
        }
    }

    /// Takes the lease of an open attempt that nobody is at work on.
    pub(crate) fn lease_attempt(&mut self, id: Id, now: i64) -> bool {
        match self.attempts.get_mut(&id) {
            Some(attempt) if attempt.state == AttemptState::Open && attempt.lease_until <= now => {
                attempt.lease_until = now + LEASE_MS;
                true
            }
            _ => false,
        }
    }

    /// Lets the lease of an attempt go.
    pub(crate) fn leave_attempt(&mut self, id: Id, now: i64) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.lease_until = now;
        }
    }

    /// Whether the open key of this resource stands for nothing but itself.
    pub(crate) fn key_is_alone(&self, resource: Id) -> bool {
        intent::key_is_alone(
            self.intents.contains_key(&resource),
            self.payments.contains_key(&resource),
            self.attempts.contains_key(&resource),
        )
    }
}

impl World {
    /// Writes down a wish to pay.
    pub(crate) fn remember_wish(&mut self, payment: Id, order: Id) -> Remembered {
        let (now, lease_until) = (self.now, self.now + LEASE_MS);
        if !self.payments.keys.is_open(payment) {
            return Remembered::Refused;
        }
        if self.payments.payments.contains_key(&payment) && !self.flaws.remembers_what_was_paid {
            return Remembered::Begun;
        }
        let new = Intent { order, state: State::Open, created_at: now, lease_until };
        let intent = self.payments.intents.entry(payment).or_insert(new);
        if !intent.state.may_go_on() {
            return Remembered::Refused;
        }
        intent.lease_until = lease_until;
        self.payments.keys.hold(payment, lease_until);
        Remembered::Done
    }

    /// The same of whoever has opened the key, if nothing has happened to it since. False otherwise; then nothing was written.
    pub(crate) fn remember_first_wish(&mut self, payment: Id, order: Id, opened: i64) -> bool {
        let lease_until = self.now + LEASE_MS;
        let is_untouched = self.payments.keys.lease_of(payment) == Some(opened);
        let may_go_on = self.payments.keys.is_open(payment) && self.flaws.remembers_under_any_lease;
        if self.payments.intents.contains_key(&payment) || !(is_untouched || may_go_on) {
            return false;
        }
        let new = Intent { order, state: State::Open, created_at: self.now, lease_until };
        self.payments.intents.insert(payment, new);
        self.payments.keys.hold(payment, lease_until)
    }

    /// Forgets an open intent with its key. False if it is not open.
    pub(crate) fn forget_wish(&mut self, payment: Id) -> bool {
        let open = self.payments.intents.get(&payment).is_some_and(|intent| intent.state.may_go_on());
        if open {
            self.payments.intents.remove(&payment);
            self.payments.keys.withdraw(payment);
        }
        open
    }

    /// Turns an open intent into a payment with its first attempt.
    pub(crate) fn open_payment(&mut self, id: Id, wish: &PayWish, due: i64) -> Opened {
        let intent = self.payments.intents.get(&id).cloned();
        let takes = |intent: &Intent| intent.state.may_go_on() || self.flaws.takes_every_intent;
        let Some(intent) = intent.filter(takes) else { return Opened::NotOurs };
        if self.payments.payments.contains_key(&id) {
            return Opened::Second;
        }
        if self.payments.live_of(intent.order).is_some() && !self.flaws.lets_every_payment_begin {
            return Opened::Second;
        }
        self.payments.intents.remove(&id);
        let payment = Payment {
            order: intent.order,
            balance: Balance::pending(due),
            charge: None,
            release_due: false,
            called_off: false,
            created_at: intent.created_at,
        };
        self.payments.payments.insert(id, payment);
        let attempt = self.id();
        let provider_key = self.id();
        let movement = if wish.capture { Movement::Charge } else { Movement::Authorize };
        let row = Attempt {
            payment: id,
            movement,
            amount: due,
            provider_key,
            good_card: wish.good_card,
            state: AttemptState::Open,
            undo: false,
            lease_until: self.now + LEASE_MS,
            client_key: Some(wish.key),
        };
        self.payments.attempts.insert(attempt, row);
        Opened::Attempt(attempt)
    }

    /// Writes the attempt that an admin asks for, or withdraws its key.
    pub(crate) fn open_movement(&mut self, key: Id, resource: Id, payment_id: Id, wish: Wish) -> Moved {
        if self.payments.attempts.contains_key(&resource) {
            return Moved::Begun(resource);
        }
        if !self.payments.keys.hold(resource, self.now + LEASE_MS) {
            return Moved::Refused;
        }
        match self.allow(payment_id, wish) {
            Some((movement, amount)) => {
                let provider_key = self.id();
                let attempt = Attempt {
                    payment: payment_id,
                    movement,
                    amount,
                    provider_key,
                    good_card: true,
                    state: AttemptState::Open,
                    undo: false,
                    lease_until: self.now + LEASE_MS,
                    client_key: Some(key),
                };
                self.payments.attempts.insert(resource, attempt);
                Moved::Attempt(resource)
            }
            None => {
                self.payments.keys.withdraw(resource);
                Moved::Refused
            }
        }
    }

    fn allow(&mut self, payment_id: Id, wish: Wish) -> Option<(Movement, i64)> {
        let moving = self.payments.hold_is_moving(payment_id);
        let payment = self.payments.payments.get_mut(&payment_id)?;
        match wish {
            Wish::Capture(asked) if !moving => {
                Some((Movement::Capture, payment.balance.may_capture(asked).ok()?))
            }
            Wish::Void if !moving => Some((Movement::Void, payment.balance.may_void().ok()?)),
            Wish::Refund(asked) => {
                let amount = payment.balance.may_refund(asked).ok()?;
                if !self.flaws.sets_no_refunds_aside {
                    payment.balance = payment.balance.set_aside(amount)?;
                }
                Some((Movement::Refund, amount))
            }
            _ => None,
        }
    }

    /// Writes what the provider said, once.
    pub(crate) fn settle(&mut self, id: Id, verdict: Verdict) -> Settlement {
        let Some(attempt) = self.payments.attempts.get(&id).cloned() else { return Settlement::Overtaken };
        if attempt.state != AttemptState::Open && !self.flaws.settles_twice {
            return Settlement::Overtaken;
        }
        let Some(mut payment) = self.payments.payments.get(&attempt.payment).cloned() else {
            return Settlement::Overtaken;
        };
        let done = match verdict {
            Verdict::Done { charge } => {
                payment.charge = Some(charge);
                true
            }
            Verdict::Declined | Verdict::Abandoned => false,
        };
        let (movement, amount) = (attempt.movement, attempt.amount);
        let mut before = payment.balance;
        if self.flaws.sets_no_refunds_aside && movement == Movement::Refund {
            before.refund_pending_minor = amount;
        }
        let next = if done { before.succeed(movement, amount) } else { before.fail(movement, amount) };
        let Ok(next) = next else {
            self.violate(format!(
                "the provider contradicts the books: {verdict:?} of {attempt:?}, {before:?}"
            ));
            return Settlement::Overtaken;
        };
        if done {
            let rows = entries(movement, amount, before.authorized_minor);
            self.payments.ledger.extend(rows.into_iter().map(|entry| (attempt.payment, entry)));
        }
        payment.balance = next;
        payment.release_due = next.status == Status::Failed;
        let (tell_order, called_off) = (payment.release_due, payment.called_off);
        self.payments.payments.insert(attempt.payment, payment);
        if let Some(row) = self.payments.attempts.get_mut(&id) {
            row.state = if done { AttemptState::Succeeded } else { AttemptState::Failed };
        }
        self.emit_money(attempt.payment, movement, done);
        if called_off && (done || !attempt.undo) {
            self.plan_to_give_back(attempt.payment);
        }
        let given_up = verdict == Verdict::Abandoned;
        let answer = Answer::Money { payment: attempt.payment, done, given_up };
        self.payments.keys.complete(attempt.resource(id), answer);
        self.say(|| format!("   settled attempt {id} ({movement:?} {amount}): {verdict:?}"));
        Settlement::Settled { answer, tell_order }
    }

    fn emit_money(&mut self, payment: Id, movement: Movement, done: bool) {
        let kind = match (movement, done) {
            (Movement::Authorize, true) => PaymentEvent::Authorized,
            (Movement::Charge | Movement::Capture, true) => PaymentEvent::Captured,
            (Movement::Void, true) => PaymentEvent::Voided,
            (Movement::Refund, true) => PaymentEvent::Refunded,
            (Movement::Authorize | Movement::Charge, false) => PaymentEvent::Failed,
            _ => return,
        };
        let id = self.id();
        let lost = self.loses_an_event();
        let Some(row) = self.payments.payments.get(&payment) else { return };
        let change = PaymentChange {
            order: row.order,
            captured: row.balance.captured_minor,
            refunded: row.balance.refunded_minor,
            kind,
        };
        if !lost {
            let what = What::Payment(change);
            self.payments.outbox.emit(Event { id, subject: payment, occurred_at: self.now, what });
        }
    }

    /// An order was cancelled at that time: its intents end, and what its payment holds or took goes back.
    pub(crate) fn call_off(&mut self, order: Id, cancelled_at: i64) {
        for intent in self.payments.intents.values_mut() {
            if intent.order == order && intent::is_called_off(intent.created_at, cancelled_at) {
                intent.state = State::Ending;
            }
        }
        let Some(live) = self.payments.live_of(order) else { return };
        let Some(payment) = self.payments.payments.get_mut(&live) else { return };
        if intent::is_called_off(payment.created_at, cancelled_at) {
            payment.called_off = true;
            self.plan_to_give_back(live);
        }
    }

    /// Writes the attempt that gives back what is due now; nobody is at work on it yet.
    fn plan_to_give_back(&mut self, payment_id: Id) {
        let moving = self.payments.hold_is_moving(payment_id);
        let Some(payment) = self.payments.payments.get_mut(&payment_id) else { return };
        let Some((movement, amount)) = payment.balance.to_give_back(moving) else { return };
        if movement == Movement::Refund && !self.flaws.sets_no_refunds_aside {
            let Some(set_aside) = payment.balance.set_aside(amount) else { return };
            payment.balance = set_aside;
        }
        let id = self.id();
        let provider_key = self.id();
        let attempt = Attempt {
            payment: payment_id,
            movement,
            amount,
            provider_key,
            good_card: true,
            state: AttemptState::Open,
            undo: true,
            lease_until: self.now,
            client_key: None,
        };
        self.payments.attempts.insert(id, attempt);
    }
}

/// What a client wants to pay, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PayWish {
    pub(crate) key: Id,
    pub(crate) order: Id,
    pub(crate) capture: bool,
    pub(crate) good_card: bool,
}

impl World {
    /// A worker marks an intent whose lease has run out, and takes the lease; its order, or `None` if it was quicker.
    pub(crate) fn claim_intent(&mut self, id: Id) -> Option<Id> {
        let now = self.now;
        let intent = self.payments.intents.get_mut(&id).filter(|intent| intent.lease_until <= now)?;
        intent.state = State::Ending;
        intent.lease_until = now + LEASE_MS;
        Some(intent.order)
    }
}
