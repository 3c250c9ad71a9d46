//! Races: many at once, over HTTP, against real processes. What must hold is not that nothing is refused but that every
//! answer is one of those that the contract has for it, and that stock, orders and money agree with the answers in the end.
//!
//! A test is a race in a topology: `cargo test --test races pay_against` filters by either. Each ends with `souk doctor`
//! on the live shop; after the last of a shop nothing may be left open. Topologies that need PostgreSQL
//! (`TEST_DATABASE_URL`), RabbitMQ (`TEST_RABBITMQ_URL`), Redis (`TEST_REDIS_URL`) or NGINX are not run where these are
//! missing; with `CI` set that is a failure. `SOUK_RACES_TIMES` (200; 1000 for the full number) is how often the great duels are
//! fought, and scales the others; `SOUK_RACES_SEED` sets when each side of a duel starts; `SOUK_TEST_BINARY` names another
//! binary, such as a release, with which the full number takes a few minutes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a race that goes wrong stops where it does; small numbers are counted"
)]

mod carts;
mod duel;
mod grounds;
mod money;
mod orders;
mod record;
mod stock;
mod suite;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    deployments::use_binary(env!("CARGO_BIN_EXE_souk"), env!("CARGO_TARGET_TMPDIR"));
    deployments::keep_panics();
    let suite = suite::Suite::plan(&arguments);
    let conclusion = libtest_mimic::run(&arguments, suite.trials());
    let left = suite.end();
    if !arguments.list {
        deployments::report(&suite.table());
    }
    match left {
        Ok(()) => conclusion.exit_code(),
        Err(failure) => {
            deployments::say(&failure);
            ExitCode::FAILURE
        }
    }
}
