//! One run: a seed chooses what is wanted and what goes wrong, step by step; then everything comes to rest without
//! further bad luck, and is checked.

use contracts::orders::OrderStatus;
use orders::domain::transitions::By;
use payments::domain::driving::Manner;

use crate::actors::drive::Drive;
use crate::actors::move_money::MoveMoney;
use crate::actors::pay::Pay;
use crate::actors::place::Place;
use crate::actors::reactivate::Reactivate;
use crate::actors::take_back::TakeBack;
use crate::actors::undo::{Undo, What};
use crate::actors::{Actor, Work};
use crate::check;
use crate::coverage::Coverage;
use crate::flaws::Flaws;
use crate::world::orders::Basket;
use crate::world::outbox::Outbox;
use crate::world::payments::{AttemptState, PayWish, Wish};
use crate::world::{Id, LEASE_MS, World};

/// Steps in which something may go wrong.
const WILD_STEPS: usize = 260;
/// Steps in which everything must have come to rest.
const CALM_STEPS: usize = 6_000;
/// Requests of a kind in one run.
const PLACEMENTS: usize = 4;
const PAYMENTS: usize = 5;
const MOVEMENTS: usize = 8;
/// Requests and workers at work at the same time.
const AT_ONCE: usize = 8;

/// A request that can be sent again under its key.
#[derive(Debug, Clone)]
enum Request {
    Place { key: Id, basket: Basket },
    Pay(PayWish),
    Move { key: Id, payment: Id, wish: Wish },
}

/// Something that a worker finds.
#[derive(Debug, Clone, Copy)]
enum Chore {
    StalePlacement(Id),
    StaleReactivation(Id, Id),
    Abandoned(Id),
    Overdue(Id),
    AttemptLeft(Id),
    IntentLeft(Id),
    ReleaseDue(Id),
    StaleKey(Id),
}

pub(crate) struct Run {
    pub(crate) world: World,
    actors: Vec<Actor>,
    requests: Vec<Request>,
    /// Of a hundred steps in which time may pass, in so many it does.
    hurry: usize,
    crashes: usize,
}

/// What came of a run.
pub(crate) struct Report {
    pub(crate) violation: Option<String>,
    pub(crate) coverage: Coverage,
    pub(crate) steps: usize,
    pub(crate) trace: Vec<String>,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, flaws: Flaws, traced: bool) -> Report {
    let mut world = World::new(seed, flaws, traced);
    let (hurry, crashes) = (2 + world.dice.below(50), world.dice.below(5));
    let mut run = Run { world, actors: Vec::new(), requests: Vec::new(), hurry, crashes };
    let mut steps = 0;
    while steps < WILD_STEPS && run.world.violation.is_none() {
        run.wild_step();
        steps += 1;
    }
    steps += run.come_to_rest();
    run.ask_again();
    steps += run.come_to_rest();
    if run.world.violation.is_none() {
        run.world.violation = check::at_rest(&run.world);
    }
    let World { violation, coverage, trace, .. } = run.world;
    Report { violation, coverage, steps, trace: trace.unwrap_or_default() }
}

impl Run {
    fn wild_step(&mut self) {
        self.world.now += 1;
        match self.world.dice.below(100) {
            0..=47 => self.step_somebody(),
            48..=56 => self.new_request(),
            57..=63 => self.repeat_a_request(),
            64..=65 => self.change_an_order(),
            66..=73 => self.do_a_chore(),
            74..=84 => self.deliver_an_event(),
            85..=89 => self.deliver_a_call(),
            90..=91 => self.deliver_an_old_event(),
            92..=93 => self.look_without_being_asked(),
            _ => {
                if self.world.dice.percent(self.hurry * 2) {
                    self.let_time_pass();
                }
                if self.world.dice.percent(self.crashes * 8) {
                    self.crash();
                }
            }
        }
        self.check();
    }

    fn check(&mut self) {
        if self.world.violation.is_none() {
            self.world.violation = check::always(&self.world);
        }
    }

    fn start(&mut self, work: Work) {
        let process = self.world.dice.below(2) + if work.is_of_payments() { 2 } else { 0 };
        if self.world.trace.is_some() {
            let said = format!("process {process} begins: {work:?}");
            self.world.say(|| said);
        }
        self.actors.push(Actor { process, work });
    }

