//! The rows of `orders`, under the rules of `orders::domain`.

use std::collections::{BTreeMap, BTreeSet};

use contracts::orders::{OrderStatus, PaymentStatus};
use kernel::PaymentId;
use orders::domain::payment::PaymentState;
use orders::domain::transitions::{self, By};
use uuid::Uuid;

use crate::flaws::Flaws;
use crate::world::keys::Keys;
use crate::world::outbox::{Event, Outbox, PaymentChange, PaymentEvent, What};
use crate::world::{Answer, Id, LEASE_MS, Lines, Reply, World};

/// How long a pending order waits to be paid, in milliseconds.
const PAYMENT_WINDOW_MS: i64 = 300_000;

#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The key that it was placed under.
    pub(crate) key: Id,
    pub(crate) cart: Option<Id>,
    pub(crate) lines: Lines,
    pub(crate) total: i64,
    pub(crate) status: OrderStatus,
    pub(crate) payment: PaymentState,
    pub(crate) payment_due_at: i64,
    pub(crate) reservation: Option<Id>,
    pub(crate) pending_reservation: Option<Id>,
    pub(crate) reactivating_since: i64,
}

/// What a client wants to buy.
#[derive(Debug, Clone)]
pub(crate) struct Basket {
    pub(crate) cart: Option<Id>,
    pub(crate) lines: Lines,
    pub(crate) total: i64,
}

#[derive(Debug, Default)]
pub(crate) struct OrdersDb {
    pub(crate) keys: Keys,
    pub(crate) orders: BTreeMap<Id, Order>,
    /// Reservations that are to be released.
    pub(crate) abandoned: BTreeSet<Id>,
    /// Payments that were refused or came to nothing: they never begin any more.
    pub(crate) given_up: BTreeSet<Id>,
    /// The events that were written into the timelines of orders.
    pub(crate) timeline: Vec<Id>,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: BTreeSet<Id>,
}

/// The id as the domain knows it.
pub(crate) fn payment_id(id: Id) -> PaymentId {
    PaymentId(Uuid::from_u128(u128::from(id)))
}

impl OrdersDb {
    pub(crate) fn cart_is_ordered(&self, cart: Option<Id>) -> bool {
        cart.is_some() && self.orders.values().any(|order| order.cart == cart)
    }

    pub(crate) fn begin_payment(&mut self, id: Id, payment: Id, flaws: Flaws) -> Reply {
        let Some(order) = self.orders.get_mut(&id) else { return Reply::Refused };
        if self.given_up.contains(&payment) && !flaws.forgets_given_up_payments {
            return Reply::Refused;
        }
        match order.payment.begin(order.status, payment_id(payment)) {
            Ok(next) => order.payment = next,
            Err(_) if flaws.lets_every_payment_begin && order.status != OrderStatus::Cancelled => {}
            Err(_) => {
                // What was refused stays refused: a twin of the call may come when the order could be paid.
                self.given_up.insert(payment);
                return Reply::Refused;
            }
        }
        Reply::Due(order.total)
    }

    pub(crate) fn give_up_payment(&mut self, id: Id, payment: Id) {
        let Some(order) = self.orders.get_mut(&id) else { return };
        self.given_up.insert(payment);
        if let Some(next) = order.payment.give_up(payment_id(payment)) {
            order.payment = next;
        }
    }

    /// Puts an open placement on the list of the abandoned. False if its key is not open.
    pub(crate) fn close_placement(&mut self, resource: Id, flaws: Flaws) -> bool {
        let closed = self.keys.withdraw(resource);
        if closed && !flaws.keeps_no_list_of_abandoned {
            self.abandoned.insert(resource);
        }
        closed
    }

    /// The same of a reactivation. False if the order does not wait for this reservation.
    pub(crate) fn close_reactivation(&mut self, id: Id, reservation: Id, flaws: Flaws) -> bool {
        let Some(order) = self.orders.get_mut(&id) else { return false };
        if order.pending_reservation != Some(reservation) {
            return false;
        }
        order.pending_reservation = None;
        if !flaws.keeps_no_list_of_abandoned {
            self.abandoned.insert(reservation);
        }
        true
    }

    /// Orders whose reactivation has not ended within a lease.
    pub(crate) fn stale_reactivations(&self, now: i64) -> Vec<(Id, Id)> {
        let stale = |order: &&Order| order.reactivating_since + LEASE_MS <= now;
        let pending = self.orders.iter().filter(|(_, order)| stale(order));
        pending.filter_map(|(id, order)| Some((*id, order.pending_reservation?))).collect()
    }

    /// Orders that nobody paid in time.
    pub(crate) fn overdue(&self, now: i64) -> Vec<Id> {
        let is_overdue = |order: &Order| {
            transitions::is_overdue(order.status, order.payment.status, Some(order.payment_due_at), now)
        };
        self.orders.iter().filter(|(_, order)| is_overdue(order)).map(|(id, _)| *id).collect()
    }
}

