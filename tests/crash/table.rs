//! The table of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deployments::Topology;
use platform::failpoint::Point;

use crate::journeys::Journey;
use crate::runner::{Hit, is_exhaustive};

/// How a run ended.
pub enum Outcome {
    /// The process ended at the point, and so long after it was ready again everything was finished.
    Recovered(Duration),
    /// This time nothing came by the point.
    Missed,
    Violated,
}

#[derive(Default)]
struct Counts {
    /// By the name of the point.
    runs: BTreeMap<&'static str, usize>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<(Journey, &'static str), Counts>,
    reached: BTreeSet<&'static str>,
    /// What some journey of a topology has taken upon itself.
    claimed: BTreeSet<(&'static str, Hit)>,
    /// Passes that were left to another journey.
    left_out: usize,
    missed: Vec<String>,
    violations: usize,
    slowest: Option<(Duration, String)>,
    recoveries: Vec<Duration>,
}

/// What every process asks every few seconds, whatever the journey: such a poll may come before or after it the next time.
const POLLS: [&str; 2] = ["auth.public_keys", "auth.revoked"];
/// Of the other steps one in so many may be missed.
const MISSED_OF: usize = 50;

/// All runs so far.
#[derive(Default)]
pub struct Table {
    state: Mutex<State>,
}

impl Table {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no other journey of this topology ends a process there.
    pub fn claim(&self, topology: Topology, hit: &Hit) -> bool {
        let mut state = self.state();
        let first = state.claimed.insert((topology.name(), hit.clone()));
        state.left_out += usize::from(!first && !is_exhaustive());
        first
    }

    pub fn note(&self, journey: Journey, topology: Topology, hit: &Hit, outcome: &Outcome) {
        let mut state = self.state();
        let at = format!("{} {} {hit}", journey.name(), topology.name());
        match outcome {
            Outcome::Missed => return state.missed.push(at),
            Outcome::Violated => state.violations += 1,
            Outcome::Recovered(took) => {
                state.recoveries.push(*took);
                if state.slowest.as_ref().is_none_or(|(slowest, _)| took > slowest) {
                    state.slowest = Some((*took, at));
                }
            }
        }
        let point = hit.point().name();
        state.reached.insert(point);
        let row = state.rows.entry((journey, topology.name())).or_default();
        *row.runs.entry(point).or_default() += 1;
    }

    /// The points at which no process has ended.
    pub fn unreached(&self) -> impl Iterator<Item = Point> {
        let reached = self.state().reached.clone();
        Point::ALL.iter().copied().filter(move |point| !reached.contains(point.name()))
    }

    /// What makes the runs worthless though none of them has failed.
    pub fn doubts(&self) -> Option<String> {
        let state = self.state();
        let is_poll =
            |at: &&String| POLLS.iter().any(|poll| at.contains(poll) || at.contains(&poll.replace('.', "/")));
        let missed = state.missed.iter().filter(|at| !is_poll(at)).count();
        let ended = state.recoveries.len();
        (missed * MISSED_OF > ended)
            .then(|| format!("{missed} steps were not reached again, and {ended} were: the journeys are not what was recorded"))
    }

    /// A row for each journey in a topology, a column for each point.
    pub fn print(&self) -> String {
        let state = self.state();
        let numbers: String = (1..=Point::ALL.len()).map(|number| format!("{number:>5}")).collect();
        let mut lines = vec![
            "\nCrashes at each point (columns), by journey and topology:".to_owned(),
            format!("{:<28}{numbers}   all", ""),
        ];
        let (mut sums, mut total) = (vec![0; Point::ALL.len()], 0);
        for ((journey, topology), counts) in &state.rows {
            let runs =
                Point::ALL.iter().map(|point| counts.runs.get(point.name()).copied().unwrap_or_default());
            let runs: Vec<usize> = runs.collect();
            sums.iter_mut().zip(&runs).for_each(|(sum, runs)| *sum += runs);
            let all: usize = runs.iter().sum();
            total += all;
            lines.push(format!("{:<28}{}{all:>6}", format!("{} {topology}", journey.name()), cells(&runs)));
        }
        lines.push(format!("{:<28}{}{total:>6}\n", "all", cells(&sums)));
        for (number, point) in Point::ALL.iter().enumerate() {
            lines.push(format!("{:>3} {:<16} {}", number + 1, point.name(), point.when()));
        }
        lines.push(format!("\n{total} crashes, {} violations", state.violations));
        lines.push(match state.left_out {
            0 => "every journey was ended at each point that it passes".to_owned(),
            left => format!("{left} more passes were left to another journey with the same step (SOUK_CRASH_ALL=1 runs them)"),
        });
        let mut recoveries = state.recoveries.clone();
        recoveries.sort();
        if let (Some((slowest, at)), Some(median)) = (&state.slowest, recoveries.get(recoveries.len() / 2)) {
            let (slowest, median) = (slowest.as_secs_f64(), median.as_secs_f64());
            lines.push(format!(
                "recovered after the restart: half within {median:.2} s, the slowest {slowest:.2} s ({at})"
            ));
        }
        lines.push(format!("armed twice and not reached again: {}", state.missed.len()));
        lines.extend(state.missed.iter().map(|at| format!("  {at}")));
        lines.join("\n")
    }
}

fn cells(runs: &[usize]) -> String {
    runs.iter().map(|runs| if *runs == 0 { format!("{:>5}", "-") } else { format!("{runs:>5}") }).collect()
}