    fn step_somebody(&mut self) {
        let index = self.world.dice.below(self.actors.len());
        let Some(actor) = self.actors.get_mut(index) else { return };
        if actor.work.step(&mut self.world) {
            self.actors.swap_remove(index);
        }
    }

    fn new_request(&mut self) {
        if self.actors.len() >= AT_ONCE {
            return;
        }
        let count = |is: fn(&Request) -> bool| self.requests.iter().filter(|request| is(request)).count();
        let placements = count(|request| matches!(request, Request::Place { .. }));
        let payments = count(|request| matches!(request, Request::Pay(_)));
        let movements = count(|request| matches!(request, Request::Move { .. }));
        let key = self.world.id();
        let orders = self.orders_to_pay();
        let paid = self.payments_to_move();
        let request = match self.world.dice.below(6) {
            0 | 1 if placements < PLACEMENTS => Request::Place { key, basket: self.basket() },
            0..=2 if payments < PAYMENTS => {
                let Some(order) = self.world.dice.pick(&orders) else { return };
                let (capture, good_card) = (self.world.dice.percent(60), self.world.dice.percent(80));
                Request::Pay(PayWish { key, order, capture, good_card })
            }
            3.. if movements < MOVEMENTS => {
                let Some(payment) = self.world.dice.pick(&paid) else { return };
                Request::Move { key, payment, wish: self.wish() }
            }
            _ => return,
        };
        self.requests.push(request.clone());
        self.send(request);
    }

    /// Mostly orders that can be paid, and sometimes any.
    fn orders_to_pay(&mut self) -> Vec<Id> {
        let any = self.world.dice.percent(20);
        let orders = self.world.orders.orders.iter();
        orders.filter(|(_, order)| any || order.status == OrderStatus::Pending).map(|(id, _)| *id).collect()
    }

    /// Mostly payments that hold or took money, and sometimes any.
    fn payments_to_move(&mut self) -> Vec<Id> {
        let any = self.world.dice.percent(20);
        let payments = self.world.payments.payments.iter();
        payments.filter(|(_, row)| any || row.balance.authorized_minor > 0).map(|(id, _)| *id).collect()
    }

    fn basket(&mut self) -> Basket {
        let dice = &mut self.world.dice;
        let skus = self.world.inventory.stock.len();
        let first = dice.below(skus);
        let mut lines = vec![(first, dice.between(1, 3))];
        if skus > 1 && dice.percent(40) {
            lines.push(((first + 1) % skus, dice.between(1, 2)));
        }
        let cart = dice.percent(50).then(|| Id::try_from(dice.below(2)).unwrap_or_default());
        let total = if dice.percent(5) { 0 } else { 100 };
        Basket { cart, lines, total }
    }

    fn wish(&mut self) -> Wish {
        let dice = &mut self.world.dice;
        let part = dice.percent(60).then(|| dice.between(1, 6) * 10);
        match dice.below(5) {
            0 => Wish::Capture(part),
            1 => Wish::Void,
            _ => Wish::Refund(part),
        }
    }

    fn send(&mut self, request: Request) {
        let work = match request {
            Request::Place { key, basket } => Work::Place(Place::new(key, basket)),
            Request::Pay(wish) => Work::Pay(Pay::new(wish)),
            Request::Move { key, payment, wish } => Work::Move(MoveMoney::new(key, payment, wish)),
        };
        self.start(work);
    }

    /// A client, or something between it and the shop, sends a request again, perhaps while the first is at work.
    fn repeat_a_request(&mut self) {
        // Clients repeat most often what has not been answered.
        let only_open = self.world.dice.percent(60);
        let repeated = self.requests.iter().filter(|request| !only_open || self.is_open(request));
        let repeated: Vec<Request> = repeated.cloned().collect();
        let index = self.world.dice.below(repeated.len());
        if self.actors.len() < AT_ONCE
            && let Some(request) = repeated.get(index).cloned()
        {
            self.send(request);
        }
    }

