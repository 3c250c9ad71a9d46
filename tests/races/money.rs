//! Whatever is asked of one payment at once, no money moves twice and none beyond what was taken.

use deployments::{Person, path_of, pence, tally};
use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::Response;

use crate::duel::{First, repeat};
use crate::grounds::{Books, Ground, times};
use crate::record::{Record, named};

const PRICE: i64 = 1_000;
/// Sixty per cent: two of them are more than was taken.
const MOST: i64 = 600;
/// Requests of a crowd.
const CROWD: usize = 100;
/// Duels at once.
const AT_ONCE: usize = 16;

/// Customers' orders of a SKU that there is enough of.
async fn opened(ground: &Ground, sku: &str, times: usize) -> Person {
    ground.shop.offer(&ground.admin, sku, PRICE, times as i64).await;
    ground.customer("ada").await
}

/// An order, what became of its money in words, and whether the lists say so.
type Promise = (Value, &'static str, fn(&Books) -> bool);

/// Waits until the lists say of each order what was promised; gives what they do not.
async fn check(ground: &Ground, buyer: &Person, promised: &[Promise]) -> Vec<String> {
    let look = async || {
        let books = ground.books(std::slice::from_ref(buyer)).await;
        let differs = |(order, end, is_so): &Promise| {
            let id = order["id"].as_str().unwrap_or_default();
            let found = books.get(id).cloned().unwrap_or_default();
            (!is_so(&found)).then(|| format!("order {id}: {end} expected, found {found:?}"))
        };
        promised.iter().filter_map(differs).collect()
    };
    ground.until(look).await
}

fn refund<'a>(ground: &'a Ground, payment: &Value, key: &str) -> impl Future<Output = Response> + 'a {
    ground.operate(payment, "refund", key, json!({"amount": pence(MOST), "reason": "a scratch"})).send()
}

fn refunded(books: &Books) -> bool {
    (books.captured, books.refunded) == (PRICE, MOST) && books.payment_status == "partially_refunded"
}

pub async fn a_hundred_refunds_of_most_of_a_payment(ground: &Ground) -> Record {
    let payments = times(10);
    let buyer = opened(ground, "MOST-OF-IT", payments).await;
    let mut record = Record::of(payments * CROWD);
    let mut promised: Vec<Promise> = Vec::new();
    for n in 0..payments {
        let (order, payment) = ground.paid(&buyer, &format!("order-{n}"), "MOST-OF-IT").await;
        let keys: Vec<String> = (0..CROWD).map(|refund| format!("refund-{n}-{refund}")).collect();
        let answers = join_all(keys.iter().map(|key| refund(ground, &payment, key))).await;
        record.count(&answers);
        let found = tally(&answers);
        record.must(found == "1 x 200, 99 x 409 refund_exceeds_captured", || found.clone());
        promised.push((order, "600 of 1,000 given back", refunded));
    }
    record.violations.extend(check(ground, &buyer, &promised).await);
    record
}

pub async fn one_refund_sent_a_hundred_times(ground: &Ground) -> Record {
    let payments = times(10);
    let buyer = opened(ground, "ONE-REFUND", payments).await;
    let mut record = Record::of(payments * CROWD);
    let mut promised: Vec<Promise> = Vec::new();
    for n in 0..payments {
        let (order, payment) = ground.paid(&buyer, &format!("order-{n}"), "ONE-REFUND").await;
        let key = format!("refund-{n}");
        let answers = join_all((0..CROWD).map(|_| refund(ground, &payment, &key))).await;
        record.count(&answers);
        let first = &answers[0];
        let equal = answers.iter().all(|answer| (answer.status, &answer.text) == (200, &first.text));
        record.must(equal, || format!("one refund was answered differently: {}", tally(&answers)));
        let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
        record.must(fresh == 1, || format!("one refund was made {fresh} times"));
        promised.push((order, "600 of 1,000 given back", refunded));
    }
    record.violations.extend(check(ground, &buyer, &promised).await);
    record
}

