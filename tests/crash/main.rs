//! Crashes, all of them: a customer's or an admin's story is told once undisturbed, and every failpoint that it passes is noted
//! ([`platform::failpoint`]). Then the story is told once more for each of them, and there the process ends by SIGABRT. It is started
//! again at once, a careful client repeats what had no answer, and afterwards every fact must be what it is without a crash.
//!
//! A test is a journey in a topology: `cargo test --test crash refund::split`. A step that several journeys of a topology have in common
//! is the business of the first of them; with `SOUK_CRASH_ALL=1` each journey is ended at each of its steps. `SOUK_CRASH_FILTER=commit.after`
//! takes only the failpoints whose key holds this text; `SOUK_CRASH_SHARE=1/3` every third step of a journey, `2/3` and `3/3` the others. At the end stands the table of runs; a point of the static table that no run has reached is a failure, where
//! everything was run. What topologies need is in `tests/journeys`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a story that goes wrong stops where it does"
)]

mod careful;
mod facts;
mod journeys;
mod poison;
mod runner;
mod table;
mod yard;

use std::process::ExitCode;
use std::sync::Arc;

use deployments::{Topology, report, say, trial};
use libtest_mimic::Arguments;

use crate::journeys::Journey;
use crate::table::Table;
use crate::yard::Yard;

/// The topologies in which processes are ended, those with the slowest starts first.
const CRASHED: &[Topology] = &[Topology::Split, Topology::Postgres, Topology::Sqlite];
/// Stories told at once, each in a shop of its own: most of the time they wait for a lease to run out.
const AT_ONCE: usize = 16;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    deployments::use_only(env!("CARGO_BIN_EXE_souk"), env!("CARGO_TARGET_TMPDIR"));
    deployments::keep_panics();
    let (yard, table) = (Arc::new(Yard::default()), Arc::new(Table::default()));
    let mut trials = Vec::new();
    for journey in Journey::ALL {
        for topology in CRASHED.iter().filter(|topology| journey.runs_in(**topology)) {
            let (yard, table) = (yard.clone(), table.clone());
            trials.push(trial(journey.name(), *topology, move || {
                runner::crash_everywhere(*journey, *topology, &yard, &table)
            }));
        }
    }
    let planned = trials.len();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let stopped = yard.stop();
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    report(&table.print());
    let mut failures: Vec<String> = stopped.err().into_iter().collect();
    let everything = usize::try_from(conclusion.num_passed + conclusion.num_failed) == Ok(planned);
    failures.extend(table.doubts());
    if everything && runner::filter().is_none() && runner::share().is_none() {
        failures.extend(
            table.unreached().map(|point| format!("no run has reached {}: {}", point.name(), point.when())),
        );
    }
    for failure in &failures {
        say(failure);
    }
    if failures.is_empty() { conclusion.exit_code() } else { ExitCode::FAILURE }
}
