//! Undoing a placement or reactivation as a table; `app::undo` carries it out.
//!
//! The stock is in another database, so it cannot be released in the transaction that closes the intent. That
//! transaction puts the reservation on a list instead, from which it goes when inventory has confirmed. What holds if
//! the power fails:
//!
//! | step | before it, or in it before its effect | after its effect |
//! |---|---|---|
//! | [`Step::CloseIntent`] | the intent is open: its lease runs out and the worker comes | the reservation is on the list; the worker releases it |
//! | [`Step::Release`] | the reservation is on the list | released and burnt, and released again by the worker, to no effect |
//! | [`Step::Forget`] | the same | nothing is left |
//!
//! Rejected: to release first and to close the intent afterwards. A slow request could commit its order in between,
//! and that order would hold no stock.

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Close the intent, if it is still open, and put its reservation on the list of abandoned ones.
    CloseIntent,
    /// Ask inventory to give the stock back and to burn the id.
    Release,
    /// Take the reservation off the list.
    Forget,
    /// The end: it is undone, at the latest when the worker has been there.
    Undone,
    /// The end: there was nothing to undo, and nothing was done.
    NotOpen,
    /// The end: whether the intent is closed is unknown; the worker will see.
    Unknown,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Heard {
    /// It was done.
    Done,
    /// The intent is not open: the order was written, or somebody else has closed it.
    NotOpen,
    /// Refused: the pieces have left the house.
    No,
    /// No answer: whether it was done is unknown.
    Silent,
}

/// Every answer to every step. The worker begins at [`Step::Release`] with what it finds on the list.
pub const TABLE: &[(Step, Heard, Step)] = &[
    (Step::CloseIntent, Heard::Done, Step::Release),
    (Step::CloseIntent, Heard::NotOpen, Step::NotOpen),
    (Step::CloseIntent, Heard::Silent, Step::Unknown),
    (Step::Release, Heard::Done, Step::Forget),
    // No order ever named this reservation, so nothing can have shipped it. It stays on the list for `souk doctor`.
    (Step::Release, Heard::No, Step::Undone),
    // It stays on the list for the worker.
    (Step::Release, Heard::Silent, Step::Undone),
    (Step::Forget, Heard::Done, Step::Undone),
    (Step::Forget, Heard::Silent, Step::Undone),
];

/// The step after an answer; one that the table does not know ends it here, and the list keeps what it has.
pub fn next(step: Step, heard: Heard) -> Step {
    let row = TABLE.iter().find(|(at, said, _)| (*at, *said) == (step, heard));
    row.map_or(Step::Unknown, |(.., next)| *next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_released_before_the_intent_is_closed() {
        let leads_to_release: Vec<_> = TABLE.iter().filter(|(.., to)| *to == Step::Release).collect();
        assert_eq!(leads_to_release, vec![&(Step::CloseIntent, Heard::Done, Step::Release)]);
    }

    #[test]
    fn the_list_forgets_only_what_was_released() {
        let leads_to_forget: Vec<_> = TABLE.iter().filter(|(.., to)| *to == Step::Forget).collect();
        assert_eq!(leads_to_forget, vec![&(Step::Release, Heard::Done, Step::Forget)]);
    }
}
