//! A checkout orders the cart of one moment at the prices of one moment, and what is put in afterwards stays in.

use std::cell::Cell;
use std::time::Instant;

use deployments::{Person, pence, tally};
use futures_util::future::{join, join_all};
use futures_util::lock::Mutex;
use serde_json::{Value, json};
use testkit::Response;

use crate::duel::{First, Starts, after, draw, repeat};
use crate::grounds::{Ground, seed, times};
use crate::record::{Record, named};

const ADDRESS: &str = "12 St James's Square, London";
/// Pieces of everything in these races.
const PLENTY: i64 = 1_000_000;
/// Checkouts at once.
const AT_ONCE: usize = 8;
/// Keys under which one cart is checked out.
const CROWD: usize = 100;

fn checkout(ground: &Ground, buyer: &Person, key: &str, body: Value) -> impl Future<Output = Response> {
    let call = ground.shop.post("/cart/checkout").bearer(&buyer.token).key(key).json(body);
    let call = call.unrecorded();
    call.send()
}

fn put(ground: &Ground, buyer: &Person, sku: &str, quantity: i64) -> impl Future<Output = Response> {
    let call = ground.shop.put(&format!("/cart/items/{sku}")).bearer(&buyer.token);
    call.json(json!({"quantity": quantity})).unrecorded().send()
}

/// How many pieces of some SKUs stand on the lines of a cart or an order, which has no others.
fn pieces<const N: usize>(lines: &Value, skus: [&str; N]) -> [i64; N] {
    let lines = lines["items"].as_array().unwrap();
    let quantity = |sku: &str| {
        lines.iter().filter(|line| line["sku"] == sku).map(|line| line["quantity"].as_i64().unwrap()).sum()
    };
    let pieces = skus.map(quantity);
    assert_eq!(lines.len(), pieces.iter().filter(|pieces| **pieces > 0).count(), "{lines:?}");
    pieces
}

async fn cart_of<const N: usize>(ground: &Ground, buyer: &Person, skus: [&str; N]) -> [i64; N] {
    let cart = ground.shop.get("/cart").bearer(&buyer.token).unrecorded().send().await.expect(200);
    pieces(&cart.json, skus)
}

/// Why the total of an order is not that of its lines.
fn miscounted(order: &Value) -> Option<String> {
    let amount = |money: &Value| money["amount"].as_i64().unwrap();
    let lines = order["items"].as_array().unwrap();
    let line_is_right = |line: &Value| {
        amount(&line["line_total"]) == line["quantity"].as_i64().unwrap() * amount(&line["unit_price"])
    };
    let sum: i64 = lines.iter().map(|line| amount(&line["line_total"])).sum();
    (sum != amount(&order["total"]) || !lines.iter().all(line_is_right))
        .then(|| format!("the total is not that of the lines: {order}"))
}

/// Several carts, each checked out under a hundred keys, all at once.
pub async fn carts_checked_out_a_hundred_times_at_once(ground: &Ground) -> Record {
    const SKU: &str = "ONE-CART";
    let carts = times(10);
    ground.shop.offer(&ground.admin, SKU, 900, PLENTY).await;
    let buyers = ground.customers(carts).await;
    for buyer in &buyers {
        put(ground, buyer, SKU, 2).await.expect(200);
    }
    let keys: Vec<String> = (0..CROWD).map(|n| format!("checkout-{n}")).collect();
    let body = json!({"shipping_address": ADDRESS});
    let crowd = |buyer| join_all(keys.iter().map(|key| checkout(ground, buyer, key, body.clone())));
    let crowds = join_all(buyers.iter().map(crowd)).await;
    let mut record = Record::of(carts * CROWD);
    for (buyer, answers) in buyers.iter().zip(&crowds) {
        record.count(answers);
        let placed = answers.iter().filter(|answer| answer.status == 201).count();
        let allowed = ["201", "409 cart_already_ordered", "422 cart_empty"];
        let as_allowed = answers.iter().all(|answer| allowed.contains(&named(answer).as_str()));
        record.must(placed == 1 && as_allowed, || format!("one cart: {}", tally(answers)));
        let listed = ground.shop.all("/orders", buyer).await.len();
        let cart = cart_of(ground, buyer, [SKU]).await;
        record.must(listed == 1 && cart == [0], || format!("{listed} orders, {cart:?} left in the cart"));
    }
    let found = ground.stock(SKU).await;
    let expected = (PLENTY, 2 * carts as i64);
    record.must(found == expected, || format!("(on hand, reserved) is {found:?}, not {expected:?}"));
    record
}

