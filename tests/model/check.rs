//! What must be true: always, and when everything has come to rest.

use std::collections::BTreeMap;

use contracts::orders::{OrderStatus, PaymentStatus};
use inventory::domain::reservation::State;
use orders::domain::transitions;
use payments::domain::entries::{CREDIT, DEBIT, HELD, SHOP};
use payments::domain::movement::Movement;
use payments::domain::status::Status;

use crate::world::bank::Verdict;
use crate::world::orders::payment_id;
use crate::world::payments::AttemptState;
use crate::world::{Answer, Id, World};

/// Ends the check with a sentence if something is not so.
macro_rules! must {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Some(format!($($said)+));
        }
    };
}

/// What is true between any two steps.
pub(crate) fn always(world: &World) -> Option<String> {
    stock(world).or_else(|| orders(world)).or_else(|| money(world)).or_else(|| answers(world))
}

/// What is true besides when nobody is at work and nothing is on its way.
pub(crate) fn at_rest(world: &World) -> Option<String> {
    nothing_is_stuck(world)
        .or_else(|| stock_at_rest(world))
        .or_else(|| orders_at_rest(world))
        .or_else(|| books_at_rest(world))
}

fn stock(world: &World) -> Option<String> {
    let inventory = &world.inventory;
    let (mut held, mut shipped) = (vec![0; inventory.stock.len()], vec![0; inventory.stock.len()]);
    for reservation in inventory.reservations.values() {
        for (sku, pieces) in &reservation.lines {
            match reservation.state {
                State::Held => held[*sku] += pieces,
                State::Shipped => shipped[*sku] += pieces,
                State::Released => {}
            }
        }
    }
    for (sku, level) in inventory.stock.iter().enumerate() {
        must!(0 <= level.reserved && level.reserved <= level.on_hand, "SKU {sku} is oversold: {level:?}");
        must!(level.reserved == held[sku], "SKU {sku}: {level:?}, but reservations hold {}", held[sku]);
        must!(level.on_hand + shipped[sku] == inventory.opening[sku], "SKU {sku}: pieces are lost");
    }
    None
}

fn orders(world: &World) -> Option<String> {
    let mut by_key = BTreeMap::new();
    let mut by_cart = BTreeMap::new();
    for (id, order) in &world.orders.orders {
        let twin = by_key.insert(order.key, id);
        must!(twin.is_none(), "orders {twin:?} and {id} under one key");
        let twin = order.cart.and_then(|cart| by_cart.insert(cart, id));
        must!(twin.is_none(), "orders {twin:?} and {id} of one cart");
        let needs = transitions::holds_stock(order.status);
        must!(
            needs == order.reservation.is_some(),
            "order {id}, {:?}: {:?}",
            order.status,
            order.reservation
        );
        let being_paid = order.payment.status == PaymentStatus::InProgress;
        must!(
            !(being_paid && order.status == OrderStatus::Cancelled),
            "order {id} was cancelled while being paid"
        );
        if let Some(reservation) = order.reservation {
            let found = world.inventory.reservations.get(&reservation);
            let holds = found.is_some_and(|found| {
                found.state == State::Held && found.order == *id && found.lines == order.lines
            });
            must!(holds, "order {id} ({:?}) does not hold its stock: {found:?}", order.status);
        }
    }
    let mut noted = world.orders.timeline.clone();
    noted.sort_unstable();
    let twice = noted.windows(2).find(|two| two[0] == two[1]);
    must!(twice.is_none(), "an event was noted twice: {twice:?}");
    None
}

