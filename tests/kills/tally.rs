//! What a run has come to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::errand::{Errand, Shipped};
use crate::schedule::Killed;

/// Failures that a report shows.
const SHOWN: usize = 12;

#[derive(Default)]
pub struct Tally {
    pub rounds: u64,
    pub killed: Killed,
    pub recoveries: Vec<Duration>,
    /// The ledger.
    pub errands: Vec<Errand>,
    pub failures: Vec<String>,
}

impl Tally {
    /// The figures; `again` are the tries that had no final answer.
    pub fn table(&self, name: &str, seed: u64, again: &BTreeMap<String, usize>) -> String {
        let payments = || self.errands.iter().flat_map(|errand| &errand.payments);
        let count = |of: fn(&Errand) -> bool| self.errands.iter().filter(|errand| of(errand)).count();
        let (lost, doubled) = (self.named("lost: "), self.named("doubled: "));
        let mut recoveries: Vec<u128> = self.recoveries.iter().map(Duration::as_millis).collect();
        recoveries.sort_unstable();
        let median = recoveries.get(recoveries.len() / 2).copied().unwrap_or_default();
        let slowest = recoveries.last().copied().unwrap_or_default();
        let figures = [
            ("seed", seed.to_string()),
            ("rounds", self.rounds.to_string()),
            ("kills", self.killed.processes.to_string()),
            ("orders acknowledged", count(|errand| errand.order.is_some()).to_string()),
            ("orders refused for want of stock", count(|errand| errand.refused).to_string()),
            ("payments", payments().filter(|payment| !payment.declined).count().to_string()),
            ("declined or interrupted", payments().filter(|payment| payment.declined).count().to_string()),
            ("refunds", payments().map(|payment| payment.refunds.len()).sum::<usize>().to_string()),
            ("cancels", count(|errand| errand.cancelled).to_string()),
            ("sent", count(|errand| errand.shipped == Shipped::Sent).to_string()),
            ("retries", format!("{}: {again:?}", again.values().sum::<usize>())),
            (
                "repeated after the answer",
                self.errands.iter().map(|errand| errand.repeated).sum::<usize>().to_string(),
            ),
            ("lost", lost.to_string()),
            ("doubled", doubled.to_string()),
            ("stuck, slow or wrong", self.failures.len().saturating_sub(lost + doubled).to_string()),
            ("recovery", format!("{slowest} ms at most, {median} ms the median")),
            ("slowest start of a process", format!("{} ms", self.killed.slowest_start.as_millis())),
        ];
        let lines: String = figures.iter().map(|(what, figure)| format!("  {what:<34}{figure}\n")).collect();
        format!("random_kills::{name}\n{lines}")
    }

    /// Failures are named with their first word, behind what they are of.
    fn named(&self, word: &str) -> usize {
        self.failures.iter().filter(|failure| failure.contains(word)).count()
    }

    pub fn verdict(&self) -> Result<(), String> {
        if self.failures.is_empty() {
            return Ok(());
        }
        let shown = self.failures.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
        Err(format!("{} failures, such as:\n{shown}", self.failures.len()))
    }
}