const SKUS: [&str; 4] = ["CHANGED-A", "CHANGED-B", "CHANGED-C", "CHANGED-D"];
type Pieces = [i64; 4];
const BEFORE: Pieces = [1, 1, 0, 3];
/// The changes: of which SKU there shall be how many. No two states are alike, so an order tells its moment.
const CHANGES: [(usize, i64); 8] = [(0, 2), (1, 2), (2, 1), (0, 3), (3, 0), (1, 3), (0, 4), (1, 4)];

/// One customer changes the cart line by line in one window and checks out in another.
struct Windows<'a> {
    ground: &'a Ground,
    buyer: &'a Person,
    /// Whether each change names the version that the one before has left.
    if_match: bool,
    begun: Cell<usize>,
    done: Cell<usize>,
    /// A change was refused, as the cart is another since.
    stopped: Cell<bool>,
}

impl Windows<'_> {
    async fn change(&self, first_tag: String) -> Vec<String> {
        let mut tag = first_tag;
        for (number, (sku, quantity)) in CHANGES.iter().enumerate() {
            self.begun.set(number + 1);
            let path = format!("/cart/items/{}", SKUS[*sku]);
            let call = match quantity {
                0 => self.ground.shop.delete(&path),
                _ => self.ground.shop.put(&path).json(json!({"quantity": quantity})),
            };
            let call = if self.if_match { call.header("If-Match", &tag) } else { call };
            let answer = call.bearer(&self.buyer.token).unrecorded().send().await;
            match answer.status {
                200 | 204 => tag = answer.header("etag").to_owned(),
                412 if self.if_match => {
                    self.stopped.set(true);
                    return Vec::new();
                }
                _ => return vec![format!("change {number} was answered {}", answer.text)],
            }
            self.done.set(number + 1);
        }
        Vec::new()
    }

    /// The order, with the changes that it must hold and those that it may.
    async fn check_out(&self) -> (Response, usize, usize) {
        let at_least = self.done.get();
        let body = json!({"shipping_address": ADDRESS});
        let answer = checkout(self.ground, self.buyer, "checkout", body).await;
        (answer, at_least, self.begun.get())
    }
}

/// What is in the cart after so many changes.
fn state(changes: usize) -> Pieces {
    changed(BEFORE, &CHANGES[..changes])
}

fn changed(mut cart: Pieces, changes: &[(usize, i64)]) -> Pieces {
    for (sku, quantity) in changes {
        cart[*sku] = *quantity;
    }
    cart
}

/// The cart that is left if it was closed after so many of the changes, and the others were made to the next one.
fn left(ordered: Pieces, closed_after: usize, done: usize) -> Pieces {
    let mut cart = state(closed_after);
    for (pieces, ordered) in cart.iter_mut().zip(ordered) {
        *pieces = (*pieces - ordered).max(0);
    }
    changed(cart, &CHANGES[closed_after..done])
}

pub async fn a_cart_that_is_changed_during_its_checkout(ground: &Ground) -> Record {
    let times = times(200);
    for (n, sku) in SKUS.iter().enumerate() {
        ground.shop.offer(&ground.admin, sku, [100, 2_000, 30_000, 7][n], PLENTY).await;
    }
    let buyers = ground.customers(times).await;
    let took_ms = Cell::new(50.0);
    let rounds = repeat(times, AT_ONCE, async |n| {
        let begun = Instant::now();
        let unit = (draw(seed(), n) >> 11) as f64 / (1_u64 << 53) as f64;
        let found =
            changed_during_checkout(ground, &buyers[n], n.is_multiple_of(2), unit * took_ms.get()).await;
        took_ms.set(begun.elapsed().as_secs_f64() * 500.0);
        found
    })
    .await;
    let mut record = Record::of(times);
    for round in rounds {
        match round {
            Ok(0 | 8) => record.ended("before or after all changes"),
            Ok(_) => record.ended("between the changes"),
            Err(wrong) => record.violated(wrong),
        }
    }
    record.must_both_occur("between the changes", "before or after all changes");
    record
}

