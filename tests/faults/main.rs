//! Faults of others: the servers that the shop stands on stop, restart, forget, hang or lie, under the load of careful
//! customers ([`load`]), and the shop is real processes that are asked over HTTP.
//!
//! A test is a fault in a topology: `cargo test --test faults broker_away`. Each fault is that of a private server
//! (`initdb`, `rabbitmq-server`, `redis-server`), so nothing that others use is touched; where such a program is missing, the
//! test is not run, which with `CI` set is a failure. At the end stands a table of what customers saw.
//!
//! `SOUK_FAULTS_OUTAGE_S` is how long RabbitMQ is away (60).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

mod broker;
mod cache;
mod database;
mod disk;
mod figures;
mod load;
mod messages;
mod peer;
mod provider;
mod proxy;

use std::process::{Command, ExitCode};
use std::time::Duration;

use deployments::{Options, Running, Topology, await_that, caught, text, variable};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// How long a process may take to end.
const END_BOUND: Duration = Duration::from_secs(60);

/// A test of one fault in one topology, which needs private servers: what is missing of them is asked when it runs.
fn fault(
    name: &'static str,
    topology: Topology,
    needs: &'static [fn() -> Option<String>],
    story: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(format!("{name}::{}", topology.name()), move || {
        let missing = topology.missing().or_else(|| needs.iter().find_map(|missing| missing()));
        match missing {
            Some(missing) if variable("CI").is_none() => {
                Ok(Completion::ignored_with(format!("not run: {missing}")))
            }
            Some(missing) => Err(Failed::from(format!("CI must run every fault: {missing}"))),
            None => caught(story).map(|()| Completion::Completed).map_err(Failed::from),
        }
    })
}

/// Bounds as they are shipped: other tests have more patience.
fn shipped() -> Options {
    Options::default()
        .set("SOUK__DATABASE__MAX_CONNECTIONS", 5)
        .set("SOUK__DATABASE__ACQUIRE_TIMEOUT_MS", 5_000)
        .set("SOUK__SERVER__REQUEST_DEADLINE_MS", 10_000)
        .set("SOUK__INTERNAL__DEADLINE_MS", 3_000)
}

/// Tells a story of a shop. If it goes wrong the logs are kept.
fn with_shop<T>(
    name: &str,
    topology: Topology,
    options: Options,
    story: impl FnOnce(&Running) -> Result<T, String>,
) -> Result<T, String> {
    let running = topology.start_with(options)?;
    match caught(|| story(&running)) {
        Ok(told) => running.stop().map(|()| told),
        Err(failure) => {
            running.keep_logs(&format!("{name}-{}", topology.name()))?;
            Err(failure)
        }
    }
}

/// Waits until a process that was told to end, or killed, is gone with all its threads.
fn await_gone(shop: &Running, process: &str) -> Result<(), String> {
    let gone = await_that(END_BOUND, || Ok(shop.pid(process).is_none().then_some(())))?;
    gone.ok_or_else(|| format!("{process} did not end"))
}

/// Asks the shop's PostgreSQL directly; gives the rows, their columns apart by `|`.
fn sql(shop: &Running, query: &str) -> Result<String, String> {
    let url = shop.database_url().unwrap();
    let mut asked = Command::new("psql");
    asked.args(["-X", "-w", "-Atq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", query]);
    let output = asked.output().map_err(text)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
        false => Err(format!("{query}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    deployments::use_binary(env!("CARGO_BIN_EXE_souk"), env!("CARGO_TARGET_TMPDIR"));
    deployments::keep_panics();
    if let Some(story) = variable(disk::INSIDE) {
        return disk::tell_inside(&story);
    }
    let trials = [
        broker::trials(),
        database::trials(),
        cache::trials(),
        messages::trials(),
        disk::trials(),
        peer::trials(),
        provider::trials(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    if !arguments.list {
        deployments::report(&figures::table());
    }
    conclusion.exit_code()
}
