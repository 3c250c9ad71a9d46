//! Who gets in, and who does not: against real shops, in one process and split, by whoever tries.
//!
//! A test is an attack in a topology: `cargo test --test access forged` filters by either. Topologies that need PostgreSQL
//! (`TEST_DATABASE_URL`), RabbitMQ (`TEST_RABBITMQ_URL`), Redis (`TEST_REDIS_URL`) or NGINX are not run where these are
//! missing; with `CI` set that is a failure. `SOUK_TEST_BINARY` names another binary than the one just built.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

mod forged;
mod mass_assignment;
mod matrix;
mod revocation;
mod secrets;

use std::process::ExitCode;

use deployments::{TOPOLOGIES, Topology, trial};
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    deployments::use_binary(env!("CARGO_BIN_EXE_souk"), env!("CARGO_TARGET_TMPDIR"));
    deployments::keep_panics();
    // A shop at a time: the largest of them is eighteen processes.
    arguments.test_threads.get_or_insert(1);
    let forged = TOPOLOGIES.iter().map(|topology| {
        trial("forged_tokens_are_refused_everywhere", *topology, || forged::story(*topology))
    });
    let matrix = [Topology::Sqlite, Topology::Split].map(|topology| {
        trial("every_operation_is_for_those_it_is_for", topology, move || matrix::story(topology))
    });
    let mass_assignment = [Topology::Sqlite, Topology::Split].map(|topology| {
        trial("what_is_not_asked_for_has_no_effect", topology, move || mass_assignment::story(topology))
    });
    let revocation = [Topology::Split, Topology::Replicas].map(|topology| {
        trial("what_ends_ends_everywhere_at_once", topology, move || revocation::story(topology))
    });
    libtest_mimic::run(&arguments, forged.chain(matrix).chain(mass_assignment).chain(revocation).collect())
        .exit_code()
}