/// The number of changes that the order holds.
async fn changed_during_checkout(
    ground: &Ground,
    buyer: &Person,
    if_match: bool,
    wait_ms: f64,
) -> Result<usize, String> {
    let mut tag = String::new();
    for (sku, quantity) in SKUS.iter().zip(BEFORE).filter(|(_, quantity)| *quantity > 0) {
        tag = put(ground, buyer, sku, quantity).await.expect(200).header("etag").to_owned();
    }
    let (begun, done, stopped) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let windows = Windows { ground, buyer, if_match, begun, done, stopped };
    let (failed, (answer, at_least, at_most)) =
        join(windows.change(tag), after(wait_ms, windows.check_out())).await;
    if answer.status != 201 || !failed.is_empty() {
        return Err(format!("checkout: {}; {failed:?}", answer.text));
    }
    let done = windows.done.get();
    let at_most = if windows.stopped.get() { done } else { at_most };
    let ordered = pieces(&answer.json, SKUS);
    let moment = (at_least..=at_most).find(|changes| state(*changes) == ordered);
    let moment = moment.ok_or_else(|| {
        format!("the order holds {ordered:?}, which the cart never held from change {at_least} to {at_most}")
    })?;
    let cart = cart_of(ground, buyer, SKUS).await;
    if !(moment..=done).any(|closed_after| left(ordered, closed_after, done) == cart) {
        return Err(format!("ordered {ordered:?} after {moment} changes of {done}, and {cart:?} is left"));
    }
    if let Some(wrong) = miscounted(&answer.json) {
        return Err(wrong);
    }
    if cart == [0; 4] {
        return Ok(moment);
    }
    // What is left can be ordered, too.
    let rest = checkout(ground, buyer, "the rest", json!({"shipping_address": ADDRESS})).await;
    let empty = cart_of(ground, buyer, SKUS).await;
    match rest.status == 201 && pieces(&rest.json, SKUS) == cart && empty == [0; 4] {
        true => Ok(moment),
        false => Err(format!("{cart:?} was left, ordered as {}, and {empty:?} is left of it", rest.text)),
    }
}

const PRICED: [&str; 2] = ["PRICED-A", "PRICED-B"];
/// The prices at first; each step adds one to the first product's price and then to the second's.
const PRICES: [i64; 2] = [1_000, 5_000];
const ORDERED: [i64; 2] = [2, 1];

/// Prices that go up, one step after the other.
struct Prices {
    ids: Vec<String>,
    step: Mutex<i64>,
    begun: Cell<i64>,
    done: Cell<i64>,
}

impl Prices {
    async fn raise(&self, ground: &Ground) {
        let mut step = self.step.lock().await;
        *step += 1;
        self.begun.set(*step);
        for (id, price) in self.ids.iter().zip(PRICES) {
            let call = ground.shop.patch(&format!("/catalog/products/{id}")).bearer(&ground.admin.token);
            call.json(json!({"price": pence(price + *step)})).unrecorded().send().await.expect(200);
        }
        self.done.set(*step);
    }

    /// Why the prices of an order are not those of one moment, since the step that was done when it was sent.
    fn mixed(&self, order: &Value, done_before: i64) -> Option<String> {
        let step = |n: usize| {
            let lines = order["items"].as_array().unwrap();
            let line = lines.iter().find(|line| line["sku"] == PRICED[n]).unwrap();
            line["unit_price"]["amount"].as_i64().unwrap() - PRICES[n]
        };
        let (first, second) = (step(0), step(1));
        let of_one_moment = first == second || first == second + 1;
        let of_this_time = second >= done_before && first <= self.begun.get();
        (!of_one_moment || !of_this_time || pieces(order, PRICED) != ORDERED).then(|| {
            let now = self.begun.get();
            format!("prices of the steps {first} and {second}, of {done_before} to {now}: {order}")
        })
    }
}

/// Orders and checkouts that say what they expect to pay, while the prices go up.
pub async fn prices_that_change_during_a_checkout(ground: &Ground) -> Record {
    let (times, starts) = (times(200), ground.starts());
    let mut ids = Vec::new();
    for (sku, price) in PRICED.iter().zip(PRICES) {
        let product = ground.shop.offer(&ground.admin, sku, price, PLENTY).await;
        ids.push(product["id"].as_str().unwrap().to_owned());
    }
    let prices = Prices { ids, step: Mutex::new(0), begun: Cell::new(0), done: Cell::new(0) };
    let buyers = ground.customers(times).await;
    let rounds =
        repeat(times, 4, async |n| priced_during(ground, &prices, &starts, &buyers[n], n).await).await;
    let mut record = Record::of(times);
    for round in rounds {
        match round {
            Ok(end) => record.ended(end),
            Err(wrong) => record.violated(wrong),
        }
    }
    record.must_both_occur("422 total_mismatch", "422 price_changed");
    record.must_both_occur("201", "201");
    record
}

