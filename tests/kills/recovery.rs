//! How a shop comes to itself after a burst of kills.

use std::time::{Duration, Instant};

use deployments::Running;
use serde_json::Value;

use crate::schedule::pause;

/// What the dead have left must be ended so long after the last process is ready.
pub const BOUND: Duration = Duration::from_secs(10);
/// A recovery that takes longer is watched this long, so that the failure tells what hangs and what is slow.
const WATCH_FOR: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pieces of open work that a failure shows.
const SHOWN: usize = 8;

/// What was seen.
#[derive(Debug)]
pub struct Recovery {
    /// Until nothing was open any more that had begun before the last process was ready.
    pub took: Duration,
    /// What the last look that found such work had found.
    last_seen: Vec<Value>,
}

impl Recovery {
    /// Whether it was quick enough.
    pub fn verdict(&self) -> Result<(), String> {
        if self.took <= BOUND {
            return Ok(());
        }
        Err(format!(
            "slow: the recovery took {} ms, last for:{}",
            self.took.as_millis(),
            list(&self.last_seen)
        ))
    }
}

/// Waits until what the dead processes left is ended; then, as the customers go on with what they had begun, until they are
/// done and nothing at all is open.
pub fn watch(running: &Running, ready_at: Instant, quiet: impl Fn() -> bool) -> Result<Recovery, String> {
    let (mut took, mut last_seen) = (None, Vec::new());
    loop {
        // Both are asked before the look: what begins while it looks is not what the dead have left.
        let (was_quiet, ready_for) = (quiet(), ready_at.elapsed());
        let open = what_is_open(running)?;
        let waited = ready_at.elapsed();
        let left: Vec<Value> = open.iter().filter(|work| is_older(work, ready_for)).cloned().collect();
        match took {
            None if left.is_empty() => took = Some(waited),
            None => last_seen = left,
            Some(_) => {}
        }
        if let (Some(took), true, true) = (took, was_quiet, open.is_empty()) {
            return Ok(Recovery { took, last_seen });
        }
        if waited > WATCH_FOR {
            let customers = if was_quiet { "" } else { "customers still wait; " };
            let seconds = waited.as_secs();
            return Err(format!("stuck: {customers}open {seconds} s after the last start:{}", list(&open)));
        }
        pause(LOOK_EVERY);
    }
}

/// Everything that `souk doctor --open` lists; it must be able to look everywhere.
fn what_is_open(running: &Running) -> Result<Vec<Value>, String> {
    let report = running.operate(&["doctor", "--open", "--json"])?.json()?;
    match (report["open"].as_array(), report["unchecked"].as_array().map(Vec::as_slice)) {
        (Some(open), Some([])) => Ok(open.clone()),
        _ => Err(format!("souk doctor --open could not look everywhere: {report}")),
    }
}

/// Whether open work is older than this. What tells no age counts as old.
fn is_older(work: &Value, than: Duration) -> bool {
    work["age_ms"].as_u64().is_none_or(|age_ms| Duration::from_millis(age_ms) > than)
}

fn list(open: &[Value]) -> String {
    open.iter().take(SHOWN).map(|work| format!("\n  {work}")).collect()
}
