//! Redis dies, comes back empty, is flushed and hangs under load: nobody who buys notices, and a changed price is seen in
//! time.

use std::time::{Duration, Instant};

use deployments::{PrivateRedis, Running, Servers, Topology, block_on, caught};
use libtest_mimic::Trial;

use crate::load::{Load, assert_nothing_open};
use crate::{fault, figures, shipped, with_shop};

const CUSTOMERS: usize = 12;
const ENOUGH: usize = 30;
const WITHIN: Duration = Duration::from_secs(60);
/// `catalog.cache_ttl_s` of these shops: no price may be older, whatever became of Redis.
const TTL: Duration = Duration::from_secs(5);
/// How late a look at a price may come itself.
const SLACK: Duration = Duration::from_secs(1);
const SKU: &str = "FAULT-0";

pub fn trials() -> Vec<Trial> {
    [Topology::Mixed, Topology::Split].into_iter().map(redis_fails).collect()
}

fn redis_fails(topology: Topology) -> Trial {
    fault("redis_fails", topology, &[PrivateRedis::missing], move || {
        let server = PrivateRedis::start()?;
        let servers = Servers { redis: Some(server.url()), ..Servers::default() };
        let options = deployments::Options { servers, ..shipped() };
        let options = options.set("SOUK__CATALOG__CACHE_TTL_S", TTL.as_secs());
        with_shop("redis_fails", topology, options, |shop| {
            let told = caught(|| fails(shop, &server, topology));
            // The shop's keys are cleaned up on it; most often it runs.
            let _goes_on = server.go_on();
            told
        })
    })
}

fn fails(shop: &Running, server: &PrivateRedis, topology: Topology) -> Result<(), String> {
    let mut load = Load::start(&shop.address, "redis", CUSTOMERS)?;
    let mut slowest = Duration::ZERO;
    let mut price = 2_000;
    let mut go_on = |load: &Load, what: &str| {
        price += 1;
        slowest = slowest.max(price_shows(load, price).map_err(|failure| format!("{what}: {failure}"))?);
        load.await_more(ENOUGH, WITHIN).map_err(|failure| format!("{what}: {failure}"))
    };
    go_on(&load, "before")?;
    server.kill()?;
    go_on(&load, "dead")?;
    server.start_again()?;
    go_on(&load, "back and empty")?;
    server.flush()?;
    go_on(&load, "flushed")?;
    server.hang()?;
    go_on(&load, "hung")?;
    server.go_on()?;
    go_on(&load, "going on with what it held")?;
    let ledger = load.end()?;
    let note = format!("prices seen after {} at most", figures::seconds(slowest));
    figures::note("Redis dead, flushed, hung", topology, &ledger, &note);
    ledger.allow(|_| false)?;
    shop.assert_healthy()?;
    assert_nothing_open(shop)?;
    load.assert_kept(&ledger)
}

/// Changes a price under readers; gives how long an old one was seen. Whoever orders is charged the new one at once.
fn price_shows(load: &Load, price: i64) -> Result<Duration, String> {
    block_on(async {
        let status = load.reprice(SKU, price).await;
        if status != 200 {
            return Err(format!("a price could not be changed: {status}"));
        }
        let changed_at = Instant::now();
        let mut last_old = Duration::ZERO;
        loop {
            let asked_after = changed_at.elapsed();
            match load.price(SKU).await {
                Some(seen) if seen == price => return Ok(last_old),
                Some(_) => last_old = asked_after,
                None => return Err("a price could not be read".to_owned()),
            }
            if asked_after > TTL + SLACK {
                return Err(format!("an old price is seen {asked_after:?} after the change"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}
