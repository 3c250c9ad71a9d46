//! An order that is called off, paid, expired, shipped or taken up again by two at once has one of these ends, never both.

use std::collections::HashMap;
use std::time::Instant;

use deployments::{Person, path_of};
use serde_json::Value;

use crate::duel::{First, after, repeat};
use crate::grounds::{Books, Ground, times};
use crate::record::{Record, named};

const PRICE: i64 = 1_250;
/// Duels at once.
const AT_ONCE: usize = 24;
/// Each order of the race against its expiry lives a second, so more of them live at once.
const WAITING_AT_ONCE: usize = 64;
/// The payment window of the impatient shop.
const WINDOW_MS: f64 = 1_000.0;

/// How an order must look when everything has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Never paid, and called off.
    Cancelled,
    /// Paid, and to be sent.
    Paid,
    /// Paid, then called off, and all of the money given back.
    PaidBack,
    /// Sent without having been paid through the shop.
    Shipped,
    /// Sent and paid.
    ShippedPaid,
}

impl End {
    /// Why an order does not look so.
    fn differs(self, books: &Books) -> Option<String> {
        let found = (books.status.as_str(), books.payment_status.as_str(), books.captured, books.refunded);
        let expected = match self {
            End::Cancelled => ("cancelled", "unpaid", 0, 0),
            End::Paid => ("confirmed", "captured", PRICE, 0),
            End::PaidBack => ("cancelled", "refunded", PRICE, PRICE),
            End::Shipped => ("shipped", "unpaid", 0, 0),
            End::ShippedPaid => ("shipped", "captured", PRICE, 0),
        };
        (found != expected).then(|| format!("{self:?} expected, found {books:?}"))
    }

    /// Whether it holds a piece in the house; and whether the piece has left.
    fn holds(self) -> bool {
        self == End::Paid
    }

    fn has_left(self) -> bool {
        matches!(self, End::Shipped | End::ShippedPaid)
    }
}

/// The orders of a race, with the end that the answers promised each.
struct Promised {
    sku: &'static str,
    /// Pieces in the house before the race.
    before: i64,
    buyers: Vec<Person>,
    ends: Vec<(Value, End)>,
}

impl Promised {
    /// Stock, orders and money must come to agree with the answers; what does not.
    async fn check(&self, ground: &Ground, record: &mut Record) {
        let wrong = ground.until(async || self.look(ground).await).await;
        record.violations.extend(wrong);
    }

    async fn look(&self, ground: &Ground) -> Vec<String> {
        let books = ground.books(&self.buyers).await;
        let mut wrong: Vec<String> = self.ends.iter().filter_map(|end| differs(&books, end)).collect();
        if books.len() != self.ends.len() {
            wrong.push(format!("{} orders were placed and {} are listed", self.ends.len(), books.len()));
        }
        let count = |of: fn(End) -> bool| self.ends.iter().filter(|(_, end)| of(*end)).count() as i64;
        let expected = (self.before - count(End::has_left), count(End::holds));
        let found = ground.stock(self.sku).await;
        if found != expected {
            wrong.push(format!("(on hand, reserved) of {} is {found:?}, not {expected:?}", self.sku));
        }
        wrong
    }
}

fn differs(books: &HashMap<String, Books>, (order, end): &(Value, End)) -> Option<String> {
    let id = order["id"].as_str().unwrap_or_default();
    match books.get(id) {
        Some(found) => end.differs(found).map(|why| format!("order {id}: {why}")),
        None => Some(format!("order {id} was acknowledged and is lost")),
    }
}

