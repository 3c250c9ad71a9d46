//! Many buyers of few pieces, baskets that share SKUs, and shopkeepers who count meanwhile.

use std::cell::Cell;

use deployments::{Person, tally};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use testkit::Response;

use crate::duel::{draw, repeat};
use crate::grounds::{Ground, seed, times};
use crate::record::{Record, named};

/// Orders for one piece each, and the pieces that there are. They are not scaled: fewer customers send more of them.
const ORDERS: usize = 1_000;
const PIECES: i64 = 100;

pub async fn a_thousand_buyers_of_a_hundred_pieces(ground: &Ground) -> Record {
    const SKU: &str = "RARE-LAMP";
    ground.shop.offer(&ground.admin, SKU, 4_500, PIECES).await;
    let buyers = ground.customers(times(1_000).min(ORDERS)).await;
    let buyer = |n: usize| (&buyers[n % buyers.len()], format!("lamp-{}", n / buyers.len()));
    let order = async |n: usize| {
        let (buyer, key) = buyer(n);
        ground.shop.order(buyer, &key, SKU, 1).unrecorded().send().await
    };
    let mut record = Record::of(ORDERS);
    let (answers, seen) = watched(ground, SKU, join_all((0..ORDERS).map(&order))).await;
    record.count(&answers);
    record.violations.extend(seen);
    let found = tally(&answers);
    record.must(found == "100 x 201, 900 x 409 insufficient_stock", || found.clone());
    // Whoever has an order has it still, and has one; whoever has none gets none by asking again.
    let placed = |n: &usize| answers[*n].status == 201;
    let refused = (0..ORDERS).filter(|n| !placed(n)).take(ORDERS / 10);
    let asked: Vec<usize> = (0..ORDERS).filter(placed).chain(refused).collect();
    let replays = repeat(asked.len(), 32, async |at| (asked[at], order(asked[at]).await)).await;
    for (n, replay) in &replays {
        let first = &answers[*n];
        let same = (replay.status, &replay.json["id"]) == (first.status, &first.json["id"]);
        record.must(same && replay.header("idempotency-replayed") == "true", || {
            format!("order {n} was answered {} and then {}", first.text, replay.text)
        });
    }
    let listed = ground.books(&buyers).await;
    let is_listed = |answer: &Response| listed.contains_key(answer.json["id"].as_str().unwrap_or_default());
    let lost = answers.iter().filter(|answer| answer.status == 201 && !is_listed(answer)).count();
    record.must(lost == 0 && listed.len() as i64 == PIECES, || {
        format!("{} orders are listed, {lost} that were acknowledged are not", listed.len())
    });
    let found = ground.stock(SKU).await;
    record.must(found == (PIECES, PIECES), || format!("(on hand, reserved) is {found:?}"));
    record
}

/// Looks at a SKU again and again while something goes on: never less than nothing may be available.
async fn watched<T>(ground: &Ground, sku: &str, what: impl Future<Output = T>) -> (T, Vec<String>) {
    let goes_on = Cell::new(true);
    let watch = async {
        let mut seen = Vec::new();
        while goes_on.get() {
            let level = ground.stock_level(sku).await.json;
            let number = |field: &str| level[field].as_i64().unwrap();
            let (on_hand, reserved) = (number("on_hand"), number("reserved"));
            if reserved < 0 || reserved > on_hand || number("available") != on_hand - reserved {
                seen.push(format!("{sku} was seen oversold: {level}"));
            }
        }
        seen
    };
    let what = async {
        let done = what.await;
        goes_on.set(false);
        done
    };
    join(what, watch).await
}

pub async fn baskets_in_opposite_order(ground: &Ground) -> Record {
    baskets(ground, &Baskets { prefix: "OPPOSITE", is_counted: false }).await
}

pub async fn baskets_while_stock_is_counted(ground: &Ground) -> Record {
    baskets(ground, &Baskets { prefix: "COUNTED", is_counted: true }).await
}

/// A race of baskets.
struct Baskets {
    prefix: &'static str,
    /// Whether shopkeepers adjust, count and import the same SKUs meanwhile, and customers call orders off.
    is_counted: bool,
}

const SKUS: usize = 8;
const LINES: usize = 5;
const PLENTY: i64 = 100_000;

