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
    /// Until a look had ended that found nothing open any more that had begun before the last process was ready.
    pub took: Duration,
    /// When the last look began that found some of that, and what it was. A look is a process that has to start, which may
    /// take a while on a busy machine: only this is proof that a recovery was slow.
    last_seen: (Duration, Vec<Value>),
}

impl Recovery {
    /// Whether it was quick enough.
    pub fn verdict(&self) -> Result<(), String> {
        let (at, seen) = &self.last_seen;
        if *at <= BOUND {
            return Ok(());
        }
        Err(format!("slow: {} ms after the last start there was still open:{}", at.as_millis(), list(seen)))
    }
}

/// Waits until what the dead processes left is ended; then until the customers have their last answers and nothing at all is
/// open.
pub fn watch(running: &Running, ready_at: Instant, quiet: impl Fn() -> bool) -> Result<Recovery, String> {
    let (mut took, mut last_seen) = (None, (Duration::ZERO, Vec::new()));
    loop {
        // Both are asked before the look: what begins while it looks is not what the dead have left.
        let (was_quiet, ready_for) = (quiet(), ready_at.elapsed());
        let open = what_is_open(running)?;
        let waited = ready_at.elapsed();
        let left: Vec<Value> = open.iter().filter(|work| is_older(work, ready_for)).cloned().collect();
        match took {
            None if left.is_empty() => took = Some(waited),
            None => last_seen = (ready_for, left),
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
