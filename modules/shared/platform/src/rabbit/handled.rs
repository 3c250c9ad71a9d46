//! Who has handled what: lets a commit wait a moment for its effects in other processes ([`crate::db::Committed::settle`]).
//!
//! Every process says now and then which modules it runs and which events it follows for its own memory. So a commit knows
//! who will handle its events, registers them before it commits, and is woken when all have said so. All of it is a
//! courtesy: a lost notice costs one client a moment, and whoever does not answer is not waited for until it is heard of again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use contracts::subscriptions::Subscriptions;
use tokio::sync::Notify;
use uuid::Uuid;

/// The most events that are waited for at once; whoever comes later does not wait.
const MAX_WAITING: usize = 10_000;
/// A process that has not been heard of for so long is no longer waited for.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

/// Someone who handles an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Handler {
    /// Any process that runs this module.
    Module(&'static str),
    /// One process, for its own memory.
    Process(Uuid),
}

/// What a process has said of itself.
#[derive(Debug, Clone)]
struct Process {
    modules: BTreeSet<&'static str>,
    /// The types of event that it follows for its own memory.
    follows: BTreeSet<String>,
    heard_at: Instant,
    /// It let a commit wait in vain.
    silent: bool,
}

struct Waiting {
    handlers: BTreeSet<Handler>,
    progress: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// Notices arrive.
    live: bool,
    processes: HashMap<Uuid, Process>,
    waiting: HashMap<Uuid, Waiting>,
}

/// What is waited for in this process.
pub(crate) struct Handled {
    subscriptions: Subscriptions,
    state: Mutex<State>,
}

