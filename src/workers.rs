//! Runs workers: what a module does from time to time.
//!
//! A worker that takes over what others left behind must not come before their clients. Leases see to that as long as the shop answers
//! ([`platform::lease::CLIENT_FIRST`]). But they also run out while a process or its database is down, and when it is back, the worker would be the
//! first to notice. So it keeps away until the database has answered for as long as clients need to come back.

use std::time::Duration;

use futures_util::FutureExt;
use platform::db::Db;
use platform::lease::CLIENT_FIRST;
use platform::module::Worker;
use platform::problem::{RETRY_SOON_S, chain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Clients are told to come back in [`RETRY_SOON_S`], and are given as much time again for their way as leases give them.
const CLIENTS_COME_BACK: Duration = CLIENT_FIRST.saturating_add(Duration::from_secs(RETRY_SOON_S));
/// A database that takes longer to say that it is there was away.
const PROMPT: Duration = Duration::from_millis(500);

/// Runs a worker until told to stop. A run that fails or panics is logged, and the next one comes.
pub(crate) async fn run_worker(worker: Worker, db: Option<Db>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(worker.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turn = Turn::after_clients(Instant::now());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if worker.takes_over
            && let Some(db) = &db
        {
            let asked_at = Instant::now();
            let is_there = db.ping().await.is_ok();
            if !turn.has_come(is_there, asked_at, Instant::now()) {
                continue;
            }
        }
        match std::panic::AssertUnwindSafe((worker.run)()).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                turn = Turn::after_clients(Instant::now());
                tracing::warn!(worker = worker.name, cause = %chain(error.as_ref()), "a worker failed")
            }
            Err(_) => tracing::error!(worker = worker.name, "a worker panicked"),
        }
    }
}

/// Whose turn it is: the clients', or that of whoever takes over.
struct Turn {
    from: Instant,
    /// A database that is slow again and again is not away but busy, and what was left behind must be finished all the same.
    was_slow: bool,
}

impl Turn {
    fn after_clients(back_at: Instant) -> Self {
        Self { from: back_at + CLIENTS_COME_BACK, was_slow: false }
    }

    /// Whether the clients have had theirs, from what the database answered when it was asked whether it is there.
    fn has_come(&mut self, is_there: bool, asked_at: Instant, answered_at: Instant) -> bool {
        let is_slow = answered_at.duration_since(asked_at) > PROMPT;
        if !is_there || is_slow && !self.was_slow {
            *self = Self::after_clients(answered_at);
        }
        self.was_slow = is_slow;
        answered_at >= self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_over_comes_after_the_clients() {
        let began = Instant::now();
        let mut turn = Turn::after_clients(began);
        assert!(!turn.has_come(true, began, began), "the process has just begun");
        let at = began + CLIENTS_COME_BACK;
        assert!(turn.has_come(true, at, at));
        assert!(!turn.has_come(false, at, at), "the database is away");
        let at = at + CLIENTS_COME_BACK / 2;
        assert!(!turn.has_come(true, at, at), "it has just come back");
        let at = at + CLIENTS_COME_BACK / 2;
        assert!(turn.has_come(true, at, at));
        let late = at + PROMPT * 2;
        assert!(!turn.has_come(true, at, late), "it was away while it was asked");
        let at = late + CLIENTS_COME_BACK;
        assert!(turn.has_come(true, at, at + PROMPT / 2));
        let slow = PROMPT * 2;
        assert!(!turn.has_come(true, at, at + slow));
        let at = at + CLIENTS_COME_BACK;
        assert!(turn.has_come(true, at, at + slow), "a database that is always slow is busy");
    }
}