async fn priced_during(
    ground: &Ground,
    prices: &Prices,
    starts: &Starts,
    buyer: &Person,
    run: usize,
) -> Result<String, String> {
    let by_cart = run.is_multiple_of(2);
    for (sku, quantity) in PRICED.iter().zip(ORDERED).filter(|_| by_cart) {
        put(ground, buyer, sku, quantity).await.expect(200);
    }
    let expected = expected(ground, prices, buyer, by_cart).await;
    let done_before = prices.done.get();
    let order = async {
        match by_cart {
            true => {
                let body = json!({"shipping_address": ADDRESS, "expected_total": pence(expected.total)});
                checkout(ground, buyer, "checkout", body).await
            }
            false => {
                let line = |n: usize| json!({"sku": PRICED[n], "quantity": ORDERED[n], "price": pence(expected.prices[n])});
                let body = json!({"items": [line(1), line(0)]});
                let call = ground.shop.post("/orders").bearer(&buyer.token).key("order").json(body);
                call.unrecorded().send().await
            }
        }
    };
    // Half of them meet only the changes that the others cause.
    let answer = match run % 4 < 2 {
        true => starts.duel(run, order, prices.raise(ground)).await.0,
        false => order.await,
    };
    starts.learn(if answer.status == 201 { First::Left } else { First::Right });
    let total = answer.json["total"]["amount"].as_i64();
    let kept = if by_cart { cart_of(ground, buyer, PRICED).await } else { [0; 2] };
    match (answer.status, answer.code(), by_cart) {
        (201, _, _) if total != Some(expected.total) || kept != [0; 2] => {
            Err(format!("{} expected, {kept:?} left in the cart: {}", expected.total, answer.text))
        }
        (201, ..) => match miscounted(&answer.json).or_else(|| prices.mixed(&answer.json, done_before)) {
            Some(wrong) => Err(wrong),
            None => Ok(named(&answer)),
        },
        (422, "total_mismatch", true) if kept == ORDERED => Ok(named(&answer)),
        (422, "price_changed", false) => Ok(named(&answer)),
        _ => Err(format!("{kept:?} left in the cart: {}", answer.text)),
    }
}

/// What a customer was shown.
struct Expected {
    prices: [i64; 2],
    total: i64,
}

async fn expected(ground: &Ground, prices: &Prices, buyer: &Person, by_cart: bool) -> Expected {
    if by_cart {
        let cart = ground.shop.get("/cart").bearer(&buyer.token).unrecorded().send().await.expect(200);
        return Expected { prices: PRICES, total: cart.json["total"]["amount"].as_i64().unwrap() };
    }
    let shown = async |n: usize| {
        let path = format!("/catalog/products/{}", prices.ids[n]);
        let product = ground.shop.get(&path).unrecorded().send().await.expect(200);
        product.json["price"]["amount"].as_i64().unwrap()
    };
    let prices = [shown(0).await, shown(1).await];
    Expected { prices, total: prices[0] * ORDERED[0] + prices[1] * ORDERED[1] }
}

const OF_BOTH: [&str; 2] = ["MERGED-OWN", "MERGED-GUEST"];

/// A guest's cart joins the customer's, which is being checked out: what it brings is ordered or stays in the cart.
pub async fn merge_against_checkout(ground: &Ground) -> Record {
    let (times, starts) = (times(200), ground.starts());
    for sku in OF_BOTH {
        ground.shop.offer(&ground.admin, sku, 700, PLENTY).await;
    }
    let buyers = ground.customers(times).await;
    let rounds = repeat(times, AT_ONCE, async |n| {
        let buyer = &buyers[n];
        put(ground, buyer, OF_BOTH[0], 1).await.expect(200);
        let guest = ground.shop.put(&format!("/cart/items/{}", OF_BOTH[1])).json(json!({"quantity": 2}));
        let guest = guest.unrecorded().send().await.expect(200);
        let body = json!({"cart_token": guest.header("x-cart-token")});
        let merge = ground.shop.post("/cart/merge").bearer(&buyer.token).key("merge").json(body).unrecorded();
        let order = checkout(ground, buyer, "checkout", json!({"shipping_address": ADDRESS}));
        let (merged, ordered) = starts.duel(n, merge.send(), order).await;
        let cart = cart_of(ground, buyer, OF_BOTH).await;
        if (merged.status, ordered.status) != (200, 201) {
            return Err(format!("merge: {}, checkout: {}", merged.text, ordered.text));
        }
        let first = match (pieces(&ordered.json, OF_BOTH), cart) {
            ([1, 2], [0, 0]) => First::Left,
            ([1, 0], [0, 2]) => First::Right,
            found => return Err(format!("(ordered, left in the cart): {found:?}")),
        };
        starts.learn(first);
        Ok(first)
    })
    .await;
    let mut record = Record::of(times);
    for round in rounds {
        match round {
            Ok(First::Left) => record.ended("ordered with the rest"),
            Ok(First::Right) => record.ended("left in the cart"),
            Err(wrong) => record.violated(wrong),
        }
    }
    record.must_both_occur("ordered with the rest", "left in the cart");
    record
}
