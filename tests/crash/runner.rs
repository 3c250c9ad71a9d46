//! One run: a story, a failpoint, a crash, a restart, and the facts.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deployments::{Running, Topology, await_that, block_on, caught, say, text, variable};
use platform::failpoint::Point;
use serde_json::Value;

use crate::careful::Careful;
use crate::journeys::{Journey, Scene};
use crate::table::{Outcome, Table};
use crate::yard::Yard;

/// So long after the restart everything is finished or undone.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);
/// How long the facts may take to be as expected. More than the bound, so that what is late is told apart from what never comes.
const FACTS_WITHIN: Duration = Duration::from_secs(30);
/// A shop in which no failpoint was passed for so long has nothing left to do.
const QUIET: Duration = Duration::from_millis(300);
/// A shop that is never quiet has something running in circles.
const QUIET_WITHIN: Duration = Duration::from_secs(20);
/// After so many violations a test says enough.
const ENOUGH: usize = 8;
/// How long an aborted process may take to be dead.
const DIES_WITHIN: Duration = Duration::from_secs(10);
/// What `abort` ends a process with.
const SIGABRT: i32 = 6;

/// A failpoint as it was passed: the process and the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    process: String,
    key: String,
}

impl Hit {
    pub fn point(&self) -> Point {
        let name = self.key.split('[').next().unwrap_or_default();
        *Point::ALL
            .iter()
            .find(|point| point.name() == name)
            .expect("every key begins with the name of a point")
    }
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.key, self.process)
    }
}

/// Whether each journey ends processes at all points that it passes, those of other journeys, too.
pub fn is_exhaustive() -> bool {
    variable("SOUK_CRASH_ALL").is_some()
}

/// Which keys are run; all if there is none.
pub fn filter() -> Option<String> {
    variable("SOUK_CRASH_FILTER")
}

/// Which share of the steps is run, `1/3` to `3/3`; all of them if none is named.
pub fn share() -> Option<(usize, usize)> {
    let text = variable("SOUK_CRASH_SHARE")?;
    let (share, of) = text.split_once('/')?;
    Some((share.parse().ok()?, of.parse().ok()?))
}

/// Whether a step of a journey is in the share that is run.
fn is_in_share(index: usize) -> bool {
    share().is_none_or(|(share, of)| index % of.max(1) + 1 == share)
}

/// What a story has at hand.
pub struct Stage<'a> {
    pub running: &'a Running,
    pub client: Careful,
}

/// A journey in a topology.
struct Runner<'a> {
    journey: Journey,
    topology: Topology,
    stage: Stage<'a>,
}

/// The test: every failpoint of a journey.
pub fn crash_everywhere(
    journey: Journey,
    topology: Topology,
    yard: &Yard,
    table: &Table,
) -> Result<(), String> {
    let mut site = yard.take(journey, topology)?;
    let stage = Stage { running: &site, client: Careful::of(&site.address) };
    let runner = Runner { journey, topology, stage };
    let violations = runner.crash_at_each(table);
    let ended = match violations {
        Ok(violations) if violations.is_empty() => journey.assert_healthy(&site),
        Ok(violations) => Err(violations.join("\n")),
        Err(failure) => Err(failure),
    };
    if ended.is_err() {
        site.keep_logs(&format!("crash-{}-{}", journey.name(), topology.name()))?;
        site.condemn();
    }
    ended
}

