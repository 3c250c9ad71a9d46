//! Which process dies when, and for how long, from the seed alone.

use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use deployments::{Running, await_that, block_on};

use crate::dice::Dice;

/// A kill comes this long after the one before it has been repaired, at most.
const BEFORE_KILL_MS: u64 = 400;
/// How long a killed process stays dead, at most.
const DEAD_FOR_MS: u64 = 300;
/// A killed process is gone by then.
const DEATH_BOUND: Duration = Duration::from_secs(20);
/// In a shop of many processes so many of a hundred rounds kill two.
const TWO_PERCENT: u64 = 20;

/// What was done.
#[derive(Debug, Default)]
pub struct Killed {
    pub processes: usize,
    /// Until a process was ready again.
    pub slowest_start: Duration,
}

/// Kills and starts again, round after round. Returns when the last process is ready.
pub fn kill_in_rounds(running: &Running, seed: u64, rounds: Range<u64>) -> Result<Killed, String> {
    let processes = running.processes()?;
    let mut killed = Killed::default();
    for round in rounds {
        let mut dice = Dice::of(seed, &[u64::MAX, round]);
        let mut victims = vec![dice.pick(&processes)];
        let other = dice.pick(&processes);
        if dice.chance(TWO_PERCENT) && !victims.contains(&other) {
            victims.push(other);
        }
        pause(Duration::from_millis(dice.below(BEFORE_KILL_MS)));
        for victim in &victims {
            kill(running, victim).map_err(|failure| format!("round {round}: {victim}: {failure}"))?;
        }
        killed.processes += victims.len();
        pause(Duration::from_millis(dice.below(DEAD_FOR_MS)));
        let began = Instant::now();
        start(running, &victims).map_err(|failure| format!("round {round}: {victims:?}: {failure}"))?;
        killed.slowest_start = killed.slowest_start.max(began.elapsed());
    }
    Ok(killed)
}

/// Until the last of its threads is gone: the first may be dead while others still hold the port.
fn kill(running: &Running, name: &str) -> Result<(), String> {
    let pid = running.pid(name).ok_or("it has died by itself")?;
    running.kill(name)?;
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let is_gone = || {
        let tasks = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
        let state = |stat: String| stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        let states = tasks.filter_map(|task| state(std::fs::read_to_string(task.path().join("stat")).ok()?));
        // One whose parent does not wait for it stays as a zombie.
        let alive = states.filter(|state| !['Z', 'X'].contains(state)).count();
        Ok((alive == 0).then_some(()))
    };
    await_that(DEATH_BOUND, is_gone)?.ok_or_else(|| "it does not die".to_owned())
}

/// All at once.
fn start(running: &Running, names: &[&String]) -> Result<(), String> {
    thread::scope(|scope| {
        let starts: Vec<_> = names.iter().map(|name| scope.spawn(|| running.start_process(name))).collect();
        let ended =
            starts.into_iter().map(|start| start.join().map_err(|_| "a start panicked".to_owned())?);
        ended.collect()
    })
}

/// Lets time pass, as the schedule of the seed says.
pub fn pause(time: Duration) {
    block_on(async { tokio::time::sleep(time).await });
}