    fn is_open(&self, request: &Request) -> bool {
        let (keys, key) = match request {
            Request::Place { key, .. } => (&self.world.orders.keys, key),
            Request::Pay(PayWish { key, .. }) | Request::Move { key, .. } => (&self.world.payments.keys, key),
        };
        keys.rows.get(key).is_some_and(|row| row.outcome.is_none())
    }

    fn change_an_order(&mut self) {
        let orders: Vec<Id> = self.world.orders.orders.keys().copied().collect();
        let Some(order) = self.world.dice.pick(&orders) else { return };
        let Some(status) = self.world.orders.orders.get(&order).map(|order| order.status) else { return };
        let next = match status {
            OrderStatus::Confirmed => OrderStatus::Processing,
            OrderStatus::Processing => OrderStatus::Shipped,
            OrderStatus::Shipped => OrderStatus::Delivered,
            _ => OrderStatus::Cancelled,
        };
        let (to, by) = match self.world.dice.below(3) {
            0 if status == OrderStatus::Cancelled => {
                if self.actors.len() < AT_ONCE {
                    self.start(Work::Reactivate(Reactivate::new(order)));
                }
                return;
            }
            0 => (OrderStatus::Cancelled, By::OwnerByCancel),
            1 => (OrderStatus::Cancelled, By::Admin),
            _ => (next, By::Admin),
        };
        self.world.commit(false, |world| world.change_status(order, to, by));
    }

    fn chores(&self) -> Vec<Chore> {
        let (world, now) = (&self.world, self.world.now);
        let mut chores: Vec<Chore> =
            world.orders.keys.stale(now).into_iter().map(Chore::StalePlacement).collect();
        let stale = world.orders.stale_reactivations(now).into_iter();
        chores.extend(stale.map(|(order, reservation)| Chore::StaleReactivation(order, reservation)));
        chores.extend(world.orders.abandoned.iter().map(|id| Chore::Abandoned(*id)));
        chores.extend(world.orders.overdue(now).into_iter().map(Chore::Overdue));
        let attempts = world.payments.attempts.iter();
        let left = attempts.filter(|(_, row)| row.state == AttemptState::Open && row.lease_until <= now);
        chores.extend(left.map(|(id, _)| Chore::AttemptLeft(*id)));
        let intents = world.payments.intents.iter().filter(|(_, intent)| intent.lease_until <= now);
        chores.extend(intents.map(|(id, _)| Chore::IntentLeft(*id)));
        let due = world.payments.payments.iter().filter(|(_, payment)| payment.release_due);
        chores.extend(due.map(|(id, _)| Chore::ReleaseDue(*id)));
        let keys = world.payments.keys.stale(now).into_iter();
        chores.extend(keys.filter(|id| world.payments.key_is_alone(*id)).map(Chore::StaleKey));
        chores
    }

    fn do_a_chore(&mut self) {
        let chores = self.chores();
        if self.actors.len() < AT_ONCE
            && let Some(chore) = self.world.dice.pick(&chores)
            && let Some(work) = self.take_up(chore)
        {
            self.start(work);
        }
    }

    /// What a worker does at once, or an actor for what takes more steps.
    fn take_up(&mut self, chore: Chore) -> Option<Work> {
        let (now, world) = (self.world.now, &mut self.world);
        match chore {
            Chore::StalePlacement(id) => Some(Work::Undo(Undo::new(What::Placement, id))),
            Chore::StaleReactivation(order, id) => {
                Some(Work::Undo(Undo::new(What::Reactivation { order }, id)))
            }
            Chore::Abandoned(id) => Some(Work::Undo(Undo::listed(id))),
            Chore::Overdue(id) => {
                world.commit((), |world| world.expire(id));
                None
            }
            Chore::AttemptLeft(id) => {
                let leased = world.commit(false, |world| world.payments.lease_attempt(id, now));
                leased.then(|| Drive::new(world, id, Manner::Recovering).map(Work::Drive)).flatten()
            }
            Chore::IntentLeft(id) => {
                let order = world.commit(None, |world| world.claim_intent(id))?;
                Some(Work::TakeBack(TakeBack::claimed(id, order)))
            }
            Chore::ReleaseDue(payment) => {
                let first = world.payments.first_of(payment)?;
                Some(Work::Drive(Drive::tell_order(first)))
            }
            Chore::StaleKey(resource) => Some(Work::DropKey { resource, seen: None }),
        }
    }

