//! The course of a run: bursts of load and kills, and after each the recovery and the comparison with the ledger.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use deployments::{
    Options, Person, Running, Shop, Topology, await_that, block_on, caught, report, say, text, variable,
};
use futures_util::future::join_all;
use serde_json::json;

use crate::audit::Auditor;
use crate::client::Client;
use crate::errand::{self, Customer, Errand};
use crate::plan::GOODS;
use crate::recovery::{self, Recovery};
use crate::schedule::{Killed, kill_in_rounds};
use crate::tally::Tally;

/// So many ask something new at the same time.
const BUSY: usize = 16;
/// More than that, as those whom a kill has struck wait for seconds until they hear what became of their requests.
const CUSTOMERS: usize = 4 * BUSY;
/// Rounds in a row under load; then the shop must recover.
const BURST: u64 = 5;
/// So many errands of a burst end before its first kill, so that the others are at all steps when it comes.
const WARM: usize = BUSY;
/// It comes after this at the latest.
const WARM_BOUND: Duration = Duration::from_secs(10);
/// Rounds of a run that does not say how many.
const ROUNDS: u64 = 25;
/// When nothing is open, everything must be as acknowledged within this.
const GRACE: Duration = Duration::from_secs(2);
/// The name of this run in the shop.
const NAME: &str = "random_kills";

/// How many rounds, by `SOUK_KILLS_ROUNDS`.
fn rounds() -> Result<u64, String> {
    variable("SOUK_KILLS_ROUNDS").map_or(Ok(ROUNDS), |rounds| rounds.parse().map_err(text))
}

/// By `SOUK_KILLS_SEED`, or a fresh one: the random part of a fresh id.
fn seed() -> Result<u64, String> {
    match variable("SOUK_KILLS_SEED") {
        Some(seed) => seed.parse().map_err(text),
        None => testkit::fresh_id().as_bytes()[8..].try_into().map(u64::from_be_bytes).map_err(text),
    }
}

/// A whole run in a shop of its own.
pub fn random_kills(topology: Topology) -> Result<(), String> {
    let (seed, rounds) = (seed()?, rounds()?);
    let name = topology.name();
    let of_run = format!("SOUK_KILLS_SEED={seed} SOUK_KILLS_ROUNDS={rounds}");
    say(&format!("random_kills::{name} begins: {of_run}"));
    let options = Options::default()
        // Longer than the longest run: nobody has to log in again, and no order expires.
        .set("SOUK__AUTH__ACCESS_TOKEN_TTL_S", 86_400)
        .set("SOUK__ORDERS__PAYMENT_WINDOW_S", 86_400);
    let running = topology.start_with(options)?;
    let outcome = caught(|| {
        let mut run = Run::begin(&running, seed);
        run.assault(rounds)?;
        report(&run.tally.table(name, seed, &run.client.again()));
        run.tally.verdict()
    });
    if outcome.is_err() {
        running.keep_logs(&format!("kills-{name}-{seed}"))?;
    }
    let stopped = running.stop();
    outcome.map_err(|failure| format!("{of_run}: {failure}"))?;
    stopped
}

/// A run that goes on.
struct Run<'a> {
    running: &'a Running,
    seed: u64,
    client: Client,
    customers: Vec<Person>,
    admin: Person,
    /// Pieces of all goods that have come in.
    came_in: BTreeMap<&'static str, i64>,
    /// Errands that each customer has done.
    done: Vec<u64>,
    tally: Tally,
}

impl<'a> Run<'a> {
    /// Goods, customers and an administrator.
    fn begin(running: &'a Running, seed: u64) -> Self {
        let shop = Shop::at(&running.address, NAME);
        let names: Vec<String> = (0..CUSTOMERS).map(|who| format!("customer{who}")).collect();
        let (admin, customers) = block_on(async {
            let admin = shop.admin().await;
            for goods in GOODS {
                shop.offer(&admin, goods.sku, goods.price, goods.on_hand).await;
            }
            let mut customers = Vec::new();
            // The queue for hashing passwords is bounded.
            for some in names.chunks(BUSY) {
                customers.extend(join_all(some.iter().map(|name| shop.newcomer(name))).await);
            }
            (admin, customers)
        });
        Self {
            running,
            seed,
            client: Client::new(&running.address, BUSY),
            customers,
            admin,
            came_in: GOODS.iter().map(|goods| (goods.sku, goods.on_hand)).collect(),
            done: vec![0; CUSTOMERS],
            tally: Tally::default(),
        }
    }