fn money(world: &World) -> Option<String> {
    let mut at_work: BTreeMap<Id, i64> = BTreeMap::new();
    for (id, charge) in &world.bank.charges {
        let keeps = charge.held + charge.taken - charge.returned;
        must!(charge.returned <= charge.taken, "charge {id}: more returned than taken, {charge:?}");
        if keeps > 0 {
            let count = at_work.entry(charge.for_order).or_default();
            *count += 1;
            must!(*count == 1, "order {} was charged twice", charge.for_order);
            let total = world.orders.orders.get(&charge.for_order).map_or(0, |order| order.total);
            must!(keeps <= total, "order {} pays {keeps} of {total}", charge.for_order);
        }
    }
    let mut live: BTreeMap<Id, Id> = BTreeMap::new();
    for (id, payment) in &world.payments.payments {
        let balance = payment.balance;
        let (captured, refunded) = (balance.captured_minor, balance.refunded_minor);
        let nested = 0 <= refunded && refunded <= captured && captured <= balance.authorized_minor;
        must!(nested && balance.authorized_minor <= balance.amount_minor, "payment {id}: {balance:?}");
        must!(refunded + balance.refund_pending_minor <= captured, "payment {id}: {balance:?}");
        let open = world.payments.attempts.values().filter(|attempt| {
            attempt.payment == *id
                && attempt.state == AttemptState::Open
                && attempt.movement == Movement::Refund
        });
        let asked: i64 = open.map(|attempt| attempt.amount).sum();
        must!(
            asked == balance.refund_pending_minor,
            "payment {id}: refunds under way ask for {asked}, {balance:?}"
        );
        let holds = world.payments.attempts.values().filter(|attempt| {
            attempt.payment == *id
                && attempt.state == AttemptState::Open
                && attempt.movement != Movement::Refund
        });
        must!(holds.count() <= 1, "payment {id}: two movements of its hold are under way");
        if balance.status.is_live() {
            let twin = live.insert(payment.order, *id);
            must!(twin.is_none(), "order {} has two live payments, {twin:?} and {id}", payment.order);
        }
    }
    let mut moved: BTreeMap<Id, Id> = BTreeMap::new();
    for (id, attempt) in &world.payments.attempts {
        let is_open = attempt.state == AttemptState::Open && attempt.client_key.is_some();
        let resource = attempt.resource(*id);
        must!(!is_open || world.payments.keys.is_open(resource), "attempt {id} is open, and its key is not");
        let counts = attempt.state == AttemptState::Succeeded;
        if let Some(key) = attempt.client_key.filter(|_| counts) {
            let twin = moved.insert(key, *id);
            must!(twin.is_none(), "attempts {twin:?} and {id} moved money under one key");
        }
    }
    None
}

fn answers(world: &World) -> Option<String> {
    for (key, answer) in &world.answers {
        match answer {
            Answer::Placed(id) => {
                let order = world.orders.orders.get(id);
                must!(order.is_some_and(|order| order.key == *key), "the acknowledged order {id} is lost");
            }
            Answer::Money { payment, done, .. } => {
                must!(
                    world.payments.payments.contains_key(payment),
                    "the acknowledged payment {payment} is lost"
                );
                let moved = world.payments.attempts.values().any(|attempt| {
                    attempt.client_key == Some(*key) && attempt.state == AttemptState::Succeeded
                });
                must!(moved == *done, "key {key} was told {answer:?}, and the books say otherwise");
            }
            Answer::Short => {
                let placed = world.orders.orders.values().any(|order| order.key == *key);
                must!(!placed, "an order under key {key}, which was told that there is no stock");
            }
        }
    }
    None
}

fn nothing_is_stuck(world: &World) -> Option<String> {
    let (orders, payments) = (&world.orders, &world.payments);
    must!(orders.outbox.waiting.is_empty(), "an event of orders is stuck: {:?}", orders.outbox.waiting);
    must!(payments.outbox.waiting.is_empty(), "an event of payments is stuck: {:?}", payments.outbox.waiting);
    must!(orders.abandoned.is_empty(), "stock is not given back: {:?}", orders.abandoned);
    for rows in [&orders.keys.rows, &payments.keys.rows] {
        let open = rows.iter().find(|(_, row)| row.outcome.is_none());
        must!(open.is_none(), "a key is stuck: {open:?}");
    }
    must!(payments.intents.is_empty(), "an intent is stuck: {:?}", payments.intents);
    let open = payments.attempts.iter().find(|(_, row)| row.state == AttemptState::Open);
    must!(open.is_none(), "an attempt is stuck: {open:?}");
    for (id, order) in &orders.orders {
        must!(order.payment.status != PaymentStatus::InProgress, "order {id} is stuck: {:?}", order.payment);
        must!(order.pending_reservation.is_none(), "the reactivation of order {id} is stuck");
    }
    for (id, payment) in &payments.payments {
        must!(!payment.release_due, "payment {id} failed, and its order does not know");
    }
    None
}

fn stock_at_rest(world: &World) -> Option<String> {
    for (id, reservation) in &world.inventory.reservations {
        if reservation.state == State::Held {
            let order = world.orders.orders.get(&reservation.order);
            let is_its = order.is_some_and(|order| order.reservation == Some(*id));
            must!(is_its, "reservation {id} is held for nothing: {reservation:?}");
        }
    }
    None
}

