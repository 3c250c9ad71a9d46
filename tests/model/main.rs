//! A model check of buying: the state machines that ship, in a world where anything may crash, be late, come twice or
//! out of order, between any two steps.
//!
//! The tables of `orders::domain` and `payments::domain` say what a request or worker does next; the rules of `domain`
//! say what a row may become. Both are the code of the shop itself. What stands here is the world around them: rows in
//! memory under the same conditional statements, a provider, the wire, clients, workers, and a seed that chooses at
//! every step who goes on and what goes wrong. Nothing here waits or needs a database.
//!
//! A seed always gives the same run. `SOUK_MODEL_SEED=7` runs one and prints every step; `SOUK_MODEL_SEEDS=100000` runs
//! more of them than usual.
//!
//! Rejected: a copy of the protocol in a modelling language. It would be checked while the shop goes its own way.
#![expect(clippy::indexing_slicing, reason = "the rows are there, or the model is wrong and stops")]

mod actors;
mod check;
mod coverage;
mod dice;
mod flaws;
mod schedule;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use coverage::Coverage;
use flaws::Flaws;
use schedule::Report;

/// Seeds of a run if nobody says otherwise.
const SEEDS: u64 = 10_000;
/// Seeds in which a missing safeguard must have shown itself.
const SEEDS_TO_FIND_A_FLAW: u64 = 100_000;

/// The first seed that goes wrong, with what went wrong; and the rows and steps of all that were run.
struct Found {
    violation: Option<(u64, String)>,
    coverage: Coverage,
    steps: usize,
}

