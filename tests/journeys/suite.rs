//! Tests are journeys times topologies: which there are, in what order they run, and the table of how they ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use deployments::{Running, Shop, TOPOLOGIES, Topology, block_on, caught, kept, text};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::stories::{JOURNEYS, Journey, restarts};

/// What is tested of a topology. The order is that in which it must happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Journey(usize),
    /// Every process ends and starts again.
    Restart,
    /// One process after the other ends and starts again while customers buy.
    RestartsUnderLoad,
    /// What the journeys were answered is what they were answered by one process on SQLite.
    Answers,
    Doctor,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Journey(journey) => JOURNEYS[journey].name,
            Stage::Restart => "a_restart_loses_nothing",
            Stage::RestartsUnderLoad => "any_process_may_restart_under_load",
            Stage::Answers => "answers_are_equal",
            Stage::Doctor => "doctor_is_clean",
        }
    }

    /// Journeys go side by side; each other stage waits for those before it.
    fn rank(self) -> usize {
        match self {
            Stage::Journey(_) => 0,
            Stage::Restart | Stage::RestartsUnderLoad => 1,
            Stage::Answers => 2,
            Stage::Doctor => 3,
        }
    }

    /// Every stage, in the order of the table.
    fn all() -> impl Iterator<Item = Stage> {
        let after = [Stage::Restart, Stage::RestartsUnderLoad, Stage::Answers, Stage::Doctor];
        (0..JOURNEYS.len()).map(Stage::Journey).chain(after)
    }

    /// Restarts that no client notices need a second process of each module.
    fn applies(self, topology: Topology) -> bool {
        match (self, topology) {
            (Stage::Doctor, _) => true,
            (Stage::RestartsUnderLoad, _) => topology == Topology::Replicas,
            (_, Topology::Replicas) => false,
            _ => true,
        }
    }
}

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    NotRun,
}

/// All tests of this run.
pub struct Suite {
    sites: Vec<Arc<Site>>,
}

/// One topology with its tests.
struct Site {
    topology: Topology,
    planned: Vec<Stage>,
    place: Mutex<Place>,
    /// The end of each test.
    ended: Mutex<BTreeMap<Stage, Outcome>>,
    one_ended: Condvar,
    /// What each journey was answered.
    transcripts: Mutex<BTreeMap<&'static str, String>>,
    /// The topology that the answers are compared with; none for that one itself.
    reference: Option<Arc<Site>>,
}

/// Where a topology stands.
enum Place {
    NotStarted,
    Up(Arc<Running>),
    /// It did not start.
    Broken,
    Gone,
}

impl Suite {
    /// The tests that the arguments ask for.
    pub fn plan(arguments: &Arguments) -> Self {
        let wanted = |stage: &Stage, topology: Topology| {
            let nothing = Trial::test(format!("{}::{}", stage.name(), topology.name()), || Ok(()));
            stage.applies(topology) && !arguments.is_filtered_out(&nothing)
        };
        let mut sites: Vec<Arc<Site>> = Vec::new();
        for topology in TOPOLOGIES.iter().copied() {
            let planned = Stage::all().filter(|stage| wanted(stage, topology)).collect();
            let reference = sites.first().cloned();
            sites.push(Arc::new(Site::new(topology, planned, reference)));
        }
        Self { sites }
    }

    /// The tests as the runner takes them; it leaves out what the arguments do not ask for. What comes after the journeys of a topology stands after the journeys of the
    /// next, so that nobody waits for the slowest.
    pub fn trials(&self) -> Vec<Trial> {
        let trials = |site: &Arc<Site>, journeys: bool| {
            let site = site.clone();
            let topology = site.topology;
            let stages =
                Stage::all().filter(move |stage| stage.applies(topology) && (stage.rank() == 0) == journeys);
            stages.map(move |stage| site.clone().trial(stage)).collect::<Vec<_>>()
        };
        let mut all = Vec::new();
        for (at, site) in self.sites.iter().enumerate() {
            all.extend(trials(site, true));
            if let Some(before) = at.checked_sub(1).and_then(|before| self.sites.get(before)) {
                all.extend(trials(before, false));
            }
        }
        all.extend(self.sites.last().map(|site| trials(site, false)).unwrap_or_default());
        all
    }

