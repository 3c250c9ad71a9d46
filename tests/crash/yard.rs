//! The shops: a few of each topology, used again and again.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use deployments::{Options, Running, Topology};

use crate::journeys::Journey;

/// Shops of one topology at the same time. A split one is nine processes, and on PostgreSQL each has some thirty connections.
fn at_once(topology: Topology) -> usize {
    match topology {
        Topology::Sqlite => 6,
        _ => 3,
    }
}

/// What makes them quick, beside what every test has: a provider whose answer is lost is not waited for long.
const SETTINGS: &[(&str, &str)] =
    &[("SOUK__PAYMENTS__PROVIDER_TIMEOUT_MS", "1000"), ("SOUK__NOTIFICATIONS__SEND_EVERY_MS", "250")];

#[derive(Default)]
struct Lot {
    idle: Vec<Running>,
    in_use: usize,
}

/// All shops of this run.
#[derive(Default)]
pub struct Yard {
    lots: Mutex<BTreeMap<&'static str, Lot>>,
    freed: Condvar,
}

/// A shop for one test; it goes back with this value.
pub struct Site<'a> {
    yard: &'a Yard,
    topology: Topology,
    running: Option<Running>,
    /// Nobody else may have it.
    own: bool,
}

impl Yard {
    fn lots(&self) -> MutexGuard<'_, BTreeMap<&'static str, Lot>> {
        self.lots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shop for this journey: one that is idle, or a new one, or one that somebody gives back.
    pub fn take(&self, journey: Journey, topology: Topology) -> Result<Site<'_>, String> {
        let own = !journey.settings().is_empty() || journey.leaves_traces();
        let mut lots = self.lots();
        loop {
            let lot = lots.entry(topology.name()).or_default();
            let mut idle = lot.idle.pop();
            if idle.is_some() || lot.in_use < at_once(topology) {
                lot.in_use += 1;
                drop(lots);
                let mut site = Site { yard: self, topology, running: None, own };
                if own && let Some(unfit) = idle.take() {
                    unfit.stop()?;
                }
                site.running = match idle {
                    Some(running) => Some(running),
                    None => Some(topology.start_with(options(journey))?),
                };
                return Ok(site);
            }
            lots = self.freed.wait(lots).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends all shops.
    pub fn stop(&self) -> Result<(), String> {
        let lots = std::mem::take(&mut *self.lots());
        lots.into_values().flat_map(|lot| lot.idle).try_for_each(Running::stop)
    }
}

fn options(journey: Journey) -> Options {
    let mut options = Options { failpoints: true, ..Options::default() };
    for (name, value) in SETTINGS.iter().chain(journey.settings()) {
        options = options.set(name, value);
    }
    options
}

impl Deref for Site<'_> {
    type Target = Running;

    fn deref(&self) -> &Running {
        self.running.as_ref().expect("it has a shop until it is dropped")
    }
}

impl Site<'_> {
    /// Something is wrong with it: nobody else gets it.
    pub fn condemn(&mut self) {
        self.own = true;
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        let running = self.running.take().filter(|_| !self.own);
        let mut lots = self.yard.lots();
        let lot = lots.entry(self.topology.name()).or_default();
        lot.in_use -= 1;
        lot.idle.extend(running);
        drop(lots);
        self.yard.freed.notify_all();
    }
}
