//! Tests are races times topologies. Races of a topology share a shop, which is started once and ended with the last.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deployments::{Options, Running, Topology, await_that, block_on, trial};
use libtest_mimic::{Arguments, Trial};

use crate::grounds::Ground;
use crate::record::{Record, Row, table};
use crate::{carts, money, orders, stock};

/// The races are run in these.
const TOPOLOGIES: &[Topology] = &[Topology::Sqlite, Topology::Postgres, Topology::Split];
/// How long after the last race something may be left open.
const OPEN_BOUND: Duration = Duration::from_secs(20);

/// Which of a topology's shops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With time to pay.
    Patient,
    /// Whose unpaid orders are cancelled after a second.
    Impatient,
}

const KINDS: &[Kind] = &[Kind::Patient, Kind::Impatient];

struct Race {
    name: &'static str,
    kind: Kind,
    run: for<'a> fn(&'a Ground) -> Pin<Box<dyn Future<Output = Record> + 'a>>,
}

macro_rules! races {
    ($($kind:ident $file:ident: $($name:ident),+;)+) => {
        &[$($(Race { name: stringify!($name), kind: Kind::$kind, run: |ground| Box::pin($file::$name(ground)) }),+),+]
    };
}

/// Every race; the long ones come first.
const RACES: &[Race] = races! {
    Patient orders: cancel_against_ship, pay_against_cancel;
    Impatient orders: pay_against_expiry;
    Patient stock: a_thousand_buyers_of_a_hundred_pieces, baskets_in_opposite_order, baskets_while_stock_is_counted;
    Patient carts:
        a_cart_that_is_changed_during_its_checkout, prices_that_change_during_a_checkout,
        carts_checked_out_a_hundred_times_at_once, merge_against_checkout;
    Patient money:
        a_hundred_refunds_of_most_of_a_payment, one_refund_sent_a_hundred_times, pay_against_pay, capture_against_void,
        capture_against_cancel, refund_against_refund_of_the_rest;
    Patient orders: reactivate_against_reactivate;
    Patient stock: two_admins_who_have_read_the_same;
};

/// All tests of this run.
pub struct Suite {
    grounds: Vec<Arc<Site>>,
    rows: Arc<Mutex<Vec<Row>>>,
}

/// One shop of a topology.
struct Site {
    topology: Topology,
    kind: Kind,
    place: Mutex<Place>,
    /// Races that have not ended.
    left: Mutex<usize>,
}

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
        let wanted = |race: &Race, topology: Topology| {
            let nothing = Trial::test(format!("{}::{}", race.name, topology.name()), || Ok(()));
            !arguments.is_filtered_out(&nothing)
        };
        let site = |topology: Topology, kind: Kind| {
            let left = RACES.iter().filter(|race| race.kind == kind && wanted(race, topology)).count();
            let place = Mutex::new(Place::NotStarted);
            Arc::new(Site { topology, kind, place, left: Mutex::new(left) })
        };
        let sites =
            TOPOLOGIES.iter().flat_map(|topology| KINDS.iter().map(move |kind| site(*topology, *kind)));
        Self { grounds: sites.collect(), rows: Arc::default() }
    }

    /// The tests as the runner takes them; it leaves out what the arguments do not ask for.
    pub fn trials(&self) -> Vec<Trial> {
        let mut trials = Vec::new();
        for topology in TOPOLOGIES.iter().copied() {
            for race in RACES {
                let at = |site: &&Arc<Site>| site.topology == topology && site.kind == race.kind;
                if let Some(site) = self.grounds.iter().find(at).cloned() {
                    let rows = self.rows.clone();
                    trials.push(trial(race.name, topology, move || site.run(race, &rows)));
                }
            }
        }
        trials
    }

    /// Ends whatever still runs, such as after tests that never came to their end.
    pub fn end(&self) -> Result<(), String> {
        self.grounds.iter().try_for_each(|site| site.stop())
    }

    /// Every race that was run.
    pub fn table(&self) -> String {
        let mut rows = lock(&self.rows);
        let place = |row: &Row| {
            let race = RACES.iter().position(|race| race.name == row.race);
            (race, TOPOLOGIES.iter().position(|topology| topology.name() == row.topology))
        };
        rows.sort_by_key(place);
        table(&rows)
    }
}

