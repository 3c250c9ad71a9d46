//! Random kills: processes of the shop die by SIGKILL at random moments while customers buy. What was acknowledged must
//! stand, once, and what was left half done must be finished or undone within 10 s.
//!
//! `cargo test --test kills` runs 25 rounds in each topology; `SOUK_KILLS_ROUNDS=500` is the nightly form. A run prints its
//! seed, and `SOUK_KILLS_SEED` repeats it: which process dies in which round, how long after the last repair and for how
//! long, what each customer wants of each errand, how it pays, what it repeats. What a seed cannot repeat is real time: how
//! far a request has come when the process dies, who is quicker to the last piece, and so how many errands fit into a
//! burst. A failure that hangs on such a moment may need several runs of its seed.
//!
//! The customers are careful: they send what has no answer again, unchanged and under the same key, and take every
//! final answer into a ledger (`errand`). After each burst of five kills the shop must recover, and is compared with the
//! ledger (`audit`): to the penny and to the piece, nothing missing and nothing more than was acknowledged.
//!
//! Topologies that need PostgreSQL (`TEST_DATABASE_URL`), RabbitMQ (`TEST_RABBITMQ_URL`), Redis (`TEST_REDIS_URL`) or
//! NGINX are not run where these are missing; with `CI` set that is a failure. `SOUK_TEST_BINARY` names another binary than
//! the one just built.
#![expect(clippy::indexing_slicing, reason = "a run that goes wrong stops where it does")]

mod assault;
mod audit;
mod client;
mod dice;
mod errand;
mod plan;
mod recovery;
mod schedule;
mod tally;

use std::process::ExitCode;

use deployments::{Topology, trial};
use libtest_mimic::Arguments;

const TOPOLOGIES: [Topology; 3] = [Topology::Sqlite, Topology::Postgres, Topology::Split];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    deployments::use_binary(env!("CARGO_BIN_EXE_souk"), env!("CARGO_TARGET_TMPDIR"));
    deployments::keep_panics();
    let trials = TOPOLOGIES
        .into_iter()
        .map(|topology| trial("random_kills", topology, move || assault::random_kills(topology)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