    fn deliver_an_event(&mut self) {
        let of_orders = self.world.dice.percent(50);
        let heads = outbox(&mut self.world, of_orders).heads();
        let Some(index) = self.world.dice.pick(&heads) else { return };
        let Some(delivery) = outbox(&mut self.world, of_orders).waiting.get(index).copied() else { return };
        // The handler's transaction fails, or what it did is not confirmed: the event comes again.
        let handled = self.world.commit(false, |world| {
            world.handle(&delivery.event, delivery.to);
            true
        });
        if handled {
            outbox(&mut self.world, of_orders).acknowledge(index);
        }
    }

    /// A relay or broker delivers once more what was delivered and confirmed long ago.
    fn deliver_an_old_event(&mut self) {
        let of_orders = self.world.dice.percent(50);
        let old = outbox(&mut self.world, of_orders).delivered.clone();
        let index = self.world.dice.below(old.len());
        if let Some(delivery) = old.get(index) {
            self.world.handle(&delivery.event, delivery.to);
        }
    }

    fn deliver_a_call(&mut self) {
        if self.world.in_flight.is_empty() {
            return;
        }
        let index = self.world.dice.below(self.world.in_flight.len());
        let call = self.world.in_flight.swap_remove(index);
        self.world.say(|| "a call arrives late, or again".to_owned());
        self.world.perform(&call);
    }

    /// The provider's webhook.
    fn look_without_being_asked(&mut self) {
        let open = self.world.payments.attempts.iter().filter(|(_, row)| row.state == AttemptState::Open);
        let open: Vec<Id> = open.map(|(id, _)| *id).collect();
        if let Some(attempt) = self.world.dice.pick(&open) {
            self.start(Work::Look { attempt, verdict: None });
        }
    }

    fn let_time_pass(&mut self) {
        let passes = match self.world.dice.below(4) {
            0 => self.world.dice.between(1, LEASE_MS / 2),
            1 => self.world.dice.between(LEASE_MS, 10 * LEASE_MS),
            _ => LEASE_MS,
        };
        self.world.now += passes;
        self.world.say(|| format!("{passes} ms pass"));
    }

    /// A process dies, or all of them: what its actors knew is lost.
    fn crash(&mut self) {
        let process = self.world.dice.below(5);
        self.world.say(|| format!("process {process} dies (4 is all)"));
        self.actors.retain(|actor| process != 4 && actor.process != process);
    }

    /// No more bad luck: whoever is at work goes on, workers and relays do what is left. Returns the steps it took.
    fn come_to_rest(&mut self) -> usize {
        self.world.bad_luck = 0;
        self.world.say(|| "no more bad luck".to_owned());
        let (mut steps, mut idle) = (0, 0);
        // Time passes when there is nothing else to do: leases run out, and payment windows.
        while steps < CALM_STEPS && idle < 60 && self.world.violation.is_none() {
            steps += 1;
            self.world.now += 1;
            let waiting = self.world.orders.outbox.waiting.len() + self.world.payments.outbox.waiting.len();
            if !self.actors.is_empty() && self.world.dice.percent(60) {
                self.step_somebody();
            } else if waiting > 0 {
                self.deliver_an_event();
            } else if !self.world.in_flight.is_empty() {
                self.deliver_a_call();
            } else if !self.actors.is_empty() {
                self.step_somebody();
            } else if !self.chores().is_empty() {
                self.do_a_chore();
            } else {
                self.world.now += LEASE_MS;
                idle += 1;
                continue;
            }
            self.check();
        }
        if steps == CALM_STEPS {
            self.world.violate("it does not come to rest");
        }
        steps
    }

    /// Clients without an answer ask once more, and those with one, too.
    fn ask_again(&mut self) {
        for request in self.requests.clone() {
            self.send(request);
        }
    }
}

/// One of the two outboxes that somebody listens to.
fn outbox(world: &mut World, of_orders: bool) -> &mut Outbox {
    if of_orders { &mut world.orders.outbox } else { &mut world.payments.outbox }
}