/// One order is paid by two cards at once.
pub async fn pay_against_pay(ground: &Ground) -> Record {
    let (times, starts) = (times(300), ground.starts());
    let buyer = opened(ground, "PAY-PAY", times).await;
    let duels = repeat(times, AT_ONCE, async |n| {
        let order = ground.ordered(&buyer, &format!("order-{n}"), "PAY-PAY").await;
        let keys = [format!("left-{n}"), format!("right-{n}")];
        let pay = |key: &str| ground.pay(&buyer, key, &order).send();
        let (left, right) = starts.duel(n, pay(&keys[0]), pay(&keys[1])).await;
        (order, learnt(&starts, left, right, 201))
    })
    .await;
    let is_so: fn(&Books) -> bool = |books| {
        (books.captured, books.refunded, books.status.as_str()) == (PRICE, 0, "confirmed")
            && books.payments.iter().filter(|status| *status == "captured").count() == 1
    };
    let allowed = ["409 payment_in_progress", "409 already_paid"];
    one_wins(ground, &buyer, duels, &allowed, ("paid once", is_so), ("paid once", is_so)).await
}

/// Money that is held is taken and let go.
pub async fn capture_against_void(ground: &Ground) -> Record {
    let (times, starts) = (times(200), ground.starts());
    let buyer = opened(ground, "TAKE-LET-GO", times).await;
    let duels = repeat(times, AT_ONCE, async |n| {
        let (order, payment) = ground.held(&buyer, &format!("order-{n}"), "TAKE-LET-GO").await;
        let capture = ground.operate(&payment, "capture", &format!("capture-{n}"), json!({})).send();
        let void = ground.operate(&payment, "void", &format!("void-{n}"), json!({})).send();
        let (left, right) = starts.duel(n, capture, void).await;
        (order, learnt(&starts, left, right, 200))
    })
    .await;
    let taken: fn(&Books) -> bool = |books| {
        (books.captured, books.status.as_str(), books.payment_status.as_str())
            == (PRICE, "confirmed", "captured")
    };
    let let_go: fn(&Books) -> bool = |books| {
        (books.captured, books.status.as_str(), books.payment_status.as_str()) == (0, "pending", "unpaid")
    };
    let allowed = ["409 payment_in_progress", "409 payment_not_authorized"];
    one_wins(ground, &buyer, duels, &allowed, ("taken", taken), ("let go", let_go)).await
}

/// Two answers of a duel.
struct Answers {
    left: Response,
    right: Response,
    /// Which side was answered as whoever wins is.
    won: Option<First>,
}

fn learnt(starts: &crate::duel::Starts, left: Response, right: Response, success: u16) -> Answers {
    let won = match (left.status == success, right.status == success) {
        (true, false) => Some(First::Left),
        (false, true) => Some(First::Right),
        _ => None,
    };
    if let Some(won) = won {
        starts.learn(won);
    }
    Answers { left, right, won }
}