    /// Burst after burst; the first that goes wrong is the last.
    fn assault(&mut self, rounds: u64) -> Result<(), String> {
        while self.tally.rounds < rounds && self.tally.failures.is_empty() {
            let burst = self.tally.rounds..rounds.min(self.tally.rounds + BURST);
            self.tally.rounds = burst.end;
            let failures =
                self.burst(burst.clone()).map_err(|failure| format!("rounds {burst:?}: {failure}"))?;
            self.tally
                .failures
                .extend(failures.into_iter().map(|failure| format!("rounds {burst:?}: {failure}")));
            self.restock();
        }
        if self.tally.failures.is_empty() {
            self.tally.failures = block_on(self.auditor().everything(&self.tally.errands));
            self.tally.failures.extend(self.running.assert_healthy().err());
        }
        Ok(())
    }

    /// One burst with all that follows it; gives what is wrong.
    fn burst(&mut self, rounds: Range<u64>) -> Result<Vec<String>, String> {
        let (killed, errands, recovery) = self.kill_under_load(rounds);
        let errands = errands?;
        let killed = killed?;
        self.tally.killed.processes += killed.processes;
        self.tally.killed.slowest_start = self.tally.killed.slowest_start.max(killed.slowest_start);
        for (done, errands) in self.done.iter_mut().zip(&errands) {
            *done += u64::try_from(errands.len()).map_err(text)?;
        }
        let errands: Vec<Errand> = errands.into_iter().flatten().collect();
        let failed = |errand: &Errand| Some(format!("errand {}: {}", errand.name, errand.failure.as_ref()?));
        let mut failures: Vec<String> = errands.iter().filter_map(failed).collect();
        match recovery {
            Ok(recovery) => {
                failures.extend(recovery.verdict().err());
                self.tally.recoveries.push(recovery.took);
            }
            Err(failure) => failures.push(failure),
        }
        let deadline = Instant::now() + GRACE;
        failures.extend(block_on(self.auditor().burst(&errands, deadline, self.seed)));
        self.tally.errands.extend(errands);
        failures.extend(block_on(self.auditor().stock(&self.tally.errands, &self.came_in)));
        failures.extend(self.running.ask_the_doctor()?);
        Ok(failures)
    }

    /// The kills, the errands of each customer, and the recovery.
    #[expect(clippy::type_complexity, reason = "three results that each may fail")]
    fn kill_under_load(
        &self,
        rounds: Range<u64>,
    ) -> (Result<Killed, String>, Result<Vec<Vec<Errand>>, String>, Result<Recovery, String>) {
        let (over, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                let customers = 0..self.customers.len();
                block_on(join_all(customers.map(|who| self.errands_of(who, &over, &ended))))
            });
            let loaded = Over(&over);
            let is_warm = || Ok((ended.load(Ordering::Relaxed) >= WARM).then_some(()));
            let killed =
                await_that(WARM_BOUND, is_warm).and_then(|_| kill_in_rounds(self.running, self.seed, rounds));
            drop(loaded);
            let recovery = recovery::watch(self.running, Instant::now(), || load.is_finished());
            (killed, load.join().map_err(|_| "a customer panicked".to_owned()), recovery)
        })
    }

    /// Errand after errand until the burst is over or one fails.
    async fn errands_of(&self, who: usize, over: &AtomicBool, ended: &AtomicUsize) -> Vec<Errand> {
        let (client, me, admin) = (&self.client, &self.customers[who], &self.admin);
        let customer = Customer { client, me, admin, over };
        let mut errands = Vec::new();
        for number in self.done[who].. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let errand = errand::run(&customer, self.seed, who, number).await;
            ended.fetch_add(1, Ordering::Relaxed);
            let failed = errand.failure.is_some();
            errands.push(errand);
            if failed {
                break;
            }
        }
        errands
    }

    /// Scarce goods come in again, so that later bursts find something to fight for.
    fn restock(&mut self) {
        let shop = Shop::at(&self.running.address, NAME);
        for goods in GOODS.iter().filter(|goods| goods.restocked > 0) {
            let change = json!({"change": goods.restocked, "reason": "came in"});
            let path = format!("/inventory/{}", goods.sku);
            block_on(async {
                shop.patch(&path).bearer(&self.admin.token).json(change).send().await.expect(200)
            });
            *self.came_in.entry(goods.sku).or_default() += goods.restocked;
        }
    }

    fn auditor(&self) -> Auditor<'_> {
        Auditor { client: &self.client, customers: &self.customers, admin: &self.admin }
    }
}

/// Ends the load, however the kills end.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