impl Baskets {
    fn sku(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// Some SKUs with quantities, in one order or in the opposite one.
    fn basket(&self, run: usize) -> Vec<(usize, i64)> {
        let random = draw(seed(), run);
        let first = (random % SKUS as u64) as usize;
        let mut lines: Vec<_> =
            (0..LINES).map(|n| ((first + n) % SKUS, 1 + (random >> (8 + n) & 3) as i64)).collect();
        if run % 2 == 1 {
            lines.reverse();
        }
        lines
    }
}

/// Several hundred baskets at once: all are placed, as there is plenty, and the sums are those of the baskets.
async fn baskets(ground: &Ground, race: &Baskets) -> Record {
    let times = times(1_000);
    for n in 0..SKUS {
        ground.shop.offer(&ground.admin, &race.sku(n), 300, PLENTY).await;
    }
    let buyers = ground.customers(8).await;
    let mut record = Record::of(times);
    let buy = join_all((0..times).map(|n| bought(ground, race, &buyers[n % buyers.len()], n)));
    let count = join_all((0..times / 4).map(|n| counted(ground, race, n)));
    let (bought, counted) = match race.is_counted {
        true => join(buy, count).await,
        false => (buy.await, Vec::new()),
    };
    let mut held = [0_i64; SKUS];
    for (n, (placed, cancelled)) in bought.iter().enumerate() {
        let is_held = placed.status == 201 && cancelled.is_none();
        record.ended(if is_held { "placed" } else { "placed and cancelled" });
        for (sku, quantity) in race.basket(n).into_iter().filter(|_| is_held) {
            held[sku] += quantity;
        }
        let refused = cancelled.as_ref().filter(|answer| answer.status != 200);
        record.must(placed.status == 201, || format!("basket {n}: {}", placed.text));
        record.must(refused.is_none(), || format!("basket {n} was not called off: {refused:?}"));
    }
    for answer in counted.iter().filter(|answer| answer.status != 200) {
        record.violated(format!("counting was answered {}", answer.text));
    }
    record.violations.extend(ground.until(async || sums(ground, race, &held).await).await);
    record
}

/// Places a basket; in a shop that is counted every third is called off at once.
async fn bought(ground: &Ground, race: &Baskets, buyer: &Person, run: usize) -> (Response, Option<Response>) {
    let line = |(sku, quantity): (usize, i64)| json!({"sku": race.sku(sku), "quantity": quantity});
    let items: Vec<Value> = race.basket(run).into_iter().map(line).collect();
    let call = ground.shop.post("/orders").bearer(&buyer.token).key(&format!("basket-{run}"));
    let placed = call.json(json!({"items": items})).unrecorded().send().await;
    if !race.is_counted || !run.is_multiple_of(3) || placed.status != 201 {
        return (placed, None);
    }
    let cancelled = ground.cancel(buyer, &placed.json).send().await;
    (placed, Some(cancelled))
}

/// A shopkeeper adds or takes pieces, sets a level, or imports levels of all SKUs in an order of the file's own.
async fn counted(ground: &Ground, race: &Baskets, run: usize) -> Response {
    let path = format!("/inventory/{}", race.sku(run % SKUS));
    let call = match run % 8 {
        0 | 1 => ground.shop.put(&path).json(json!({"on_hand": PLENTY + run as i64})),
        2 => {
            let line = |n: usize| format!("{},{}\n", race.sku(n), PLENTY - run as i64);
            let lines: String = match run % 16 {
                2 => (0..SKUS).map(line).collect(),
                _ => (0..SKUS).rev().map(line).collect(),
            };
            ground.shop.post("/inventory/import").body("text/csv", format!("sku,on_hand\n{lines}"))
        }
        3..=5 => ground.shop.patch(&path).json(json!({"change": 7, "reason": "found"})),
        _ => ground.shop.patch(&path).json(json!({"change": -5, "reason": "broken"})),
    };
    call.bearer(&ground.admin.token).unrecorded().send().await
}

/// What is held is what the baskets hold, and what is in the house is what the ledger says.
async fn sums(ground: &Ground, race: &Baskets, held: &[i64; SKUS]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (n, held) in held.iter().enumerate() {
        let sku = race.sku(n);
        let movements = ground.shop.all(&format!("/inventory/{sku}/movements"), &ground.admin).await;
        let moved: i64 = movements.iter().map(|movement| movement["change"].as_i64().unwrap()).sum();
        let found = ground.stock(&sku).await;
        if found != (moved, *held) {
            wrong.push(format!("(on hand, reserved) of {sku} is {found:?}, not {:?}", (moved, held)));
        }
    }
    wrong
}

/// Of two shopkeepers who write what they make of the same count, one has to look again.
pub async fn two_admins_who_have_read_the_same(ground: &Ground) -> Record {
    const SKU: &str = "COUNTED-TWICE";
    let (times, starts) = (times(200), ground.starts());
    ground.shop.offer(&ground.admin, SKU, 100, 10).await;
    let mut record = Record::of(times);
    for n in 0..times {
        let tag = ground.stock_level(SKU).await.header("etag").to_owned();
        let path = format!("/inventory/{SKU}");
        let patch = |change: i64| {
            let body = json!({"change": change, "reason": "counted"});
            let call = ground.shop.patch(&path).bearer(&ground.admin.token).header("If-Match", &tag);
            call.json(body).unrecorded().send()
        };
        let before = ground.stock(SKU).await.0;
        let (left, right) = starts.duel(n, patch(1), patch(2)).await;
        let after = ground.stock(SKU).await.0;
        match (left.status, right.status, after - before) {
            (200, 412, 1) => {
                record.ended("left");
                starts.learn(crate::duel::First::Left);
            }
            (412, 200, 2) => {
                record.ended("right");
                starts.learn(crate::duel::First::Right);
            }
            (_, _, change) => {
                record.violated(format!("{} and {} changed it by {change}", named(&left), named(&right)));
            }
        }
    }
    record.must_both_occur("left", "right");
    record
}
