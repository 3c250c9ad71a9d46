//! RabbitMQ dies under load and stays away: nobody who buys notices, and afterwards the backlog drains.

use std::time::{Duration, Instant};

use deployments::{PrivateRabbitmq, Running, Servers, Topology, await_that, variable};
use libtest_mimic::Trial;

use crate::load::{Load, await_nothing_open};
use crate::{fault, figures, shipped, with_shop};

const CUSTOMERS: usize = 4;
/// How long the broker is away unless `SOUK_FAULTS_OUTAGE_S` says otherwise.
const OUTAGE: Duration = Duration::from_secs(60);
/// How soon every order that was paid meanwhile must be confirmed, and after that how soon every letter and message to other
/// programs of them must be written: some four events an order, which nobody waits for.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
const ENOUGH: usize = 40;
const WITHIN: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    let story = || {
        let broker = PrivateRabbitmq::start()?;
        let servers = Servers { rabbitmq: Some(broker.url()), ..Servers::default() };
        let options = deployments::Options { servers, ..shipped() };
        with_shop("broker_away", Topology::Split, options, |shop| {
            let told = deployments::caught(|| away(shop, &broker));
            // The shop's queues are cleaned up on it; most often it runs.
            let _runs_already = broker.start_again();
            told
        })
    };
    vec![fault("broker_away", Topology::Split, &[PrivateRabbitmq::missing], story)]
}

fn outage() -> Duration {
    variable("SOUK_FAULTS_OUTAGE_S").map_or(OUTAGE, |seconds| Duration::from_secs(seconds.parse().unwrap()))
}

fn away(shop: &Running, broker: &PrivateRabbitmq) -> Result<(), String> {
    let mut load = Load::start(&shop.address, "broker", CUSTOMERS)?;
    load.await_more(ENOUGH, WITHIN)?;

    broker.kill()?;
    let (killed_at, paid_before) = (Instant::now(), load.paid());
    while killed_at.elapsed() < outage() {
        load.await_more(CUSTOMERS, WITHIN)?;
    }
    let paid_meanwhile = load.paid() - paid_before;
    let waiting = unconfirmed(shop)?;
    if waiting < paid_meanwhile / 2 {
        return Err(format!("of {paid_meanwhile} orders only {waiting} wait: the broker was not away"));
    }

    let last_away_ms = now_at(shop)?;
    broker.start_again()?;
    let back_at = Instant::now();
    let drained = await_that(DRAINED_WITHIN, || {
        Ok((waits(shop, last_away_ms)? == 0 && unconfirmed_before(shop, last_away_ms)? == 0).then_some(()))
    })?;
    let took = back_at.elapsed();
    drained.ok_or_else(|| {
        format!("{:?} after the broker was back {:?} events still wait", took, waits(shop, last_away_ms))
    })?;

    load.await_more(ENOUGH, WITHIN)?;
    let ledger = load.end()?;
    let ended_at = Instant::now();
    let emptied = await_nothing_open(shop, DRAINED_WITHIN);
    let (away_s, took, emptied_in) =
        (outage().as_secs(), figures::seconds(took), figures::seconds(ended_at.elapsed()));
    let drained =
        format!("{took} for {waiting} orders, away {away_s} s; queues empty {emptied_in} after the load");
    figures::note("RabbitMQ away", Topology::Split, &ledger, &drained);
    emptied?;
    ledger.allow(|_| false)?;
    shop.assert_healthy()?;
    load.assert_kept(&ledger)
}

const PUBLISHERS: &[&str] = &["orders", "payments", "inventory", "catalog", "users", "auth"];

/// The server's clock, milliseconds.
fn now_at(shop: &Running) -> Result<i64, String> {
    number(shop, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
}

/// Events of before that moment that the broker has not taken yet.
fn waits(shop: &Running, before_ms: i64) -> Result<i64, String> {
    let counts: Vec<String> = PUBLISHERS
        .iter()
        .map(|module| {
            format!(
                "(SELECT count(*) FROM {module}.outbox WHERE published_at_ms IS NULL AND occurred_at_ms < {before_ms})"
            )
        })
        .collect();
    number(shop, &format!("SELECT {}", counts.join(" + ")))
}

/// Orders whose payment `payments` has taken, and which `orders` does not know of.
fn unconfirmed_before(shop: &Running, before_ms: i64) -> Result<i64, String> {
    let query = format!(
        "SELECT count(*) FROM orders.orders o JOIN payments.payments p ON p.order_id = o.id \
         WHERE p.status = 'captured' AND p.updated_at_ms < {before_ms} AND o.status = 'pending'"
    );
    number(shop, &query)
}

fn unconfirmed(shop: &Running) -> Result<usize, String> {
    unconfirmed_before(shop, i64::MAX).map(|count| usize::try_from(count).unwrap())
}

fn number(shop: &Running, query: &str) -> Result<i64, String> {
    crate::sql(shop, query)?.parse().map_err(deployments::text)
}