/// Exactly one side of each duel may win, the other is refused by one of these; and the books must say so.
async fn one_wins(
    ground: &Ground,
    buyer: &Person,
    duels: Vec<(Value, Answers)>,
    refusals: &[&str],
    if_left: (&'static str, fn(&Books) -> bool),
    if_right: (&'static str, fn(&Books) -> bool),
) -> Record {
    let mut record = Record::of(duels.len());
    let mut promised: Vec<Promise> = Vec::new();
    for (order, Answers { left, right, won }) in duels {
        let (refused, (end, is_so), side) = match won {
            Some(First::Left) => (&right, if_left, "left"),
            Some(First::Right) => (&left, if_right, "right"),
            None => {
                record.violated(format!("order {}: {} and {}", order["id"], named(&left), named(&right)));
                continue;
            }
        };
        record.ended(side);
        record.must(refusals.contains(&named(refused).as_str()), || refused.text.clone());
        promised.push((order, end, is_so));
    }
    record.must_both_occur("left", "right");
    record.violations.extend(check(ground, buyer, &promised).await);
    record
}

/// The shop takes the money that is held while the customer calls the order off: nothing of it may stay with the shop.
pub async fn capture_against_cancel(ground: &Ground) -> Record {
    let (times, starts) = (times(200), ground.starts());
    let buyer = opened(ground, "TAKE-CALL-OFF", times).await;
    let mut record = Record::of(times);
    let duels = repeat(times, AT_ONCE, async |n| {
        let (order, payment) = ground.held(&buyer, &format!("order-{n}"), "TAKE-CALL-OFF").await;
        let capture = ground.operate(&payment, "capture", &format!("capture-{n}"), json!({})).send();
        let cancel = ground.cancel(&buyer, &order).send();
        // Every eighth capture comes when the money is let go already, whose event may be slow.
        let (captured, cancelled) = match n % 8 {
            7 => {
                let cancelled = cancel.await;
                until_let_go(ground, &buyer, &payment).await;
                (capture.await, cancelled)
            }
            _ => starts.duel(n, capture, cancel).await,
        };
        if n % 8 != 7 {
            starts.learn(if captured.status == 200 { First::Left } else { First::Right });
        }
        (order, named(&captured), named(&cancelled))
    })
    .await;
    let mut promised: Vec<Promise> = Vec::new();
    for (order, captured, cancelled) in duels {
        match (captured.as_str(), cancelled.as_str()) {
            ("200", "200") => {
                record.ended("taken and given back");
                promised.push((order, "all given back", |books| {
                    (books.captured, books.refunded, books.status.as_str()) == (PRICE, PRICE, "cancelled")
                }));
            }
            ("409 payment_in_progress" | "409 payment_not_authorized", "200") => {
                record.ended("let go");
                promised.push((order, "let go", |books| {
                    (books.captured, books.status.as_str()) == (0, "cancelled")
                        && books.payments.iter().all(|status| status == "voided")
                }));
            }
            _ => record.violated(format!("capture was answered {captured}, cancel {cancelled}")),
        }
    }
    record.must_both_occur("taken and given back", "let go");
    record.violations.extend(check(ground, &buyer, &promised).await);
    let wrong = ground.until(async || match ground.stock("TAKE-CALL-OFF").await {
        (_, 0) => Vec::new(),
        found => vec![format!("(on hand, reserved) is {found:?} after all orders were called off")],
    });
    record.violations.extend(wrong.await);
    record
}

async fn until_let_go(ground: &Ground, buyer: &Person, payment: &Value) {
    let path = path_of("/payments", payment);
    let left = ground.until(async || {
        let found = ground.shop.get(&path).bearer(&buyer.token).unrecorded().send().await.expect(200);
        if found.json["status"] == "voided" { Vec::new() } else { vec![found.text] }
    });
    let left = left.await;
    assert!(left.is_empty(), "{path} was never let go: {left:?}");
}

/// A part is given back, and what is left: in the end all of it, once.
pub async fn refund_against_refund_of_the_rest(ground: &Ground) -> Record {
    let (times, starts) = (times(200), ground.starts());
    let buyer = opened(ground, "PART-REST", times).await;
    let mut record = Record::of(times);
    let duels = repeat(times, AT_ONCE, async |n| {
        let (order, payment) = ground.paid(&buyer, &format!("order-{n}"), "PART-REST").await;
        let keys = [format!("part-{n}"), format!("rest-{n}")];
        let rest = ground.operate(&payment, "refund", &keys[1], json!({})).send();
        let (part, rest) = starts.duel(n, refund(ground, &payment, &keys[0]), rest).await;
        starts.learn(if part.status == 200 { First::Left } else { First::Right });
        (order, named(&part), named(&rest))
    })
    .await;
    let all: fn(&Books) -> bool =
        |books| (books.captured, books.refunded, books.payment_status.as_str()) == (PRICE, PRICE, "refunded");
    let mut promised: Vec<Promise> = Vec::new();
    for (order, part, rest) in duels {
        match (part.as_str(), rest.as_str()) {
            ("200", "200") => record.ended("part, then rest"),
            ("409 refund_exceeds_captured", "200") => record.ended("all at once"),
            _ => record.violated(format!("the part was answered {part}, the rest {rest}")),
        }
        promised.push((order, "all given back", all));
    }
    record.must_both_occur("part, then rest", "all at once");
    record.violations.extend(check(ground, &buyer, &promised).await);
    record
}
