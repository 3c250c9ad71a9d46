//! The world in memory: what each module's database, the provider and the wire between them hold. Every method that
//! changes something is one transaction or one statement of the shop; nothing happens halfway within it.
//!
//! The rules in it are those that ship (`domain` of orders, inventory and payments); what stands here is only where
//! rows are kept and which of them a conditional statement changes.

pub(crate) mod bank;
pub(crate) mod inventory;
pub(crate) mod keys;
pub(crate) mod orders;
pub(crate) mod outbox;
pub(crate) mod payments;

use std::collections::BTreeMap;

use contracts::orders::OrderStatus;

use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::flaws::Flaws;
use bank::{Bank, Verdict};
use inventory::InventoryDb;
use orders::OrdersDb;
use outbox::{Event, Subscriber, What};
use payments::PaymentsDb;

pub(crate) type Id = u64;

/// A lease, in milliseconds: how long silence lasts before somebody is given up for dead.
pub(crate) const LEASE_MS: i64 = platform::lease::LEASE.as_secs().cast_signed() * 1_000;
/// The movement that one order line of so many pieces of a SKU asks for.
pub(crate) type Lines = Vec<(usize, i64)>;

/// What an answer to a client says, once and for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Placed(Id),
    Short,
    /// What came of a payment or of another movement of money.
    Money {
        payment: Id,
        done: bool,
        given_up: bool,
    },
}

/// A call between processes, or to the provider. It may arrive late, or twice.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Reserve { reservation: Id, order: Id, lines: Lines },
    Release { reservation: Id },
    BeginPayment { order: Id, payment: Id },
    GiveUpPayment { order: Id, payment: Id },
    Move(bank::Order),
    Find { key: Id },
    Abandon { key: Id },
}

/// What the other side answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    Refused,
    Short,
    Due(i64),
    Nothing,
    Verdict(Verdict),
}

/// What chance does to a statement or call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Fine,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is not done.
    NotDone,
    /// It is done later, when nobody waits for it any more.
    Late,
    /// It is done now, and again later.
    Twice,
}

