//! Events on their way: in order per aggregate and subscriber, at least once, in any order across aggregates.

use contracts::orders::OrderStatus;

use crate::world::Id;

/// Who hears of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subscriber {
    Orders,
    Inventory,
    Payments,
}

/// What a payment event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaymentChange {
    pub(crate) order: Id,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) kind: PaymentEvent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentEvent {
    Authorized,
    Captured,
    Voided,
    Failed,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    StatusChanged { to: OrderStatus, reservation: Option<Id> },
    Payment(PaymentChange),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) id: Id,
    /// The order or payment that it is about.
    pub(crate) subject: Id,
    pub(crate) occurred_at: i64,
    pub(crate) what: What,
}

/// An event for one subscriber.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) event: Event,
    pub(crate) to: Subscriber,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Oldest first.
    pub(crate) waiting: Vec<Delivery>,
    /// What was delivered, and may come again.
    pub(crate) delivered: Vec<Delivery>,
}

impl Outbox {
    pub(crate) fn emit(&mut self, event: Event) {
        let subscribers: &[Subscriber] = match event.what {
            What::StatusChanged { .. } => &[Subscriber::Inventory, Subscriber::Payments],
            What::Payment(_) => &[Subscriber::Orders],
        };
        self.waiting.extend(subscribers.iter().map(|to| Delivery { event, to: *to }));
    }

    /// What may be delivered now: the oldest of each aggregate and subscriber.
    pub(crate) fn heads(&self) -> Vec<usize> {
        let is_head = |index: usize, delivery: &Delivery| {
            let mut before = self.waiting.iter().take(index);
            !before.any(|other| other.to == delivery.to && other.event.subject == delivery.event.subject)
        };
        let heads = self.waiting.iter().enumerate().filter(|(index, delivery)| is_head(*index, delivery));
        heads.map(|(index, _)| index).collect()
    }

    /// The subscriber has confirmed it.
    pub(crate) fn acknowledge(&mut self, index: usize) {
        let delivery = self.waiting.remove(index);
        self.delivered.push(delivery);
    }
}