    /// Ends whatever still runs, such as after tests that never came to their end.
    pub fn end(&self) -> Result<(), String> {
        self.sites.iter().try_for_each(|site| site.stop())
    }

    /// Tests by topologies: `ok`, `FAILED`, `-` for what was not run here, and nothing for what there is not.
    pub fn table(&self) -> String {
        let width = Stage::all().map(|stage| stage.name().len()).max().unwrap_or_default();
        let row = |name: &str, cells: Vec<&str>| {
            let cells: String = cells.iter().map(|cell| format!("  {cell:<8}")).collect();
            format!("{name:<width$}{cells}").trim_end().to_owned()
        };
        let mut lines = vec![row("", self.sites.iter().map(|site| site.topology.name()).collect())];
        for stage in Stage::all() {
            let cell = |site: &Arc<Site>| match lock(&site.ended).get(&stage) {
                Some(Outcome::Passed) => "ok",
                Some(Outcome::Failed) => "FAILED",
                Some(Outcome::NotRun) => "-",
                None => "",
            };
            let cells: Vec<&str> = self.sites.iter().map(cell).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                lines.push(row(stage.name(), cells));
            }
        }
        lines.join("\n") + "\n"
    }
}

impl Site {
    fn new(topology: Topology, planned: Vec<Stage>, reference: Option<Arc<Site>>) -> Self {
        Self {
            topology,
            planned,
            place: Mutex::new(Place::NotStarted),
            ended: Mutex::default(),
            one_ended: Condvar::new(),
            transcripts: Mutex::default(),
            reference,
        }
    }

    fn trial(self: Arc<Self>, stage: Stage) -> Trial {
        let name = format!("{}::{}", stage.name(), self.topology.name());
        Trial::ignorable_test(name, move || {
            let result = match self.topology.missing() {
                Some(missing) if std::env::var_os("CI").is_none() => {
                    Ok(Completion::ignored_with(format!("not run: {missing}")))
                }
                Some(missing) => Err(Failed::from(format!("CI must run every topology: {missing}"))),
                None => self.run(stage).map(|()| Completion::Completed).map_err(Failed::from),
            };
            let outcome = match &result {
                Ok(Completion::Completed) => Outcome::Passed,
                Ok(Completion::Ignored { .. }) => Outcome::NotRun,
                Err(_) => Outcome::Failed,
            };
            let all = {
                let mut ended = lock(&self.ended);
                ended.insert(stage, outcome);
                ended.len() == self.planned.len()
            };
            self.one_ended.notify_all();
            // The last one turns off the lights: the next topologies need the room.
            let stopped = if all { self.stop() } else { Ok(()) };
            stopped.map_err(Failed::from).and(result)
        })
    }

    fn run(&self, stage: Stage) -> Result<(), String> {
        self.wait_for_those_before(stage);
        let running = self.running()?;
        match stage {
            Stage::Journey(journey) => {
                let transcript = tell(&JOURNEYS[journey], &running)?;
                lock(&self.transcripts).insert(JOURNEYS[journey].name, transcript);
                Ok(())
            }
            Stage::Restart => caught(|| restarts::a_restart_loses_nothing(&running)),
            Stage::RestartsUnderLoad => caught(|| restarts::any_process_may_restart_under_load(&running)),
            Stage::Answers => self.compare_answers(),
            Stage::Doctor => running.assert_healthy(),
        }
    }

