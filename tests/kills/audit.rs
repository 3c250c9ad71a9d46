//! Compares the shop with the ledger. A difference is named `lost` (acknowledged, and not there), `doubled` (there more
//! often than acknowledged) or `wrong`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use deployments::{Person, pence};
use futures_util::StreamExt;
use serde_json::Value;

use crate::client::{Client, Request};
use crate::dice::Dice;
use crate::errand::{Errand, Payment, Shipped, same};
use crate::plan::GOODS;

/// Errands that are looked at at the same time.
const AT_ONCE: usize = 8;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A letter that is left queued by a kill must be sent so soon: its lease runs out, and the sender looks every second.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// Of a hundred acknowledged requests so many are sent once more when the shop is quiet.
const ASKED_AGAIN_PERCENT: u64 = 5;

/// Whoever looks.
pub struct Auditor<'a> {
    pub client: &'a Client,
    pub customers: &'a [Person],
    pub admin: &'a Person,
}

/// Where an order must stand, after all that was acknowledged of it.
struct Expected {
    status: &'static str,
    payment_status: &'static str,
    refunded: i64,
    /// The entries of its timeline, sorted.
    timeline: Vec<String>,
    /// The letters about it, sorted: template and subject.
    letters: Vec<(&'static str, String)>,
}

impl Auditor<'_> {
    /// Every errand of a burst, until it is as it must be; what is not so at the deadline is a failure.
    pub async fn burst(&self, errands: &[Errand], deadline: Instant, seed: u64) -> Vec<String> {
        let looks = errands.iter().filter(|errand| errand.order.is_some()).map(|errand| async move {
            loop {
                match self.errand(errand).await {
                    Ok(()) => return None,
                    Err(failure) if Instant::now() >= deadline => {
                        return Some(format!("errand {}: {failure}; {:?}", errand.name, errand.plan));
                    }
                    Err(_) => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        });
        let looks: Vec<_> = looks.collect();
        let found = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE);
        let mut failures: Vec<String> = found.filter_map(|failure| async { failure }).collect().await;
        failures.extend(self.ask_again(errands, seed).await);
        failures
    }

    /// The order, its timeline and its payments.
    async fn errand(&self, errand: &Errand) -> Result<(), String> {
        let me = &self.customers[errand.customer].token;
        let id = errand.order_id();
        let expected = expect(errand);
        let order = self.read(me, &format!("/orders/{id}")).await?;
        check_order(errand, &expected, &order)?;
        let timeline = self.read(me, &format!("/orders/{id}/timeline")).await?;
        check_timeline(&expected, &timeline)?;
        let payments = self.read(me, &format!("/payments?order_id={id}&limit=100")).await?;
        check_payments(errand, payments["items"].as_array().map(Vec::as_slice).unwrap_or_default())
    }

    /// Some of what was acknowledged is sent once more: the answer must be the same, and nothing may come of it, which
    /// the next comparison sees.
    async fn ask_again(&self, errands: &[Errand], seed: u64) -> Vec<String> {
        let mut failures = Vec::new();
        let mut dice = Dice::of(seed, &[u64::MAX]);
        for (request, answer) in errands.iter().flat_map(|errand| &errand.answered) {
            if dice.chance(ASKED_AGAIN_PERCENT) {
                let again = self.client.ask(request).await;
                failures.extend(again.and_then(|again| same(request, answer, &again)).err());
            }
        }
        failures
    }

    /// Pieces of all goods: what came in, what was sent, what living orders hold. `came_in` is by SKU.
    pub async fn stock(&self, errands: &[Errand], came_in: &BTreeMap<&str, i64>) -> Vec<String> {
        let (mut sent, mut held) = (BTreeMap::<&str, i64>::new(), BTreeMap::<&str, i64>::new());
        for errand in errands.iter().filter(|errand| errand.order.is_some()) {
            let of = match expect(errand).status {
                "shipped" => &mut sent,
                "cancelled" => continue,
                _ => &mut held,
            };
            for (goods, quantity) in errand.plan.iter().flat_map(|plan| &plan.lines) {
                *of.entry(GOODS[*goods].sku).or_default() += quantity;
            }
        }
        let mut failures = Vec::new();
        for (sku, came_in) in came_in {
            let count = |of: &BTreeMap<&str, i64>| of.get(sku).copied().unwrap_or_default();
            let (on_hand, reserved) = (came_in - count(&sent), count(&held));
            let expected = [on_hand, reserved, on_hand - reserved];
            let level = match self.read(&self.admin.token, &format!("/inventory/{sku}")).await {
                Ok(level) => level,
                Err(failure) => return vec![failure],
            };
            let found = ["on_hand", "reserved", "available"].map(|field| level[field].as_i64().unwrap_or(-1));
            if found != expected {
                failures.push(format!(
                    "wrong: {sku} has on hand, reserved, available {found:?}; by what was acknowledged {expected:?}"
                ));
            }
        }
        failures
    }

    /// Everything of every customer: no order, payment or letter is missing, none is there that nobody was told of.
    pub async fn everything(&self, errands: &[Errand]) -> Vec<String> {
        let mut failures = Vec::new();
        for (who, person) in self.customers.iter().enumerate() {
            let theirs: Vec<&Errand> = errands.iter().filter(|errand| errand.customer == who).collect();
            if let Err(failure) = self.customer(person, &theirs).await {
                failures.push(format!("customer {who}: {failure}"));
            }
        }
        failures
    }

    async fn customer(&self, person: &Person, errands: &[&Errand]) -> Result<(), String> {
        let orders = self.all(&person.token, "/orders").await?;
        let acknowledged = errands.iter().filter(|errand| errand.order.is_some());
        let by_id: BTreeMap<&str, &Errand> =
            acknowledged.map(|errand| (errand.order_id(), *errand)).collect();
        compare("orders", by_id.keys().copied().collect(), ids(&orders))?;
        for order in &orders {
            if let Some(errand) = by_id.get(order["id"].as_str().unwrap_or_default()) {
                check_order(errand, &expect(errand), order)?;
            }
        }
        let payments = self.all(&person.token, "/payments").await?;
        let known = errands.iter().flat_map(|errand| &errand.payments).map(|payment| payment.id.as_str());
        compare("payments", known.collect(), ids(&payments))?;
        for errand in by_id.values() {
            let of_order = payments.iter().filter(|payment| payment["order_id"] == errand.order_id());
            check_payments(errand, &of_order.cloned().collect::<Vec<_>>())?;
        }
        let letters = self.letters(person).await?;
        let text = |letter: &Value, field: &str| letter[field].as_str().unwrap_or_default().to_owned();
        let found =
            letters.iter().map(|letter| format!("{}: {}", text(letter, "template"), text(letter, "subject")));
        let written = by_id.values().flat_map(|errand| expect(errand).letters);
        let written = written.chain([
            ("welcome", "Welcome".to_owned()),
            ("verify_email", "Confirm your email address".to_owned()),
        ]);
        let expected = written.map(|(template, subject)| format!("{template}: {subject}"));
        compare("letters", expected.collect(), found.collect())?;
        match letters.iter().find(|letter| letter["status"] != "sent") {
            Some(letter) => Err(format!("lost: a letter was never sent: {letter}")),
            None => Ok(()),
        }
    }

    async fn read(&self, token: &str, path: &str) -> Result<Value, String> {
        let answer = self.client.ask(&Request::get(token, path)).await?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("lost: GET {path}: {answer}")) }
    }

    /// What was written to somebody, when all of it was sent, or when there was time enough: letters leave beside the events.
    async fn letters(&self, person: &Person) -> Result<Vec<Value>, String> {
        let give_up_at = Instant::now() + SENT_WITHIN;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let letters = self.all(&person.token, "/notifications").await?;
            let is_sent = letters.iter().all(|letter| letter["status"] == "sent");
            if is_sent || Instant::now() > give_up_at {
                return Ok(letters);
            }
        }
    }

    /// Every item of a list, page by page.
    async fn all(&self, token: &str, path: &str) -> Result<Vec<Value>, String> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.read(token, &format!("{path}?limit=100{cursor}")).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }
}