pub async fn pay_against_cancel(ground: &Ground) -> Record {
    const SKU: &str = "PAY-CANCEL";
    let (times, starts, late) = (times(1_000), ground.starts(), ground.starts());
    let before = times as i64;
    ground.shop.offer(&ground.admin, SKU, PRICE, before).await;
    let buyers = ground.customers(8).await;
    let duels = repeat(times, AT_ONCE, async |n| {
        let buyer = &buyers[n % buyers.len()];
        let order = ground.ordered(buyer, &format!("order-{n}"), SKU).await;
        let key = format!("pay-{n}");
        let (pay, cancel) = (ground.pay(buyer, &key, &order).send(), ground.cancel(buyer, &order).send());
        // Some go against the event of the payment, which the order may or may not have heard, and some come after it.
        let is_late = n % 16 == 7;
        let (paid, cancelled) = match n % 16 {
            7 => (pay.await, after(late.lead_ms(n), cancel).await),
            15 => {
                let paid = pay.await;
                ground.until_order(buyer, &order, |order| order["status"] == "confirmed").await;
                (paid, cancel.await)
            }
            _ => starts.duel(n, pay, cancel).await,
        };
        let answers = (named(&paid), named(&cancelled));
        let end = match (answers.0.as_str(), answers.1.as_str()) {
            ("201", "409 payment_in_progress") if is_late => Ok(("just paid, cancel refused", End::Paid)),
            ("201", "409 payment_in_progress") => Ok(("paid, cancel refused", End::Paid)),
            ("201", "200") => Ok(("paid, then cancelled", End::PaidBack)),
            ("409 order_not_payable", "200") => Ok(("cancelled, payment refused", End::Cancelled)),
            _ => Err(format!(
                "pay was answered {}, cancel {}: {}{}",
                answers.0, answers.1, paid.text, cancelled.text
            )),
        };
        match n % 16 {
            7 => late.learn(if cancelled.status == 200 { First::Left } else { First::Right }),
            15 => {}
            _ => starts.learn(if paid.status == 201 { First::Left } else { First::Right }),
        }
        (order, end)
    })
    .await;
    let mut record = settle(ground, SKU, before, buyers, duels).await;
    record.must_both_occur("paid, cancel refused", "cancelled, payment refused");
    record.must_both_occur("paid, then cancelled", "paid, then cancelled");
    record
}

pub async fn pay_against_expiry(ground: &Ground) -> Record {
    const SKU: &str = "PAY-EXPIRY";
    let (times, starts) = (times(1_000), ground.starts());
    let before = times as i64;
    ground.shop.offer(&ground.admin, SKU, PRICE, before).await;
    let buyers = ground.customers(8).await;
    let duels = repeat(times, WAITING_AT_ONCE, async |n| {
        let buyer = &buyers[n % buyers.len()];
        let order = ground.ordered(buyer, &format!("order-{n}"), SKU).await;
        let placed = Instant::now();
        // The shop is the right side: when it starts is its own affair, so only the left one is moved.
        let wait_ms = WINDOW_MS - starts.lead_ms(n) - placed.elapsed().as_secs_f64() * 1_000.0;
        let paid = after(wait_ms, ground.pay(buyer, &format!("pay-{n}"), &order).send()).await;
        let end = match named(&paid).as_str() {
            "201" => Ok(("paid in time", End::Paid)),
            "409 order_not_payable" => Ok(("expired, payment refused", End::Cancelled)),
            other => Err(format!("pay was answered {other}: {}", paid.text)),
        };
        starts.learn(if paid.status == 201 { First::Left } else { First::Right });
        (order, end)
    })
    .await;
    let mut record = settle(ground, SKU, before, buyers, duels).await;
    record.must_both_occur("paid in time", "expired, payment refused");
    record
}

