//! Leases: how long work belongs to whoever began it.
//!
//! Work that a crash may leave half done is written down with a time until which somebody may be at work on it. When that
//! has passed, the work is taken over. So a lease says two things at once: how long a process may be silent before it
//! is given up for dead, and how long what it left behind stays unfinished. It is short, and whoever works longer renews it.
//!
//! A lease never decides what is true. A process that is given up for dead may only be slow; what it does then is refused
//! by the statements that end the work, which are conditional.

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use kernel::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How long work belongs to a process that does not renew its lease. With [`CLIENT_FIRST`] and [`LOOK_EVERY`] it bounds the
/// time in which what a crash left behind is finished or undone: 10 s are promised.
pub const LEASE: Duration = Duration::from_secs(3);
/// How much longer workers keep away from what a client asked for and may ask for again: whoever was told to come back in a
/// second goes on with their request, instead of hearing that it was undone.
pub const CLIENT_FIRST: Duration = Duration::from_millis(1_500);
/// How often work that goes on renews its lease, and how long it waits for that: twice may fail.
const RENEW_EVERY: Duration = Duration::from_millis(750);
/// How often a worker looks for work that was left behind.
pub const LOOK_EVERY: Duration = Duration::from_millis(LOOK_EVERY_MS);
/// The same in milliseconds, for settings.
pub const LOOK_EVERY_MS: u64 = 1_000;

/// The end of the newest lease whose work a worker takes over now: neither its process nor its client is expected any more.
pub fn left_behind(now: Timestamp) -> Timestamp {
    now.minus(CLIENT_FIRST)
}

/// Does work that has a lease, and renews the lease for as long as that takes. Short work never does.
///
/// A renewal that fails is no reason to stop: the work ends by a statement that knows whether it was taken over.
pub fn keep<T, F, E>(renew: impl Fn() -> F, work: impl Future<Output = T>) -> impl Future<Output = T>
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    // On the heap at once: the futures of whole use cases are large, and a build for tests copies them at each call.
    keep_every(RENEW_EVERY, renew, Box::pin(work))
}

async fn keep_every<T, F, E>(pause: Duration, renew: impl Fn() -> F, work: impl Future<Output = T>) -> T
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    // Side by side: the work may hold the very connection that the renewal waits for.
    tokio::select! {
        biased;
        outcome = work => outcome,
        never = renew_for_ever(pause, renew) => match never {},
    }
}

async fn renew_for_ever<F, E>(pause: Duration, renew: impl Fn() -> F) -> Infallible
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let mut ticks = interval_at(Instant::now() + pause, pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match tokio::time::timeout(pause, renew()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a lease was not renewed"),
            Err(_elapsed) => tracing::warn!("a lease was not renewed in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::problem::RETRY_SOON_S;

    const PAUSE: Duration = Duration::from_millis(1);
    const BOUND: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn long_work_renews_its_lease_whatever_comes_of_it_and_short_work_never() {
        let renewed = AtomicUsize::new(0);
        let renew = || {
            renewed.fetch_add(1, Ordering::Relaxed);
            ready(Err::<(), _>("the database is away"))
        };
        keep(renew, ready(())).await;
        assert_eq!(renewed.load(Ordering::Relaxed), 0);
        let until_renewed = async {
            while renewed.load(Ordering::Relaxed) < 5 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BOUND, keep_every(PAUSE, renew, until_renewed)).await.unwrap();
    }

    #[tokio::test]
    async fn a_renewal_that_hangs_does_not_hold_the_work_up() {
        let began = AtomicUsize::new(0);
        let renew = || {
            began.fetch_add(1, Ordering::Relaxed);
            pending::<Result<(), String>>()
        };
        let until_it_hangs = async {
            while began.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            7
        };
        assert_eq!(tokio::time::timeout(BOUND, keep_every(PAUSE, renew, until_it_hangs)).await, Ok(7));
    }

    #[test]
    fn a_client_that_comes_back_when_told_is_earlier_than_a_worker() {
        let lease_ended = Timestamp::from_ms(10_000);
        let comes_back = lease_ended.plus(Duration::from_secs(RETRY_SOON_S));
        assert!(left_behind(comes_back) < lease_ended);
        assert!(left_behind(lease_ended.plus(CLIENT_FIRST)) >= lease_ended);
    }

    #[test]
    fn a_lease_outlives_two_renewals_that_fail() {
        assert!(LEASE > RENEW_EVERY * 3);
    }
}
