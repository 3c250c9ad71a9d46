//! Taking up a cancelled order again, as a table; `app::reactivate_order` carries it out. Its memory is the pending
//! reservation on the order itself. What holds if the power fails:
//!
//! | step | before it, or in it before its effect | after its effect |
//! |---|---|---|
//! | [`Step::Intend`] | the order is cancelled, and nothing happened | the order names a pending reservation: abandoned by the worker when it is older than a lease |
//! | [`Step::Reserve`] | the same | the same; releasing gives the stock back |
//! | [`Step::Confirm`] | the same | the order is pending and holds its stock |
//! | [`Step::Abandon`] | the same | the order is cancelled and the stock is on a list (see `domain::undoing`) |

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Write a new reservation id into the cancelled order.
    Intend,
    /// Ask inventory to hold the stock of its lines under that id.
    Reserve,
    /// Make the order pending, if the id is still the one that it waits for.
    Confirm,
    /// Give up the id, if the order still waits for it, and what may be held under it.
    Abandon,
    /// The end: the order is pending again.
    Answer,
    /// The end: give the refusal or failure that led here.
    Refuse,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Heard {
    /// It was done as asked.
    Done,
    /// Refused, and nothing was changed.
    No,
    /// No answer: whether it was done is unknown.
    Silent,
}

/// Every answer to every step.
pub const TABLE: &[(Step, Heard, Step)] = &[
    (Step::Intend, Heard::Done, Step::Reserve),
    (Step::Intend, Heard::No, Step::Refuse),
    (Step::Intend, Heard::Silent, Step::Refuse),
    (Step::Reserve, Heard::Done, Step::Confirm),
    (Step::Reserve, Heard::No, Step::Abandon),
    (Step::Reserve, Heard::Silent, Step::Abandon),
    (Step::Confirm, Heard::Done, Step::Answer),
    (Step::Confirm, Heard::No, Step::Abandon),
    // If the commit happened though its answer was lost, the order waits for no id and nothing is abandoned.
    (Step::Confirm, Heard::Silent, Step::Abandon),
    (Step::Abandon, Heard::Done, Step::Refuse),
    (Step::Abandon, Heard::No, Step::Refuse),
    (Step::Abandon, Heard::Silent, Step::Refuse),
];

/// The step after an answer; one that the table does not know ends it here, and the worker abandons what is pending.
pub fn next(step: Step, heard: Heard) -> Step {
    let row = TABLE.iter().find(|(at, said, _)| (*at, *said) == (step, heard));
    row.map_or(Step::Refuse, |(.., next)| *next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_stock_is_confirmed_or_abandoned() {
        for step in [Step::Reserve, Step::Confirm] {
            assert_eq!(next(step, Heard::No), Step::Abandon);
            assert_eq!(next(step, Heard::Silent), Step::Abandon);
        }
        assert_eq!(next(Step::Confirm, Heard::Done), Step::Answer);
    }
}
