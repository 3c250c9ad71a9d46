//! A circuit breaker: whoever did not answer several times in a row is left alone for a moment, so that calls to it
//! fail at once and it can come back without a crowd at the door.
//!
//! A state machine without a clock of its own; [`crate::peer`] keeps one for each address.

use std::time::{Duration, Instant};

/// So many failures in a row open it.
pub(crate) const FAILURES: u32 = 5;
/// So long nobody asks, unless there is nobody else to ask.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// What is known of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breaker(State);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Calls pass.
    Closed { failures: u32 },
    /// No call passes until then.
    Open { until: Instant },
    /// One call passed and is on its way; what comes of it decides.
    Probing,
}

/// The right to make one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Ordinary,
    /// The one call that finds out whether the address is back.
    Probe,
}

impl Breaker {
    /// Lets calls pass.
    pub(crate) fn new() -> Self {
        Self(State::Closed { failures: 0 })
    }

    /// Whether a call may be made now.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Admission> {
        match self.0 {
            State::Closed { .. } => Some(Admission::Ordinary),
            State::Open { until } if until <= now => {
                self.0 = State::Probing;
                Some(Admission::Probe)
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    /// When the rest ends; `None` if it does not rest.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        match self.0 {
            State::Open { until } => Some(until),
            State::Closed { .. } | State::Probing => None,
        }
    }

    /// Ends the rest early, for one call: there is nobody else to ask.
    pub(crate) fn admit_early(&mut self) -> Option<Admission> {
        self.rests_until()?;
        self.0 = State::Probing;
        Some(Admission::Probe)
    }

    /// The address answered. True if it had not done so before.
    pub(crate) fn answered(&mut self) -> bool {
        let was_closed = matches!(self.0, State::Closed { .. });
        self.0 = State::Closed { failures: 0 };
        !was_closed
    }

    /// The address did not answer. True if that was once too often.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        let failures = match self.0 {
            State::Closed { failures } => failures.saturating_add(1),
            // The probe failed, or a call that began before it: either way nobody is there.
            State::Probing => FAILURES,
            // A call that began before it opened tells nothing new, and must not make the rest longer.
            State::Open { .. } => return false,
        };
        let opens = failures >= FAILURES;
        self.0 = if opens {
            State::Open { until: now.checked_add(REST).unwrap_or(now) }
        } else {
            State::Closed { failures }
        };
        opens
    }

    /// A call ended without telling anything of the address, for instance because its caller went away. If it was the
    /// probe, the next call is one.
    pub(crate) fn untold(&mut self, admission: Admission, now: Instant) {
        if admission == Admission::Probe && self.0 == State::Probing {
            self.0 = State::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(at: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for number in 1..=FAILURES {
            assert_eq!(breaker.admit(at), Some(Admission::Ordinary));
            assert_eq!(breaker.failed(at), number == FAILURES);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed(now));
            }
            assert!(!breaker.answered());
        }
        assert_eq!(breaker.admit(now), Some(Admission::Ordinary));
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now), None);
        assert_eq!(breaker.admit(now + REST - Duration::from_millis(1)), None);
    }

    #[test]
    fn one_probe_decides() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + REST;
        assert_eq!(breaker.admit(later), Some(Admission::Probe));
        assert_eq!(breaker.admit(later), None);
        assert!(breaker.failed(later));
        assert_eq!(breaker.admit(later), None);
        assert_eq!(breaker.admit(later + REST), Some(Admission::Probe));
        assert!(breaker.answered());
        assert_eq!(breaker.admit(later + REST), Some(Admission::Ordinary));
    }

    #[test]
    fn a_rest_can_be_ended_early_by_one_call_only() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.rests_until(), Some(now + REST));
        assert_eq!(breaker.admit_early(), Some(Admission::Probe));
        assert_eq!((breaker.admit_early(), breaker.admit(now)), (None, None));
        assert!(breaker.answered());
        assert_eq!((breaker.rests_until(), breaker.admit_early()), (None, None));
    }

    #[test]
    fn late_failures_do_not_make_the_rest_longer() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(!breaker.failed(now + REST / 2));
        assert_eq!(breaker.admit(now + REST), Some(Admission::Probe));
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_the_next() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + REST;
        assert_eq!(breaker.admit(later), Some(Admission::Probe));
        breaker.untold(Admission::Ordinary, later);
        assert_eq!(breaker.admit(later), None);
        breaker.untold(Admission::Probe, later);
        assert_eq!(breaker.admit(later), Some(Admission::Probe));
        breaker.answered();
        breaker.untold(Admission::Probe, later);
        assert_eq!(breaker.admit(later), Some(Admission::Ordinary));
    }
}