pub(crate) struct World {
    pub(crate) now: i64,
    last_id: Id,
    pub(crate) dice: Dice,
    /// Of a hundred statements and calls, so many go wrong.
    pub(crate) bad_luck: usize,
    pub(crate) flaws: Flaws,
    pub(crate) orders: OrdersDb,
    pub(crate) inventory: InventoryDb,
    pub(crate) payments: PaymentsDb,
    pub(crate) bank: Bank,
    /// Calls on their way for which nobody waits.
    pub(crate) in_flight: Vec<Call>,
    /// What clients were told, by key.
    pub(crate) answers: BTreeMap<Id, Answer>,
    pub(crate) coverage: Coverage,
    /// The first thing that must not be.
    pub(crate) violation: Option<String>,
    /// Every step in words, if somebody wants to read them.
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, flaws: Flaws, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let skus = 1 + dice.below(2);
        let stock = (0..skus).map(|_| dice.between(1, 5)).collect();
        Self {
            now: 1_000_000,
            last_id: 0,
            bad_luck: [0, 6, 15, 30][dice.below(4)],
            dice,
            flaws,
            orders: OrdersDb::default(),
            inventory: InventoryDb::new(stock),
            payments: PaymentsDb::default(),
            bank: Bank::default(),
            in_flight: Vec::new(),
            answers: BTreeMap::new(),
            coverage: Coverage::default(),
            violation: None,
            trace: traced.then(Vec::new),
        }
    }

    /// A new id; never the same twice.
    pub(crate) fn id(&mut self) -> Id {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>8} {}", what()));
        }
    }

    pub(crate) fn violate(&mut self, what: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(what.into());
        }
    }

    /// A client hears an answer. It is the same whenever it hears one under this key.
    pub(crate) fn tell_client(&mut self, key: Id, answer: Answer) {
        if self.dice.percent(self.bad_luck) {
            return self.say(|| format!("   the answer to key {key} is lost"));
        }
        self.say(|| format!("   the client hears under key {key}: {answer:?}"));
        let before = *self.answers.entry(key).or_insert(answer);
        if before != answer {
            self.violate(format!("two answers under key {key}: {before:?} and then {answer:?}"));
        }
    }

    fn luck(&mut self, bad: &[Luck]) -> Luck {
        if self.bad_luck > 0 && self.dice.percent(self.bad_luck) {
            self.dice.pick(bad).unwrap_or(Luck::Fine)
        } else {
            Luck::Fine
        }
    }

    /// One transaction of the caller's own database. Its answer may be lost, or it may not happen; the caller cannot tell
    /// these apart and hears `silent`.
    pub(crate) fn commit<H>(&mut self, silent: H, work: impl FnOnce(&mut World) -> H) -> H {
        match self.luck(&[Luck::AnswerLost, Luck::NotDone]) {
            Luck::NotDone => silent,
            Luck::AnswerLost => {
                work(self);
                silent
            }
            _ => work(self),
        }
    }

    /// One call to another process. `None`: no answer, whatever happened.
    pub(crate) fn call(&mut self, call: Call) -> Option<Reply> {
        match self.luck(&[Luck::AnswerLost, Luck::NotDone, Luck::Late, Luck::Twice]) {
            Luck::Fine => Some(self.perform(&call)),
            Luck::AnswerLost => {
                self.perform(&call);
                None
            }
            Luck::NotDone => None,
            Luck::Late => {
                self.in_flight.push(call);
                None
            }
            Luck::Twice => {
                let reply = self.perform(&call);
                self.in_flight.push(call);
                Some(reply)
            }
        }
    }

    /// A call arrives.
    pub(crate) fn perform(&mut self, call: &Call) -> Reply {
        let reply = match call {
            Call::Reserve { reservation, order, lines } => {
                self.inventory.reserve(*reservation, *order, lines, self.flaws)
            }
            Call::Release { reservation } => self.inventory.release(*reservation, self.flaws),
            Call::BeginPayment { order, payment } => self.orders.begin_payment(*order, *payment, self.flaws),
            Call::GiveUpPayment { order, payment } => {
                self.orders.give_up_payment(*order, *payment);
                Reply::Done
            }
            Call::Move(order) => {
                let charge = self.id();
                Reply::Verdict(self.bank.operate(order, charge))
            }
            Call::Find { key } => self.bank.find(*key).map_or(Reply::Nothing, Reply::Verdict),
            Call::Abandon { key } => Reply::Verdict(self.bank.abandon(*key, self.flaws)),
        };
        self.say(|| format!("   {call:?} -> {reply:?}"));
        reply
    }

    /// A handler deals with an event, in one transaction with its inbox.
    pub(crate) fn handle(&mut self, event: &Event, subscriber: Subscriber) {
        let inbox = match subscriber {
            Subscriber::Orders => &mut self.orders.inbox,
            Subscriber::Inventory => &mut self.inventory.inbox,
            Subscriber::Payments => &mut self.payments.inbox,
        };
        if !inbox.insert(event.id) && !self.flaws.forgets_its_inbox {
            return self.say(|| format!("   {subscriber:?} knows event {} already", event.id));
        }
        self.say(|| format!("   {subscriber:?} handles {event:?}"));
        match (subscriber, event.what) {
            (Subscriber::Orders, What::Payment(change)) => {
                self.orders.timeline.push(event.id);
                self.on_payment(event.subject, change);
            }
            (Subscriber::Inventory, What::StatusChanged { to, reservation: Some(reservation), .. }) => {
                match to {
                    OrderStatus::Cancelled => {
                        let reply = self.inventory.release(reservation, self.flaws);
                        if reply == Reply::Refused {
                            self.violate(format!(
                                "order {} was cancelled after its pieces left",
                                event.subject
                            ));
                        }
                    }
                    OrderStatus::Shipped if !self.inventory.ship(reservation) => {
                        self.violate(format!("order {} was shipped without stock", event.subject));
                    }
                    _ => {}
                }
            }
            (Subscriber::Payments, What::StatusChanged { to: OrderStatus::Cancelled, .. }) => {
                self.call_off(event.subject, event.occurred_at);
            }
            _ => {}
        }
    }
}
