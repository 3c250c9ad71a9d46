//! How many failures one thing may have in a while: a login name from one client, a login name from everywhere, a second factor.
//!
//! It has a number of slots. A failure takes a slot until it is as old as the window; with no slot free, nobody
//! can try. Refused attempts take no slot, so the window slides on whatever an attacker sends, and the owner
//! gets in again once the flood has stopped, at the latest one window later.

use std::time::Duration;

use kernel::Timestamp;

/// One remembered failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) slot: i64,
    pub(crate) at: Timestamp,
}

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Throttle {
    pub(crate) max_failures: u32,
    pub(crate) window: Duration,
}

/// Too many failures; the next try is worthwhile after this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub(crate) retry_after: Duration,
}

impl Throttle {
    /// Failures at or before this instant no longer count.
    pub(crate) fn forgotten_before(&self, now: Timestamp) -> Timestamp {
        now.minus(self.window)
    }

    /// The slots that a new failure may take, or how long there will be none.
    pub(crate) fn free_slots(&self, failures: &[Failure], now: Timestamp) -> Result<Vec<i64>, Throttled> {
        let cutoff = self.forgotten_before(now);
        let mut live: Vec<Failure> = failures.iter().copied().filter(|failure| failure.at > cutoff).collect();
        live.sort_by_key(|failure| failure.at);
        let max = usize::try_from(self.max_failures).unwrap_or(usize::MAX);
        if live.len() >= max {
            // A lowered bound may leave more live failures than slots: all of the excess has to age first.
            let next_to_age = live.get(live.len().saturating_sub(max)).map_or(now, |failure| failure.at);
            return Err(Throttled { retry_after: next_to_age.plus(self.window).since(now) });
        }
        let is_free = |slot: &i64| live.iter().all(|failure| failure.slot != *slot);
        Ok((0..i64::from(self.max_failures)).filter(is_free).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THROTTLE: Throttle = Throttle { max_failures: 2, window: Duration::from_secs(60) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_ms(1_000_000 + second * 1_000)
    }

    fn failure(slot: i64, second: i64) -> Failure {
        Failure { slot, at: at(second) }
    }

    #[test]
    fn failures_fill_the_slots_and_age_out_of_them() {
        assert_eq!(THROTTLE.free_slots(&[], at(0)), Ok(vec![0, 1]));
        assert_eq!(THROTTLE.free_slots(&[failure(0, 0)], at(1)), Ok(vec![1]));
        let full = [failure(0, 0), failure(1, 10)];
        assert_eq!(
            THROTTLE.free_slots(&full, at(20)),
            Err(Throttled { retry_after: Duration::from_secs(40) })
        );
        assert_eq!(THROTTLE.free_slots(&full, at(60)), Ok(vec![0]));
        assert_eq!(THROTTLE.free_slots(&full, at(70)), Ok(vec![0, 1]));
    }

    #[test]
    fn a_lowered_bound_waits_for_the_excess_to_age() {
        let many = [failure(0, 0), failure(1, 10), failure(2, 20), failure(3, 30)];
        assert_eq!(
            THROTTLE.free_slots(&many, at(30)),
            Err(Throttled { retry_after: Duration::from_secs(50) })
        );
        assert_eq!(THROTTLE.free_slots(&many, at(80)), Ok(vec![0, 1]));
    }
}