impl Handled {
    pub(super) fn new(subscriptions: Subscriptions) -> Self {
        Self { subscriptions, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for everyone who is known to handle these events: their ids and types.
    pub(crate) fn expect(
        self: &Arc<Self>,
        events: impl IntoIterator<Item = (Uuid, &'static str)>,
    ) -> Expected {
        let mut expected = Expected { board: self.clone(), events: Vec::new(), progress: Arc::default() };
        let now = Instant::now();
        let mut state = self.state();
        if !state.live {
            return expected;
        }
        for (event_id, event_type) in events {
            let handlers = state.handlers_of(self.subscriptions, event_type, now);
            if !handlers.is_empty() && state.waiting.len() < MAX_WAITING {
                let progress = expected.progress.clone();
                state.waiting.insert(event_id, Waiting { handlers, progress });
                expected.events.push(event_id);
            }
        }
        expected
    }

    /// A module has handled an event.
    pub(super) fn by_module(&self, event: Uuid, module: &str) {
        if let Some(module) = self.subscriptions.subscribers().into_iter().find(|name| *name == module) {
            self.state().done(event, &Handler::Module(module));
        }
    }

    /// A process has taken an event into its memory.
    pub(super) fn by_process(&self, event: Uuid, process: Uuid) {
        self.state().done(event, &Handler::Process(process));
    }

    /// A process says that it is there.
    pub(super) fn heard_of(&self, process: Uuid, modules: &[String], follows: Vec<String>) {
        let known = self.subscriptions.subscribers();
        let modules = known.into_iter().filter(|known| modules.iter().any(|name| name == known)).collect();
        let (follows, heard_at) = (follows.into_iter().collect(), Instant::now());
        let mut state = self.state();
        state.processes.retain(|_, process| process.is_current(heard_at));
        state.processes.insert(process, Process { modules, follows, heard_at, silent: false });
    }

    /// A process says that it goes.
    pub(super) fn gone(&self, process: Uuid) {
        let mut state = self.state();
        state.processes.remove(&process);
        let gone = Handler::Process(process);
        let events: Vec<Uuid> = state.waiting.keys().copied().collect();
        events.into_iter().for_each(|event| state.done(event, &gone));
    }

    /// Whether notices arrive. When they no longer do, nobody goes on waiting for one.
    pub(super) fn set_live(&self, live: bool) {
        let mut state = self.state();
        state.live = live;
        if !live {
            state.processes.clear();
            state.waiting.drain().for_each(|(_, waiting)| waiting.progress.notify_waiters());
        }
    }
}

impl Process {
    fn is_current(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_at) < SILENCE
    }
}

impl State {
    fn handlers_of(&self, subscriptions: Subscriptions, event_type: &str, now: Instant) -> BTreeSet<Handler> {
        let current =
            || self.processes.iter().filter(|(_, process)| process.is_current(now) && !process.silent);
        let modules = subscriptions.subscribers_of(event_type).iter().copied();
        let modules = modules.filter(|module| current().any(|(_, process)| process.modules.contains(module)));
        let processes = current().filter(|(_, process)| process.follows.contains(event_type));
        modules.map(Handler::Module).chain(processes.map(|(id, _)| Handler::Process(*id))).collect()
    }

    fn done(&mut self, event: Uuid, handler: &Handler) {
        let Some(waiting) = self.waiting.get_mut(&event) else {
            return;
        };
        waiting.handlers.remove(handler);
        if waiting.handlers.is_empty()
            && let Some(waiting) = self.waiting.remove(&event)
        {
            waiting.progress.notify_waiters();
        }
    }

    /// Whoever let this event wait is not waited for until it is heard of again.
    fn in_vain(&mut self, event: Uuid) {
        let Some(waiting) = self.waiting.get(&event) else {
            return;
        };
        for process in self.processes.iter_mut() {
            let (id, process) = process;
            process.silent |= waiting.handlers.iter().any(|handler| match handler {
                Handler::Module(module) => process.modules.contains(module),
                Handler::Process(silent) => silent == id,
            });
        }
    }
}

/// The events of one commit that others are to handle. Dropped, they are no longer waited for.
pub(crate) struct Expected {
    board: Arc<Handled>,
    events: Vec<Uuid>,
    progress: Arc<Notify>,
}

impl Expected {
    /// Waits until all have handled all of them, at most for `bound`.
    pub(crate) async fn settle(self, bound: Duration) {
        let settled = async {
            loop {
                let mut progress = std::pin::pin!(self.progress.notified());
                // From here on a notice is not missed.
                progress.as_mut().enable();
                if !self.is_waiting() {
                    return;
                }
                progress.await;
            }
        };
        if tokio::time::timeout(bound, settled).await.is_err() {
            let mut state = self.board.state();
            self.events.iter().for_each(|event| state.in_vain(*event));
        }
    }

    fn is_waiting(&self) -> bool {
        let state = self.board.state();
        self.events.iter().any(|event| state.waiting.contains_key(event))
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut state = self.board.state();
        for event in &self.events {
            state.waiting.remove(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::subscriptions::Route;

    use super::*;

    const ROUTES: &[Route] = &[
        Route { event_type: "order.created", from: "orders", to: &["cart", "notifications"] },
        Route { event_type: "session.ended", from: "auth", to: &[] },
    ];
    const LONG: Duration = Duration::from_secs(600);

    fn board() -> Arc<Handled> {
        let board = Arc::new(Handled::new(Subscriptions(ROUTES)));
        board.set_live(true);
        board
    }

    fn event(id: u128, event_type: &'static str) -> (Uuid, &'static str) {
        (Uuid::from_u128(id), event_type)
    }

    fn hear(board: &Handled, process: u128, modules: &[&str], follows: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        board.heard_of(Uuid::from_u128(process), &owned(modules), owned(follows));
    }

    #[tokio::test]
    async fn a_commit_waits_for_every_module_that_is_there_and_for_no_other() {
        let board = board();
        hear(&board, 1, &["cart"], &[]);
        hear(&board, 2, &["notifications"], &[]);
        let settling = tokio::spawn(board.expect([event(7, "order.created")]).settle(LONG));
        board.by_module(Uuid::from_u128(7), "cart");
        tokio::task::yield_now().await;
        assert!(!settling.is_finished());
        board.by_module(Uuid::from_u128(7), "notifications");
        settling.await.unwrap();

        board.gone(Uuid::from_u128(2));
        let settling = tokio::spawn(board.expect([event(8, "order.created")]).settle(LONG));
        board.by_module(Uuid::from_u128(8), "cart");
        settling.await.unwrap();
        assert!(board.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_notice_that_comes_before_anyone_waits_is_not_missed() {
        let board = board();
        hear(&board, 1, &[], &["session.ended"]);
        let expected = board.expect([event(7, "session.ended")]);
        board.by_process(Uuid::from_u128(7), Uuid::from_u128(1));
        expected.settle(LONG).await;
    }

    #[tokio::test]
    async fn nobody_waits_when_no_notices_arrive_and_nothing_is_left_of_those_who_gave_up() {
        let board = board();
        hear(&board, 1, &["cart"], &[]);
        drop(board.expect([event(7, "order.created")]));
        assert!(board.state().waiting.is_empty());

        let settling = tokio::spawn(board.expect([event(8, "order.created")]).settle(LONG));
        tokio::task::yield_now().await;
        board.set_live(false);
        settling.await.unwrap();
        board.expect([event(9, "order.created")]).settle(LONG).await;
    }

    #[tokio::test]
    async fn who_does_not_answer_is_waited_for_once() {
        let board = board();
        hear(&board, 1, &["cart"], &[]);
        let (began, bound) = (Instant::now(), Duration::from_millis(50));
        board.expect([event(7, "order.created")]).settle(bound).await;
        assert!(began.elapsed() >= bound);
        board.expect([event(8, "order.created")]).settle(LONG).await;
        hear(&board, 1, &["cart"], &[]);
        assert!(!board.expect([event(9, "order.created")]).events.is_empty());
    }
}