fn orders_at_rest(world: &World) -> Option<String> {
    for (id, order) in &world.orders.orders {
        let kept = |of: fn(&crate::world::bank::Charge) -> i64| {
            world.bank.charges.values().filter(|charge| charge.for_order == *id).map(of).sum::<i64>()
        };
        let (held, taken) = (kept(|charge| charge.held), kept(|charge| charge.taken - charge.returned));
        let was_taken = kept(|charge| charge.taken) > 0;
        match order.status {
            OrderStatus::Cancelled => {
                must!(held + taken == 0, "order {id} is cancelled and keeps {}", held + taken);
            }
            OrderStatus::Pending => must!(!was_taken, "order {id} is paid and not confirmed"),
            _ => must!(was_taken, "order {id} is {:?} and was never paid", order.status),
        }
        let knows = order.payment.status;
        let live = world.payments.live_of(*id).and_then(|id| Some((id, world.payments.payments.get(&id)?)));
        let expected = match live.map(|(_, payment)| payment.balance.status) {
            Some(Status::Authorized) => vec![PaymentStatus::Authorized],
            Some(Status::Captured) => vec![PaymentStatus::Captured],
            Some(Status::PartiallyRefunded) => vec![PaymentStatus::PartiallyRefunded],
            _ => vec![PaymentStatus::Unpaid, PaymentStatus::Refunded],
        };
        must!(expected.contains(&knows), "order {id} takes its payment for {knows:?}: {live:?}");
        if let Some((payment, _)) = live {
            must!(order.payment.payment_id == Some(payment_id(payment)), "order {id} knows another payment");
        }
        if was_taken && order.status == OrderStatus::Shipped {
            let shipped = world.inventory.reservations.values();
            let mut of_it = shipped.filter(|found| found.order == *id && found.state == State::Shipped);
            must!(of_it.next().is_some(), "order {id} is shipped and its pieces are not");
        }
    }
    None
}

fn books_at_rest(world: &World) -> Option<String> {
    let (payments, bank) = (&world.payments, &world.bank);
    for (key, operation) in &bank.operations {
        if let (Some(movement), Verdict::Done { .. }) = (operation.movement, operation.verdict) {
            let known = payments.attempts.values().find(|attempt| attempt.provider_key == *key);
            let agrees = known.is_some_and(|attempt| {
                attempt.state == AttemptState::Succeeded
                    && attempt.movement == movement
                    && attempt.amount == operation.amount
            });
            must!(agrees, "the provider did {movement:?} under key {key}, the shop says {known:?}");
        }
    }
    for (id, attempt) in &payments.attempts {
        let done = matches!(
            bank.operations.get(&attempt.provider_key).map(|operation| operation.verdict),
            Some(Verdict::Done { .. })
        );
        must!(done == (attempt.state == AttemptState::Succeeded), "attempt {id}, the provider says {done}");
    }
    for (id, payment) in &payments.payments {
        let sum = |account: &str, side: &str| {
            let of_it = payments
                .ledger
                .iter()
                .filter(|(of, entry)| of == id && entry.account == account && entry.side == side);
            of_it.map(|(_, entry)| entry.amount_minor).sum::<i64>()
        };
        let (balance, captured) = (payment.balance, sum(SHOP, DEBIT));
        must!(captured == balance.captured_minor, "payment {id}: the ledger captured {captured}");
        must!(sum(SHOP, CREDIT) == balance.refunded_minor, "payment {id}: the ledger refunded otherwise");
        let held = sum(HELD, DEBIT) - sum(HELD, CREDIT);
        let holds = if balance.status == Status::Authorized { balance.authorized_minor } else { 0 };
        must!(held == holds, "payment {id}: the ledger holds {held} of {holds}");
        let order = world.orders.orders.get(&payment.order);
        let is_cancelled = order.is_some_and(|order| order.status == OrderStatus::Cancelled);
        let was_taken_back = payment.called_off && balance.captured_minor > 0;
        must!(
            !was_taken_back || is_cancelled,
            "payment {id} was given back, and its order was not cancelled"
        );
        must!(balance.refund_pending_minor == 0, "payment {id}: a refund is set aside for nothing");
        if let Some(charge) = payment.charge.and_then(|charge| bank.charges.get(&charge)) {
            let theirs = (charge.taken, charge.returned);
            must!(
                theirs == (balance.captured_minor, balance.refunded_minor),
                "payment {id}: {charge:?}, {balance:?}"
            );
        }
    }
    None
}