/// The administrator sends an order off and calls it off. Every fourth has been paid.
pub async fn cancel_against_ship(ground: &Ground) -> Record {
    const SKU: &str = "CANCEL-SHIP";
    let (times, starts) = (times(1_000), ground.starts());
    let before = times as i64;
    ground.shop.offer(&ground.admin, SKU, PRICE, before).await;
    let buyers = ground.customers(8).await;
    let duels = repeat(times, AT_ONCE, async |n| {
        let buyer = &buyers[n % buyers.len()];
        let (key, is_paid) = (format!("order-{n}"), n.is_multiple_of(4));
        let order = match is_paid {
            true => ground.paid(buyer, &key, SKU).await.0,
            false => ground.ordered(buyer, &key, SKU).await,
        };
        ground.set_status(&order, "processing").send().await.expect(200);
        let cancel = ground.cancel(&ground.admin, &order).send();
        let (cancelled, shipped) = starts.duel(n, cancel, ground.set_status(&order, "shipped").send()).await;
        let answers = (named(&cancelled), named(&shipped));
        let end = match (answers.0.as_str(), answers.1.as_str(), is_paid) {
            ("200", "409 invalid_transition", true) => Ok(("cancelled", End::PaidBack)),
            ("200", "409 invalid_transition", false) => Ok(("cancelled", End::Cancelled)),
            ("409 invalid_transition", "200", true) => Ok(("shipped", End::ShippedPaid)),
            ("409 invalid_transition", "200", false) => Ok(("shipped", End::Shipped)),
            _ => Err(format!("cancel was answered {}, ship {}", answers.0, answers.1)),
        };
        starts.learn(if cancelled.status == 200 { First::Left } else { First::Right });
        (order, end)
    })
    .await;
    let mut record = settle(ground, SKU, before, buyers, duels).await;
    record.must_both_occur("cancelled", "shipped");
    record
}

/// An order, and how the answers say it ended; or what was answered that must not be.
type Ended = (Value, Result<(&'static str, End), String>);

/// Counts the ends and compares them with the books.
async fn settle(
    ground: &Ground,
    sku: &'static str,
    before: i64,
    buyers: Vec<Person>,
    duels: Vec<Ended>,
) -> Record {
    let mut record = Record::of(duels.len());
    let mut promised = Promised { sku, before, buyers, ends: Vec::new() };
    for (order, end) in duels {
        match end {
            Ok((name, end)) => {
                record.ended(name);
                promised.ends.push((order, end));
            }
            Err(what) => record.violated(format!("order {}: {what}", order["id"])),
        }
    }
    // What was answered wrongly has no end to be compared with.
    if record.violations.is_empty() {
        promised.check(ground, &mut record).await;
    }
    record
}

/// Of two who take a cancelled order up again one does, and takes its piece once.
pub async fn reactivate_against_reactivate(ground: &Ground) -> Record {
    const SKU: &str = "AGAIN-AGAIN";
    let (times, starts) = (times(200), ground.starts());
    // A piece that was called off comes back by an event, so that an order may need another one for a moment.
    let before = 2 * times as i64;
    ground.shop.offer(&ground.admin, SKU, PRICE, before).await;
    let buyer = ground.customer("ada").await;
    let mut record = Record::of(times);
    let duels = repeat(times, AT_ONCE, async |n| {
        let order = ground.ordered(&buyer, &format!("order-{n}"), SKU).await;
        ground.cancel(&buyer, &order).send().await.expect(200);
        let again = || ground.set_status(&order, "pending").send();
        let (left, right) = starts.duel(n, again(), again()).await;
        let first = if left.status == 200 { First::Left } else { First::Right };
        starts.learn(first);
        (order, first, named(&left), named(&right))
    })
    .await;
    for (order, first, left, right) in &duels {
        let (taken, refused) = if *first == First::Left { (left, right) } else { (right, left) };
        record.ended(if *first == First::Left { "left" } else { "right" });
        let late = ["409 invalid_transition", "409 reactivation_in_progress"].contains(&refused.as_str());
        record.must(taken == "200" && late, || format!("{}: {left} and {right}", path_of("/orders", order)));
    }
    let wrong = ground.until(async || {
        let found = ground.stock(SKU).await;
        let as_it_must = found == (before, times as i64);
        if as_it_must {
            Vec::new()
        } else {
            vec![format!("(on hand, reserved) is {found:?}, of {times} orders of {before} pieces")]
        }
    });
    record.violations.extend(wrong.await);
    record.must_both_occur("left", "right");
    record
}
