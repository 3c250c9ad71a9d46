//! What a race found: how often it ended in which way, and what must not have been.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::Response;

/// Violations that are told in full; the others are counted.
const TOLD: usize = 12;

/// The account of one race in one topology.
#[derive(Debug, Default)]
pub struct Record {
    /// How often it was run.
    pub times: usize,
    /// How often it ended in which way.
    pub ends: BTreeMap<String, usize>,
    pub violations: Vec<String>,
}

impl Record {
    pub fn of(times: usize) -> Self {
        Self { times, ..Self::default() }
    }

    /// It ended so.
    pub fn ended(&mut self, how: impl Into<String>) {
        *self.ends.entry(how.into()).or_default() += 1;
    }

    /// This must not have been.
    pub fn violated(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// A violation unless it holds.
    pub fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }

    /// Both sides of a race must win, or it was none: once at least, and often where there are many runs. A hundred of them are
    /// for finding the moment at which either may.
    pub fn must_both_occur(&mut self, one: &str, other: &str) {
        let (times, enough) = (self.times, (self.times.saturating_sub(100) / 50).max(1));
        for end in [one, other] {
            let found = self.ends.get(end).copied().unwrap_or_default();
            self.must(found >= enough, || {
                format!("\"{end}\" came about {found} times of {times}: this was no race")
            });
        }
    }

    /// Counts the answers of a crowd.
    pub fn count<'a>(&mut self, answers: impl IntoIterator<Item = &'a Response>) {
        for answer in answers {
            self.ended(named(answer));
        }
    }

    /// How it ended, for the table.
    pub fn ends(&self) -> String {
        let ends = self.ends.iter().map(|(end, count)| format!("{count} {end}"));
        ends.collect::<Vec<_>>().join(", ")
    }

    /// The violations, for the report of a failed test.
    pub fn failure(&self) -> Option<String> {
        if self.violations.is_empty() {
            return None;
        }
        let told = self.violations.iter().take(TOLD).cloned().collect::<Vec<_>>().join("\n");
        Some(format!("{} violations, such as:\n{told}\nends: {}", self.violations.len(), self.ends()))
    }
}

/// An answer by its status and code.
pub fn named(answer: &Response) -> String {
    format!("{} {}", answer.status, answer.code()).trim_end().to_owned()
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    pub race: &'static str,
    pub topology: &'static str,
    pub record: Record,
    pub took: Duration,
}

/// Races by topologies.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.race.len()).max().unwrap_or_default();
    let line = |race: &str, topology: &str, times: &str, violations: &str, took: &str, ends: &str| {
        format!("{race:<width$}  {topology:<8}  {times:>5}  {violations:>10}  {took:>7}  {ends}\n")
    };
    let mut text = line("race", "topology", "times", "violations", "seconds", "ends");
    for row in rows {
        let (times, violations) = (row.record.times.to_string(), row.record.violations.len().to_string());
        let took = format!("{:.1}", row.took.as_secs_f64());
        text.push_str(&line(row.race, row.topology, &times, &violations, &took, &row.record.ends()));
    }
    text
}
