//! An admin's request to capture, void or refund, as a table; `app::move_money` carries it out. What holds if the power
//! fails:
//!
//! | step | before it, or in it before its effect | after its effect |
//! |---|---|---|
//! | [`Step::OpenKey`] | nothing | an open key and nothing else: the worker drops it when its lease has run out |
//! | [`Step::Open`] | the same | the attempt is open and a refund's amount set aside: the worker carries it out under its key |
//! | [`Step::Resume`] | the attempt is open and its lease has run out: the worker drives it | the same, when the new lease has run out |
//! | [`Step::Drive`], [`Step::AwaitAnswer`], [`Step::WithdrawKey`] | as in `domain::paying` | as in `domain::paying` |

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Write the row of the idempotency key, which names the attempt that is to be, or find what is known under it.
    OpenKey,
    /// Write the attempt, if the balance allows it, or withdraw the key with the refusal.
    Open,
    /// Take an attempt over, if nobody may be at work on it.
    Resume,
    /// Bring the attempt to its end (see `domain::driving`).
    Drive,
    /// Wait, within bounds, for the answer of whoever is at work on the attempt.
    AwaitAnswer,
    /// The key was gone and is open anew: forget it again, as there is nothing to wait for.
    WithdrawKey,
    /// The end: give the answer that is stored under the key.
    Answer,
    /// The end: give the refusal or failure that led here.
    Refuse,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Heard {
    /// The key was free and is open now.
    Opened,
    /// The key was open and its lease had run out; it is ours now.
    TakenOver,
    /// The key is done: its answer is known.
    Stored,
    /// It was done as asked.
    Done,
    /// An earlier request with this key has written the attempt.
    Begun,
    /// Refused, and nothing was changed but the key.
    No,
    /// No answer: whether it was done is unknown.
    Silent,
}

/// Every answer to every step.
pub const TABLE: &[(Step, Heard, Step)] = &[
    (Step::OpenKey, Heard::Opened, Step::Open),
    (Step::OpenKey, Heard::TakenOver, Step::Open),
    (Step::OpenKey, Heard::Stored, Step::Answer),
    (Step::OpenKey, Heard::No, Step::Refuse),
    (Step::OpenKey, Heard::Silent, Step::Refuse),
    (Step::Open, Heard::Done, Step::Drive),
    (Step::Open, Heard::Begun, Step::Resume),
    (Step::Open, Heard::No, Step::Refuse),
    (Step::Open, Heard::Silent, Step::Refuse),
    (Step::Resume, Heard::Done, Step::Drive),
    (Step::Resume, Heard::No, Step::AwaitAnswer),
    (Step::Resume, Heard::Silent, Step::Refuse),
    (Step::Drive, Heard::Done, Step::Answer),
    (Step::Drive, Heard::No, Step::AwaitAnswer),
    (Step::Drive, Heard::Silent, Step::Refuse),
    (Step::AwaitAnswer, Heard::Stored, Step::Answer),
    // The attempt is still open, and its key with it: whoever ends the one completes the other.
    (Step::AwaitAnswer, Heard::TakenOver, Step::Refuse),
    (Step::AwaitAnswer, Heard::Opened, Step::WithdrawKey),
    (Step::AwaitAnswer, Heard::No, Step::Refuse),
    (Step::AwaitAnswer, Heard::Silent, Step::Refuse),
    (Step::WithdrawKey, Heard::Done, Step::Refuse),
    (Step::WithdrawKey, Heard::Silent, Step::Refuse),
];

/// The step after an answer. One that the table does not know ends the request without another effect; the worker sees
/// to what is open.
pub fn next(step: Step, heard: Heard) -> Step {
    let row = TABLE.iter().find(|(at, said, _)| (*at, *said) == (step, heard));
    row.map_or(Step::Refuse, |(.., next)| *next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_attempt_that_may_be_open_is_never_withdrawn() {
        for (step, heard, _) in TABLE.iter().filter(|(.., to)| *to == Step::WithdrawKey) {
            assert_eq!((*step, *heard), (Step::AwaitAnswer, Heard::Opened));
        }
    }
}