/// What must have become of an acknowledged order.
fn expect(errand: &Errand) -> Expected {
    let live = errand.live();
    let captured = live.map_or(0, |payment| payment.captured);
    let asked_back = live.map_or(0, Payment::refunded);
    let refunded = if errand.cancelled { captured } else { asked_back };
    let status = match errand.shipped {
        Shipped::Sent => "shipped",
        Shipped::Packed => "processing",
        Shipped::Not if errand.cancelled => "cancelled",
        Shipped::Not if captured > 0 => "confirmed",
        Shipped::Not => "pending",
    };
    let is_held = live.is_some_and(|payment| payment.captured == 0 && !payment.voided) && !errand.cancelled;
    let payment_status = match () {
        () if captured > 0 && refunded == captured => "refunded",
        () if refunded > 0 => "partially_refunded",
        () if captured > 0 => "captured",
        () if is_held => "authorized",
        () => "unpaid",
    };
    let mut expected =
        Expected { status, payment_status, refunded, timeline: Vec::new(), letters: Vec::new() };
    tell(errand, &mut expected);
    expected.timeline.sort_unstable();
    expected
}

/// Writes down the story of the order, as its timeline and the letters tell it.
fn tell(errand: &Errand, expected: &mut Expected) {
    let number = errand.order.as_ref().and_then(|order| order["number"].as_str()).unwrap_or_default();
    let total = errand.plan.as_ref().map_or(0, |plan| plan.total());
    let Expected { timeline, letters, .. } = expected;
    timeline.push("created".to_owned());
    letters.push(("order_created", format!("We have your order {number}")));
    let mut before = "pending";
    let mut status = |to: &'static str, letter: Option<(&'static str, &str)>| {
        timeline.push(format!("status_changed {before} {to}"));
        before = to;
        if let Some((template, words)) = letter {
            letters.push((template, format!("Your order {number} {words}")));
        }
    };
    let live = errand.live();
    let captured = live.map_or(0, |payment| payment.captured);
    if captured > 0 && !errand.unconfirmed {
        status("confirmed", Some(("order_confirmed", "is confirmed")));
    }
    if errand.cancelled {
        status("cancelled", Some(("order_cancelled", "is cancelled")));
    }
    if errand.shipped != Shipped::Not {
        status("processing", None);
    }
    if errand.shipped == Shipped::Sent {
        status("shipped", Some(("order_shipped", "is on its way")));
    }
    for _declined in errand.payments.iter().filter(|payment| payment.declined) {
        timeline.push(format!("payment_failed {total}"));
    }
    let Some(payment) = live else { return };
    if payment.held_first {
        timeline.push(format!("payment_authorized {total}"));
    }
    if payment.voided || (errand.cancelled && captured == 0) {
        timeline.push(format!("payment_voided {total}"));
    }
    if captured > 0 {
        timeline.push(format!("payment_captured {captured}"));
        letters.push(("payment_captured", format!("We have received {}", pounds(captured))));
    }
    let rest = captured - payment.refunded();
    let of_cancelling = (errand.cancelled && rest > 0).then_some(rest);
    for refund in payment.refunds.iter().copied().chain(of_cancelling) {
        timeline.push(format!("payment_refunded {refund}"));
        letters.push(("payment_refunded", format!("We have refunded {}", pounds(refund))));
    }
}