/// Runs the seeds from 0 on, on every core, until one goes wrong.
fn search(seeds: u64, flaws: Flaws) -> Found {
    let next = AtomicU64::new(0);
    let work = || {
        let mut found = Found { violation: None, coverage: Coverage::default(), steps: 0 };
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return found;
            }
            let report = schedule::run(seed, flaws, false);
            found.coverage.add(&report.coverage);
            found.steps += report.steps;
            if let Some(violation) = report.violation {
                next.store(seeds, Ordering::Relaxed);
                found.violation = Some((seed, violation));
                return found;
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Found> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut all = Found { violation: None, coverage: Coverage::default(), steps: 0 };
    for part in parts {
        all.coverage.add(&part.coverage);
        all.steps += part.steps;
        let is_first = all
            .violation
            .as_ref()
            .is_none_or(|(seed, _)| part.violation.as_ref().is_some_and(|(other, _)| other < seed));
        if is_first && part.violation.is_some() {
            all.violation = part.violation;
        }
    }
    all
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = number("SOUK_MODEL_SEED") {
        let Report { violation, trace, .. } = schedule::run(seed, Flaws::default(), true);
        for line in trace {
            println!("{line}");
        }
        assert_eq!(violation, None, "seed {seed}");
        return;
    }
    let seeds = number("SOUK_MODEL_SEEDS").unwrap_or(SEEDS);
    let begun = Instant::now();
    let found = search(seeds, Flaws::default());
    let took = begun.elapsed();
    println!("{seeds} seeds, {} steps in {} ms", found.steps, took.as_millis());
    if let Some((seed, violation)) = found.violation {
        panic!("seed {seed}: {violation}\nSOUK_MODEL_SEED={seed} prints every step of it");
    }
    assert_eq!(found.coverage.unknown, None, "an answer that a table does not know");
    for (row, count) in rows(&found.coverage) {
        println!("{count:>8} {row}");
    }
    if seeds >= SEEDS {
        assert_eq!(every_row_was_walked(&found.coverage), Ok(()));
    }
}

const KEYS_STAY: &str = "the key of an attempt is kept for days, longer than any request waits";
/// Rows that no world can reach as long as the others are right, with the reason.
const UNREACHED: &[(&str, &str)] = &[
    ("undoing: Release heard No", "no order ever names an abandoned reservation, so nothing ships it"),
    (
        "paying: Open heard Second",
        "an order is free only when no payment of it is live; the index is the net",
    ),
    ("paying: AwaitAnswer heard Opened", KEYS_STAY),
    ("paying: WithdrawKey heard Done", KEYS_STAY),
    ("paying: WithdrawKey heard Silent", KEYS_STAY),
    ("moving: AwaitAnswer heard Opened", KEYS_STAY),
    ("moving: WithdrawKey heard Done", KEYS_STAY),
    ("moving: WithdrawKey heard Silent", KEYS_STAY),
];

/// Rows that take so many coincidences that a run may do without them.
const RARE: &[&str] = &["taking_back: LookForPayment heard Done", "moving: AwaitAnswer heard No"];

/// Every row of the shipped tables in words, with how often it was taken.
fn rows(coverage: &Coverage) -> Vec<(String, u64)> {
    macro_rules! rows_of {
        ($($table:path as $name:literal),+ $(,)?) => {{
            let mut rows = Vec::new();
            $(for (index, (step, heard, _)) in $table.iter().enumerate() {
                rows.push((format!("{}: {step:?} heard {heard:?}", $name), coverage.of($name, index)));
            })+
            rows
        }};
    }
    rows_of!(
        orders::domain::placing::TABLE as "placing",
        orders::domain::undoing::TABLE as "undoing",
        orders::domain::reactivating::TABLE as "reactivating",
        payments::domain::paying::TABLE as "paying",
        payments::domain::moving::TABLE as "moving",
        payments::domain::driving::TABLE as "driving",
        payments::domain::taking_back::TABLE as "taking_back",
    )
}

/// A check that never walks a row says nothing about it.
fn every_row_was_walked(coverage: &Coverage) -> Result<(), String> {
    let rows = rows(coverage);
    for (row, count) in &rows {
        let unreached = UNREACHED.iter().any(|(unreached, _)| unreached == row);
        if (*count == 0) != unreached && !RARE.contains(&row.as_str()) {
            return Err(format!("{row}: taken {count} times"));
        }
    }
    let forgotten = UNREACHED.iter().find(|(row, _)| rows.iter().all(|(other, _)| other != row));
    forgotten.map_or(Ok(()), |(row, _)| Err(format!("there is no row {row}")))
}

#[test]
fn a_seed_repeats_itself_to_the_letter() {
    for seed in 0..50 {
        let (one, other) =
            (schedule::run(seed, Flaws::default(), true), schedule::run(seed, Flaws::default(), true));
        assert!(one.trace == other.trace && one.steps == other.steps && !one.trace.is_empty(), "seed {seed}");
    }
}

/// The world without one safeguard goes wrong, and the check sees it.
macro_rules! a_world {
    ($($test:ident: $flaw:ident;)+) => {$(
        #[test]
        fn $test() {
            let found = search(SEEDS_TO_FIND_A_FLAW, Flaws { $flaw: true, ..Flaws::default() });
            let Some((seed, violation)) = found.violation else {
                panic!("nobody misses this safeguard: {}", stringify!($flaw));
            };
            println!("seed {seed}: {violation}");
        }
    )+};
}

a_world! {
    without_the_condition_that_there_is_enough: sells_what_is_not_there;
    that_releases_without_burning_the_id: burns_no_ids;
    that_does_not_release_what_was_refused: releases_no_refused;
    without_an_inbox: forgets_its_inbox;
    that_sends_events_after_the_commit: sends_events_after_the_commit;
    that_writes_orders_without_their_key: writes_orders_without_their_key;
    that_answers_in_another_transaction: answers_in_another_transaction;
    that_releases_before_it_closes_the_intent: releases_before_closing;
    without_a_list_of_the_abandoned: keeps_no_list_of_abandoned;
    that_lets_every_payment_begin: lets_every_payment_begin;
    that_forgets_given_up_payments: forgets_given_up_payments;
    that_cancels_what_is_being_paid: cancels_what_is_being_paid;
    that_takes_intents_that_are_being_taken_back: takes_every_intent;
    that_remembers_what_was_paid: remembers_what_was_paid;
    that_remembers_under_any_lease: remembers_under_any_lease;
    that_repeats_calls_under_a_new_key: repeats_under_a_new_key;
    that_abandons_without_a_fence: abandons_without_a_fence;
    that_settles_twice: settles_twice;
    that_sets_no_refunds_aside: sets_no_refunds_aside;
    that_drops_keys_of_open_attempts: drops_keys_of_open_attempts;
}