impl World {
    /// The transaction that writes an order. False, and nothing is written, if its cart has become another order or its
    /// key is not open any more.
    pub(crate) fn write_order(&mut self, key: Id, id: Id, basket: &Basket) -> bool {
        if self.orders.cart_is_ordered(basket.cart) {
            return false;
        }
        let fenced =
            !(self.flaws.writes_orders_without_their_key || self.flaws.answers_in_another_transaction);
        if fenced && !self.orders.keys.complete(id, Answer::Placed(id)) {
            return false;
        }
        if self.flaws.writes_orders_without_their_key {
            self.orders.keys.complete(id, Answer::Placed(id));
        }
        let status = OrderStatus::Pending;
        let order = Order {
            key,
            cart: basket.cart,
            lines: basket.lines.clone(),
            total: basket.total,
            status,
            payment: PaymentState::UNPAID,
            payment_due_at: self.now + PAYMENT_WINDOW_MS,
            reservation: transitions::holds_stock(status).then_some(id),
            pending_reservation: None,
            reactivating_since: 0,
        };
        self.orders.orders.insert(id, order);
        true
    }

    /// The one transaction of a change of status. False if the rules refuse it.
    pub(crate) fn change_status(&mut self, id: Id, to: OrderStatus, by: By) -> bool {
        let Some(order) = self.orders.orders.get_mut(&id) else { return false };
        let mut payment = order.payment.status;
        if self.flaws.cancels_what_is_being_paid && payment == PaymentStatus::InProgress {
            payment = PaymentStatus::Unpaid;
        }
        if transitions::check(order.status, to, payment, by).is_err() {
            return false;
        }
        let reservation = order.reservation;
        order.status = to;
        if !transitions::holds_stock(to) {
            order.reservation = None;
        }
        self.say(|| format!("   order {id} is {to:?} now"));
        self.emit_status(id, to, reservation);
        true
    }

    /// Writes the intent of a reactivation; its reservation id, or `None` if the rules refuse it.
    pub(crate) fn intend_reactivation(&mut self, id: Id) -> Option<Id> {
        let reservation = self.id();
        let now = self.now;
        let order = self.orders.orders.get_mut(&id)?;
        let may = transitions::check(order.status, OrderStatus::Pending, order.payment.status, By::Admin);
        if may.is_err() || order.pending_reservation.is_some() {
            return None;
        }
        order.pending_reservation = Some(reservation);
        order.reactivating_since = now;
        Some(reservation)
    }

    /// The order is pending under its new reservation. False if it does not wait for it any more.
    pub(crate) fn confirm_reactivation(&mut self, id: Id, reservation: Id) -> bool {
        let due_at = self.now + PAYMENT_WINDOW_MS;
        let Some(order) = self.orders.orders.get_mut(&id) else { return false };
        let may = transitions::check(order.status, OrderStatus::Pending, order.payment.status, By::Admin);
        if may.is_err() || order.pending_reservation != Some(reservation) {
            return false;
        }
        order.status = OrderStatus::Pending;
        order.reservation = Some(reservation);
        order.pending_reservation = None;
        order.payment_due_at = due_at;
        self.emit_status(id, OrderStatus::Pending, Some(reservation));
        true
    }

    /// Looks again and cancels an order whose time is up.
    pub(crate) fn expire(&mut self, id: Id) {
        if self.orders.overdue(self.now).contains(&id) {
            self.change_status(id, OrderStatus::Cancelled, By::Shop);
        }
    }

    /// A payment event reaches its order.
    pub(crate) fn on_payment(&mut self, payment: Id, change: PaymentChange) {
        let due_at = self.now + PAYMENT_WINDOW_MS;
        let holder = payment_id(payment);
        let Some(order) = self.orders.orders.get_mut(&change.order) else {
            return self.violate(format!("payment {payment} is of no order"));
        };
        let next = match change.kind {
            PaymentEvent::Authorized => order.payment.authorize(holder),
            PaymentEvent::Captured => order.payment.capture(holder),
            PaymentEvent::Voided => order.payment.void(holder),
            PaymentEvent::Failed => Some(order.payment.give_up(holder).unwrap_or(order.payment)),
            PaymentEvent::Refunded => order.payment.refund(holder, change.refunded, change.captured),
        };
        let Some(next) = next else { return };
        order.payment = next;
        if matches!(change.kind, PaymentEvent::Failed | PaymentEvent::Voided) {
            self.orders.given_up.insert(payment);
        }
        let Some(order) = self.orders.orders.get_mut(&change.order) else { return };
        if change.kind == PaymentEvent::Voided && order.status == OrderStatus::Pending {
            order.payment_due_at = due_at;
        }
        let (refunded, total, status) = (next.refunded_minor, order.total, order.status);
        self.say(|| format!("   order {} knows: {next:?}", change.order));
        if refunded > total {
            self.violate(format!("order {}: {refunded} refunded of {total}", change.order));
        }
        if change.kind == PaymentEvent::Captured && status == OrderStatus::Pending {
            self.change_status(change.order, OrderStatus::Confirmed, By::Shop);
        }
    }

    fn emit_status(&mut self, order: Id, to: OrderStatus, reservation: Option<Id>) {
        let what = What::StatusChanged { to, reservation };
        let event = Event { id: self.id(), subject: order, occurred_at: self.now, what };
        if !self.loses_an_event() {
            self.orders.outbox.emit(event);
        }
    }

    /// Whether the process dies between the commit and the sending, where events are not part of the commit.
    pub(crate) fn loses_an_event(&mut self) -> bool {
        self.flaws.sends_events_after_the_commit && self.dice.percent(self.bad_luck)
    }
}