fn check_order(errand: &Errand, expected: &Expected, order: &Value) -> Result<(), String> {
    let acknowledged = errand.order.as_ref().unwrap_or(&Value::Null);
    for field in ["id", "number", "user_id", "items", "total", "shipping_address", "created_at"] {
        if order[field] != acknowledged[field] {
            return Err(format!(
                "wrong: {field} of an order was acknowledged as {} and is {}",
                acknowledged[field], order[field]
            ));
        }
    }
    let plan = errand.plan.as_ref();
    let asked: BTreeSet<(&str, i64)> = plan
        .into_iter()
        .flat_map(|plan| &plan.lines)
        .map(|(goods, quantity)| (GOODS[*goods].sku, *quantity))
        .collect();
    let items = order["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let placed: BTreeSet<(&str, i64)> = items
        .iter()
        .map(|item| (item["sku"].as_str().unwrap_or_default(), item["quantity"].as_i64().unwrap_or_default()))
        .collect();
    let total = pence(plan.map_or(0, |plan| plan.total()));
    if (asked != placed) || items.len() != asked.len() || order["total"] != total {
        return Err(format!("wrong: an order of {asked:?} for {total} is {order}"));
    }
    let stands = (expected.status, expected.payment_status);
    let found = (order["status"].as_str(), order["payment_status"].as_str());
    if found != (Some(stands.0), Some(stands.1)) {
        return Err(format!("lost: an order is {found:?}, and should be {stands:?}"));
    }
    Ok(())
}

fn check_timeline(expected: &Expected, timeline: &Value) -> Result<(), String> {
    let events = timeline["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words = |event: &Value| {
        let kind = event["type"].as_str().unwrap_or_default();
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        match kind {
            "status_changed" => format!("{kind} {} {}", text("from"), text("to")),
            "created" => kind.to_owned(),
            _ => format!("{kind} {}", event["data"]["amount"]["amount"]),
        }
    };
    compare("timeline entries", expected.timeline.clone(), events.iter().map(words).collect())
}

fn check_payments(errand: &Errand, found: &[Value]) -> Result<(), String> {
    let refunded = expect(errand).refunded;
    let words = |id: &str, status: &str, captured: i64, refunded: i64| {
        format!("{id} {status}, {captured} taken, {refunded} given back")
    };
    let expected = errand.payments.iter().map(|payment| {
        if payment.declined {
            return words(&payment.id, "failed", 0, 0);
        }
        let status = match payment.captured {
            0 if payment.voided || errand.cancelled => "voided",
            0 => "authorized",
            captured if captured == refunded => "refunded",
            _ if refunded > 0 => "partially_refunded",
            _ => "captured",
        };
        words(&payment.id, status, payment.captured, refunded)
    });
    let found = found.iter().map(|payment| {
        let text = |field: &str| payment[field].as_str().unwrap_or_default();
        let amount = |field: &str| payment[field]["amount"].as_i64().unwrap_or(-1);
        words(text("id"), text("status"), amount("captured"), amount("refunded"))
    });
    compare("payments", expected.collect(), found.collect())
}

/// The same things, each as often.
fn compare<T: Ord + Clone + std::fmt::Debug>(
    what: &str,
    expected: Vec<T>,
    found: Vec<T>,
) -> Result<(), String> {
    let mut counts = BTreeMap::<T, i64>::new();
    for one in found {
        *counts.entry(one).or_default() += 1;
    }
    for one in expected {
        *counts.entry(one).or_default() -= 1;
    }
    let lost: Vec<&T> = counts.iter().filter(|(_, count)| **count < 0).map(|(one, _)| one).collect();
    let doubled: Vec<&T> = counts.iter().filter(|(_, count)| **count > 0).map(|(one, _)| one).collect();
    match (lost.is_empty(), doubled.is_empty()) {
        (true, true) => Ok(()),
        (false, true) => Err(format!("lost: {what} that should be there: {lost:?}")),
        (true, false) => Err(format!("doubled: {what} that should not be there: {doubled:?}")),
        (false, false) => Err(format!("wrong: {what} are {doubled:?} instead of {lost:?}")),
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap_or_default()).collect()
}

fn pounds(pence: i64) -> String {
    format!("{}.{:02} GBP", pence / 100, pence % 100)
}
