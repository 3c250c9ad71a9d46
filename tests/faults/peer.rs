//! A peer that answers late or nonsense: whoever orders is told to come back, in time, and what was begun is undone.

use std::time::{Duration, Instant};

use deployments::{Person, Running, Shop, Topology, await_that, block_on, text};
use libtest_mimic::Trial;
use testkit::Response;

use crate::load::assert_nothing_open;
use crate::proxy::{Mode, Proxy};
use crate::{fault, figures, shipped, with_shop};

const SKU: &str = "PEER-MUG";
const PIECES: i64 = 1_000;
/// Buyers a mode; half of them never come back.
const BUYERS: usize = 4;
/// How long one call to a peer may take in these shops.
const DEADLINE_MS: u64 = 1_000;
/// Every answer must come within a request's calls, one after the other, and a little more.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(30);
const UNDONE_WITHIN: Duration = Duration::from_secs(15);

const MODES: &[Mode] =
    &[Mode::AnswersLate, Mode::HearsLate, Mode::Nonsense, Mode::Half, Mode::AnotherType, Mode::Endless];

pub fn trials() -> Vec<Trial> {
    let story = || {
        let options = shipped().set("SOUK__INTERNAL__DEADLINE_MS", DEADLINE_MS);
        with_shop("sick_peer", Topology::Split, options, sick)
    };
    vec![fault("sick_peer", Topology::Split, &[], story)]
}

fn sick(running: &Running) -> Result<(), String> {
    let proxy = put_before_inventory(running)?;
    let shop = Shop::at(&running.address, "peer");
    let (admin, buyer) = block_on(async {
        let admin = shop.admin().await;
        shop.offer(&admin, SKU, 500, PIECES).await;
        (admin, shop.newcomer("buyer").await)
    });
    let mut sold = 0;
    for mode in MODES {
        let (refused, slowest) =
            refuses(&shop, &buyer, &proxy, *mode).map_err(|why| format!("{mode:?}: {why}"))?;
        let well_at = Instant::now();
        block_on(async {
            for number in 0..BUYERS / 2 {
                order_to_the_end(&shop, &buyer, &key_of(*mode, number)).await;
            }
        });
        let well = well_at.elapsed();
        sold += BUYERS / 2;
        await_stock(&shop, &admin, &proxy, sold).map_err(|why| format!("{mode:?}: {why}"))?;
        figures::add([
            format!("inventory to orders: {mode:?}"),
            Topology::Split.name().to_owned(),
            (BUYERS + BUYERS / 2).to_string(),
            (BUYERS / 2).to_string(),
            refused,
            figures::seconds(slowest),
            figures::seconds(well),
        ]);
    }
    assert_nothing_open(running)?;
    running.assert_healthy()?;
    let orders = block_on(async { shop.all("/orders", &buyer).await });
    if orders.len() == sold { Ok(()) } else { Err(format!("{} orders, {sold} acknowledged", orders.len())) }
}

/// Lets `orders` call `inventory` through a proxy from its next start on, which is now.
fn put_before_inventory(running: &Running) -> Result<Proxy, String> {
    let split = running.data().with_file_name("");
    let port = std::fs::read_to_string(split.join("run/inventory.port")).map_err(text)?;
    let proxy = Proxy::before(&format!("http://127.0.0.1:{}", port.trim()))?;
    let environment = split.join("env/orders");
    let before = std::fs::read_to_string(&environment).map_err(text)?;
    let after = format!("{before}export SOUK__PEERS__INVENTORY__URL=http://{}\n", proxy.address);
    std::fs::write(&environment, after).map_err(text)?;
    running.restart_process("orders")?;
    Ok(proxy)
}

fn key_of(mode: Mode, number: usize) -> String {
    format!("{mode:?}-{number}")
}

/// While the peer is sick everyone is told to come back, and soon enough. Gives what they were told, and the slowest.
fn refuses(shop: &Shop, buyer: &Person, proxy: &Proxy, mode: Mode) -> Result<(String, Duration), String> {
    let spoilt = proxy.spoilt();
    proxy.set(mode);
    let answers = block_on(async {
        let mut slowest = Duration::ZERO;
        let mut answers = Vec::new();
        for number in 0..BUYERS {
            let begun = Instant::now();
            answers.push(shop.order(buyer, &key_of(mode, number), SKU, 1).unrecorded().send().await);
            slowest = slowest.max(begun.elapsed());
        }
        (answers, slowest)
    });
    proxy.set(Mode::Well);
    let (answers, slowest) = answers;
    if let Some(wrong) = answers.iter().find(|answer| !asks_to_come_back(answer)) {
        return Err(format!("answered {} {}", wrong.status, wrong.text));
    }
    if slowest > ANSWERED_WITHIN {
        return Err(format!("an answer took {slowest:?}"));
    }
    if proxy.spoilt() == spoilt {
        return Err("nobody asked the peer".to_owned());
    }
    Ok((deployments::tally(&answers), slowest))
}

fn asks_to_come_back(answer: &Response) -> bool {
    [503, 504].contains(&answer.status) && answer.headers.contains_key("retry-after")
}

/// The same key again, until the order is placed.
async fn order_to_the_end(shop: &Shop, buyer: &Person, key: &str) {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let answer = shop.order(buyer, key, SKU, 1).unrecorded().send().await;
        if answer.status == 201 {
            return;
        }
        let runs = answer.status == 409 && answer.code() == "idempotency_key_in_progress";
        assert!(runs || asks_to_come_back(&answer), "{} {}", answer.status, answer.text);
        assert!(Instant::now() < give_up_at, "the peer is well, but: {} {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until only what was sold is held, with every late request long arrived.
fn await_stock(shop: &Shop, admin: &Person, proxy: &Proxy, sold: usize) -> Result<(), String> {
    let wanted = PIECES - i64::try_from(sold).unwrap();
    let mut available = 0;
    let back = await_that(UNDONE_WITHIN, || {
        available = block_on(shop.available(admin, SKU));
        Ok((available == wanted && proxy.is_idle()).then_some(()))
    })?;
    back.ok_or_else(|| format!("{available} pieces can be bought instead of {wanted}"))
}