impl Runner<'_> {
    /// Gives what went wrong. An error ends the test: nothing else can be found out.
    fn crash_at_each(&self, table: &Table) -> Result<Vec<String>, String> {
        let hits = self.record()?;
        let filter = filter();
        let wanted = |hit: &&Hit| filter.as_ref().is_none_or(|part| hit.key.contains(part));
        let mut violations = Vec::new();
        let mut number = 0;
        for (index, hit) in hits.iter().filter(wanted).enumerate() {
            if !is_in_share(index) {
                continue;
            }
            if !table.claim(self.topology, hit) && !is_exhaustive() {
                continue;
            }
            let outcome = loop {
                number += 1;
                let first = number % 2 == 1;
                match self.crash_at(hit, number) {
                    Ok(None) if first => continue,
                    Ok(None) => break Outcome::Missed,
                    Ok(Some(took)) => break Outcome::Recovered(took),
                    Err(failure) => {
                        violations.push(format!("{hit}: {failure}"));
                        break Outcome::Violated;
                    }
                }
            };
            number += number % 2;
            table.note(self.journey, self.topology, hit, &outcome);
            if violations.len() >= ENOUGH {
                return Ok(violations);
            }
            if matches!(outcome, Outcome::Violated) {
                self.start_what_is_dead()?;
            }
        }
        Ok(violations)
    }

    fn prefix(&self, number: usize) -> String {
        format!("{}-{number}", self.journey.name().replace('_', "-"))
    }

    /// Tells the story undisturbed and gives what it passed.
    fn record(&self) -> Result<BTreeSet<Hit>, String> {
        caught(|| {
            let mut scene = block_on(self.journey.prepare(&self.stage, &self.prefix(0)));
            self.await_quiet()?;
            for (_, folder) in self.folders()? {
                remove(&folder.join("seen"))?;
            }
            block_on(self.journey.tell(&self.stage, &mut scene));
            block_on(self.settle(&scene))?;
            self.await_quiet()?;
            block_on(self.settle(&scene))
        })?;
        let mut hits = BTreeSet::new();
        for (process, folder) in self.folders()? {
            for key in seen(&folder)?.lines() {
                hits.insert(Hit { process: process.clone(), key: key.to_owned() });
            }
        }
        match hits.is_empty() {
            true => Err("the story passed no failpoint; was the binary built with `cargo build`?".to_owned()),
            false => Ok(hits),
        }
    }

    /// Tells the story with a crash. Gives how long the recovery took; none if the point was not reached.
    fn crash_at(&self, hit: &Hit, number: usize) -> Result<Option<Duration>, String> {
        let mut scene = caught(|| Ok(block_on(self.journey.prepare(&self.stage, &self.prefix(number)))))?;
        let folder = self.stage.running.failpoints(&hit.process);
        arm(&folder, &hit.key)?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reviver = scope.spawn(|| self.revive(&hit.process, &folder, &over));
            let told = caught(|| {
                block_on(self.journey.tell(&self.stage, &mut scene));
                block_on(self.settle(&scene))
            });
            let missed = remove(&folder.join("armed"));
            over.store(true, Ordering::SeqCst);
            let revived = reviver.join().map_err(|_| "the reviver panicked".to_owned())?;
            missed?;
            match (revived, told) {
                (Err(dead), Err(told)) => Err(format!("{dead}; {told}")),
                (Err(failure), Ok(())) | (Ok(_), Err(failure)) => Err(failure),
                (Ok(None), Ok(())) => Ok(None),
                (Ok(Some(ready_at)), Ok(())) => {
                    let took = self.await_nothing_open(ready_at)?;
                    caught(|| block_on(self.settle(&scene)))?;
                    Ok(Some(took))
                }
            }
        })
    }

    /// Waits for the crash and starts the process again. Gives when it was ready; none if it did not crash.
    fn revive(&self, process: &str, folder: &Path, over: &AtomicBool) -> Result<Option<Instant>, String> {
        let hit = folder.join("hit");
        let crashed = await_that(Duration::from_secs(600), || {
            // In this order: what was hit before the story was over counts.
            let was_over = over.load(Ordering::SeqCst);
            Ok(if hit.exists() { Some(true) } else { was_over.then_some(false) })
        })?;
        if crashed != Some(true) {
            return Ok(None);
        }
        let running = self.stage.running;
        running.await_death(process)?;
        if running.prefix().is_none() {
            // A child is dead for the system a moment before its parent is told.
            match await_that(DIES_WITHIN, || Ok(running.died_of()))? {
                Some(SIGABRT) => {}
                other => return Err(format!("{process} should have died of SIGABRT, not {other:?}")),
            }
        }
        running.start_process(process)?;
        remove(&hit)?;
        Ok(Some(Instant::now()))
    }

    /// Waits until the facts are as expected.
    async fn settle(&self, scene: &Scene) -> Result<(), String> {
        let expected = self.journey.expected();
        let give_up = Instant::now() + FACTS_WITHIN;
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let found = self.journey.facts(&self.stage, scene).await;
            if found == expected {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(format!("the facts are wrong:{}", difference(&expected, &found)));
            }
        }
    }

    /// Waits until nothing waits to be finished or undone. Gives how long after the restart that was: when the look began that found
    /// nothing, as the look itself starts a program and is no part of the recovery.
    fn await_nothing_open(&self, ready_at: Instant) -> Result<Duration, String> {
        let (mut open, mut looked_after) = (Vec::new(), ready_at.elapsed());
        let closed = await_that(RECOVERED_WITHIN.saturating_sub(looked_after), || {
            looked_after = ready_at.elapsed();
            open = self.journey.open(self.stage.running)?;
            Ok(open.is_empty().then_some(()))
        })?;
        match closed {
            None => {
                Err(format!("{:.1} s after the restart this was open: {open:?}", looked_after.as_secs_f64()))
            }
            Some(()) if looked_after > RECOVERED_WITHIN => {
                Err(format!("all was well only {:.1} s after the restart", looked_after.as_secs_f64()))
            }
            Some(()) => Ok(looked_after),
        }
    }

    /// Waits until no process passes a failpoint any more.
    fn await_quiet(&self) -> Result<(), String> {
        let folders = self.folders()?;
        let (mut before, mut since) = (0, Instant::now());
        let quiet = await_that(QUIET_WITHIN, || {
            let now = folders.iter().map(|(_, folder)| size(&folder.join("seen"))).sum();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            Ok((since.elapsed() >= QUIET).then_some(()))
        })?;
        quiet.ok_or_else(|| "the shop is never quiet".to_owned())
    }

    /// The processes with the folders of their failpoints.
    fn folders(&self) -> Result<Vec<(String, PathBuf)>, String> {
        let running = self.stage.running;
        let names = running.processes()?;
        Ok(names.into_iter().map(|name| (name.clone(), running.failpoints(&name))).collect())
    }

    /// After a violation the next run must find a whole shop.
    fn start_what_is_dead(&self) -> Result<(), String> {
        for (name, folder) in self.folders()? {
            remove(&folder.join("armed"))?;
            remove(&folder.join("hit"))?;
            if self.stage.running.pid(&name).is_none() {
                say(&format!("{name} is dead and is started again"));
                self.stage.running.start_process(&name)?;
            }
        }
        Ok(())
    }
}

fn arm(folder: &Path, key: &str) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(text)?;
    let finished = folder.join("to-arm");
    std::fs::write(&finished, key).map_err(text)?;
    std::fs::rename(finished, folder.join("armed")).map_err(text)
}

/// Whether there was such a file.
fn remove(file: &Path) -> Result<bool, String> {
    match std::fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn seen(folder: &Path) -> Result<String, String> {
    match std::fs::read_to_string(folder.join("seen")) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(text),
    }
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// The facts that are not as expected.
fn difference(expected: &Value, found: &Value) -> String {
    let fields = expected.as_object().into_iter().flatten();
    let wrong = fields.filter(|(name, value)| found[name.as_str()] != **value);
    wrong
        .map(|(name, value)| {
            format!("\n    {name}: expected {value}\n    {name}: found    {}", found[name.as_str()])
        })
        .collect()
}
