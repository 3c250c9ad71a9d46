//! PostgreSQL restarts under load: customers are asked to come back, and nothing that was promised is lost.

use std::time::{Duration, Instant};

use deployments::{PrivatePostgres, Running, Servers, Stop, Topology, await_that, block_on, caught, client};
use libtest_mimic::Trial;

use crate::load::{Exchange, Load, assert_nothing_open};
use crate::{fault, figures, shipped, with_shop};

const CUSTOMERS: usize = 12;
/// How soon the shop must be well again once the server takes connections.
const WELL_WITHIN: Duration = Duration::from_secs(5);
/// Orders before and after each fault.
const ENOUGH: usize = 40;
const WITHIN: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    [Topology::Postgres, Topology::Split]
        .into_iter()
        .map(|topology| {
            fault("database_restarts", topology, &[PrivatePostgres::missing], move || {
                let server = PrivatePostgres::start()?;
                let servers = Servers { postgres: Some(server.url()), ..Servers::default() };
                let options = deployments::Options { servers, ..shipped() };
                with_shop("database_restarts", topology, options, |shop| {
                    let told = caught(|| restarts(shop, &server, topology));
                    // The shop is cleaned up on it; most often it runs.
                    let _runs_already = server.start_again();
                    told
                })
            })
        })
        .collect()
}

fn restarts(shop: &Running, server: &PrivatePostgres, topology: Topology) -> Result<(), String> {
    let mut load = Load::start(&shop.address, "database", CUSTOMERS)?;
    let mut well_again = Vec::new();
    for how in [Stop::Fast, Stop::Immediate] {
        load.await_more(ENOUGH, WITHIN)?;
        server.stop(how)?;
        // Down long enough that every customer notices.
        assert_says_so(shop)?;
        server.start_again()?;
        let back_at = Instant::now();
        await_ready(shop, back_at)?;
        load.await_more(CUSTOMERS, WITHIN)?;
        let bought = load.first_paid_since(back_at).ok_or("nobody could buy")?.duration_since(back_at);
        if bought > WELL_WITHIN {
            return Err(format!(
                "after {how:?} the first order was paid {bought:?} after the server was back"
            ));
        }
        well_again.push(figures::seconds(bought));
    }
    load.await_more(ENOUGH, WITHIN)?;
    let ledger = load.end()?;
    figures::note(
        "PostgreSQL restarts",
        topology,
        &ledger,
        &format!("{} (fast, immediate)", well_again.join(", ")),
    );
    ledger.allow(Exchange::asks_to_come_back)?;
    if ledger.failures().is_empty() {
        return Err("nobody noticed: the server was not away".to_owned());
    }
    shop.assert_healthy()?;
    load.assert_kept(&ledger)?;
    assert_nothing_open(shop)
}

/// While the database is away `/health` says so; through the gateway that is a process with a database, too.
fn assert_says_so(shop: &Running) -> Result<(), String> {
    let said = await_that(WITHIN, || Ok((health(shop) == Some(503)).then_some(())))?;
    said.ok_or_else(|| "the shop never said that its database is away".to_owned())
}

fn await_ready(shop: &Running, since: Instant) -> Result<(), String> {
    await_that(WELL_WITHIN, || Ok((health(shop) == Some(200)).then_some(())))?;
    if health(shop) == Some(200) {
        return Ok(());
    }
    Err(format!("the shop is not ready {:?} after the server was back", since.elapsed()))
}

fn health(shop: &Running) -> Option<u16> {
    block_on(async {
        let answer = client().get(format!("{}/health", shop.address)).send().await.ok()?;
        Some(answer.status().as_u16())
    })
}