    /// The runner takes tests in order, so that all of them have begun and will end.
    fn wait_for_those_before(&self, stage: Stage) {
        let before = self.planned.iter().filter(|other| other.rank() < stage.rank()).count();
        let mut ended = lock(&self.ended);
        while ended.keys().filter(|other| other.rank() < stage.rank()).count() < before {
            ended = self.one_ended.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The running topology; the first who asks starts it while the others wait.
    fn running(&self) -> Result<Arc<Running>, String> {
        let mut place = lock(&self.place);
        if matches!(*place, Place::NotStarted) {
            *place = match self.topology.start() {
                Ok(running) => Place::Up(Arc::new(running)),
                Err(failure) => {
                    *place = Place::Broken;
                    return Err(failure);
                }
            };
        }
        match &*place {
            Place::Up(running) => Ok(running.clone()),
            Place::Broken => {
                Err("this topology did not start; the test that tried first says why".to_owned())
            }
            Place::NotStarted | Place::Gone => Err("this topology has ended".to_owned()),
        }
    }

    fn stop(&self) -> Result<(), String> {
        match std::mem::replace(&mut *lock(&self.place), Place::Gone) {
            Place::Up(running) => {
                if lock(&self.ended).values().any(|outcome| *outcome == Outcome::Failed) {
                    running.keep_logs(self.topology.name())?;
                }
                Arc::into_inner(running).map_or(Ok(()), Running::stop)
            }
            _ => Ok(()),
        }
    }

    /// Compares each journey's transcript with the reference's. The reference is compared with a second shop of its own
    /// kind, which shows that the answers are the same whenever they are asked for.
    fn compare_answers(&self) -> Result<(), String> {
        let mine = lock(&self.transcripts).clone();
        let reference = match &self.reference {
            Some(reference) => {
                reference.wait_for_those_before(Stage::Answers);
                let asked_before = lock(&reference.transcripts).clone();
                let left = mine.keys().filter(|name| !asked_before.contains_key(*name)).copied();
                let missing = answers_of_another(reference.topology, left.collect())?;
                asked_before.into_iter().chain(missing).collect()
            }
            None => answers_of_another(self.topology, mine.keys().copied().collect())?,
        };
        let folder = kept().join("transcripts");
        let mut differences = String::new();
        for (name, transcript) in &mine {
            let Some(expected) = reference.get(name) else {
                differences.push_str(&format!("{name} was not told on the reference\n"));
                continue;
            };
            let expected = write(&folder.join("reference"), name, expected)?;
            let found = write(&folder.join(self.topology.name()), name, transcript)?;
            differences.push_str(&difference(&expected, &found)?);
        }
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }
}

/// Tells journeys in a shop of their own.
fn answers_of_another(
    topology: Topology,
    names: Vec<&'static str>,
) -> Result<BTreeMap<&'static str, String>, String> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let running = topology.start()?;
    let journeys: Vec<&Journey> = JOURNEYS.iter().filter(|journey| names.contains(&journey.name)).collect();
    let side_by_side = journeys.len().div_ceil(4);
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = journeys
            .chunks(side_by_side)
            .map(|some| {
                let running = &running;
                scope.spawn(move || {
                    some.iter().map(|journey| Ok((journey.name, tell(journey, running)?))).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    running.stop()?;
    answers
}

/// Tells a journey; gives what it was answered.
fn tell(journey: &Journey, running: &Running) -> Result<String, String> {
    let shop = Shop::at(&running.address, journey.name);
    let told = caught(|| {
        block_on((journey.story)(&shop));
        Ok(())
    });
    match told {
        Ok(()) => Ok(shop.transcript()),
        Err(failure) => {
            Err(format!("{failure}\nwhat was answered before:\n{}", last_lines(&shop.transcript())))
        }
    }
}

/// Enough of a transcript to see what led to a failure.
fn last_lines(transcript: &str) -> String {
    const ENOUGH: usize = 40;
    let lines: Vec<&str> = transcript.lines().collect();
    lines[lines.len().saturating_sub(ENOUGH)..].join("\n")
}

fn write(folder: &Path, name: &str, transcript: &str) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder).map_err(text)?;
    let file = folder.join(format!("{name}.txt"));
    std::fs::write(&file, transcript).map_err(text)?;
    Ok(file)
}

/// What differs between two files, as a unified diff.
fn difference(expected: &Path, found: &Path) -> Result<String, String> {
    let diff = Command::new("diff").arg("-u").args([expected, found]).output().map_err(text)?;
    Ok(String::from_utf8_lossy(&diff.stdout).into_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
