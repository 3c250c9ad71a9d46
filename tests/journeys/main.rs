//! Journeys: stories of the whole shop, told by a client that knows an address and nothing else. Every journey runs,
//! unchanged, in every topology, and what it was answered must be the same in all of them.
//!
//! A test is a journey in a topology: `cargo test --test journeys one_order` filters by either. After the journeys of a
//! topology come `a_restart_loses_nothing`, `answers_are_equal` and `doctor_is_clean`. Topologies that need PostgreSQL
//! (`TEST_DATABASE_URL`), RabbitMQ (`TEST_RABBITMQ_URL`), Redis (`TEST_REDIS_URL`) or NGINX are not run where these are
//! missing; with `CI` set that is a failure. `SOUK_TEST_BINARY` names another binary than the one just built.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

mod stories;
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
