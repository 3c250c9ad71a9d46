//! How much time the work at hand has left: set where a request comes in, looked at where another process is asked, so
//! that nobody goes on working for a client that has long been answered.
//!
//! It is a bound, not an alarm: nothing is interrupted when it passes. Whoever waits for something outside of this
//! process waits no longer than [`left`].

use std::future::Future;
use std::time::{Duration, Instant};

tokio::task_local! {
    static ENDS_AT: Instant;
}

/// The time that is left, zero if it has run out; `None` if nobody has set a deadline.
pub fn left() -> Option<Duration> {
    ends_at().map(|end| end.saturating_duration_since(Instant::now()))
}

/// Runs work that has so much time. Inside of another deadline the earlier one holds.
pub async fn scope<F: Future>(within: Duration, work: F) -> F::Output {
    let own = Instant::now().checked_add(within);
    match own.into_iter().chain(ends_at()).min() {
        Some(end) => ENDS_AT.scope(end, work).await,
        // Further away than the machine can count: none.
        None => work.await,
    }
}

/// Carries the deadline of the caller into work that is about to be spawned.
pub fn inherit<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let end = ends_at();
    async move {
        match end {
            Some(end) => ENDS_AT.scope(end, work).await,
            None => work.await,
        }
    }
}

fn ends_at() -> Option<Instant> {
    ENDS_AT.try_with(|end| *end).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_earlier_deadline_holds() {
        assert_eq!(left(), None);
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        scope(minute, async {
            assert!(left().is_some_and(|left| left <= minute));
            scope(hour, async { assert!(left().is_some_and(|left| left <= minute)) }).await;
            scope(Duration::ZERO, async { assert_eq!(left(), Some(Duration::ZERO)) }).await;
            assert!(left().is_some_and(|left| left > Duration::from_secs(30)));
        })
        .await;
        scope(Duration::MAX, async { assert_eq!(left(), None) }).await;
    }

    #[tokio::test]
    async fn spawned_work_keeps_the_deadline_of_its_caller() {
        let spawned = scope(Duration::from_secs(60), async {
            (
                tokio::spawn(async { left() }).await.unwrap(),
                tokio::spawn(inherit(async { left() })).await.unwrap(),
            )
        });
        let (alone, inherited) = spawned.await;
        assert!(alone.is_none() && inherited.is_some());
    }
}