impl Site {
    fn run(&self, race: &'static Race, rows: &Mutex<Vec<Row>>) -> Result<(), String> {
        let result = self.race(race, rows);
        let is_last = {
            let mut left = lock(&self.left);
            *left = left.saturating_sub(1);
            *left == 0
        };
        if let Err(failure) = &result {
            self.keep_logs(race.name)?;
            deployments::say(&format!("{}::{}: {failure}", race.name, self.topology.name()));
        }
        // The last one turns off the lights: the next topologies need the room.
        let ended = if is_last { self.nothing_is_left_open().and(self.stop()) } else { Ok(()) };
        result.and(ended)
    }

    fn race(&self, race: &'static Race, rows: &Mutex<Vec<Row>>) -> Result<(), String> {
        let running = self.running()?;
        let began = Instant::now();
        let record = deployments::caught(|| {
            Ok(block_on(async { (race.run)(&Ground::of(&running.address, race.name).await).await }))
        });
        let took = began.elapsed();
        let record = match record {
            Ok(record) => record,
            Err(failure) => Record { violations: vec![failure], ..Record::default() },
        };
        let failure = record.failure();
        lock(rows).push(Row { race: race.name, topology: self.topology.name(), record, took });
        let healthy = running.assert_healthy();
        match failure {
            Some(failure) => Err(failure),
            None => healthy,
        }
    }

    /// The running shop; the first who asks starts it while the others wait.
    fn running(&self) -> Result<Arc<Running>, String> {
        let mut place = lock(&self.place);
        if matches!(*place, Place::NotStarted) {
            *place = match self.topology.start_with(self.options()) {
                Ok(running) => Place::Up(Arc::new(running)),
                Err(failure) => {
                    *place = Place::Broken;
                    return Err(failure);
                }
            };
        }
        match &*place {
            Place::Up(running) => Ok(running.clone()),
            Place::Broken => Err("this shop did not start; the race that tried first says why".to_owned()),
            Place::NotStarted | Place::Gone => Err("this shop has ended".to_owned()),
        }
    }

    /// A crowd of a thousand waits its turn; nothing here is about time.
    fn options(&self) -> Options {
        let options = Options::default()
            .set("SOUK__DATABASE__ACQUIRE_TIMEOUT_MS", 60_000)
            .set("SOUK__SERVER__REQUEST_DEADLINE_MS", 60_000)
            .set("SOUK__SERVER__REQUEST_HEAD_TIMEOUT_MS", 60_000)
            .set("SOUK__INTERNAL__DEADLINE_MS", 55_000)
            .set("SOUK__PAYMENTS__PROVIDER_TIMEOUT_MS", 30_000)
            .set("SOUK_READ_TIMEOUT", "60s");
        match self.kind {
            Kind::Patient => options,
            Kind::Impatient => {
                options.set("SOUK__ORDERS__PAYMENT_WINDOW_S", 1).set("SOUK__ORDERS__EXPIRE_EVERY_MS", 20)
            }
        }
    }

    /// An operator finds nothing that waits to be finished or undone.
    fn nothing_is_left_open(&self) -> Result<(), String> {
        let Place::Up(running) = &*lock(&self.place) else { return Ok(()) };
        let mut open = Vec::new();
        let closed = await_that(OPEN_BOUND, || {
            open = running.what_is_open()?;
            Ok(open.is_empty().then_some(()))
        })?;
        closed.ok_or_else(|| format!("after the last race this is left open: {open:?}"))
    }

    fn keep_logs(&self, race: &str) -> Result<(), String> {
        match &*lock(&self.place) {
            Place::Up(running) => running.keep_logs(&format!("races/{}/{race}", self.topology.name())),
            _ => Ok(()),
        }
    }

    fn stop(&self) -> Result<(), String> {
        match std::mem::replace(&mut *lock(&self.place), Place::Gone) {
            Place::Up(running) => Arc::into_inner(running).map_or(Ok(()), Running::stop),
            _ => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
