//! Bringing an attempt to its end, as a table; `app::drive` carries it out for whoever has the attempt's lease.
//!
//! The attempt and its key for the provider are written before the first of these steps. What holds if the power fails:
//!
//! | step | before it, or in it before its effect | after its effect |
//! |---|---|---|
//! | [`Step::Call`], [`Step::CallAgain`], [`Step::CarryOut`] | the attempt is open: the worker drives it when its lease has run out | the provider has done it once and says so again under the same key |
//! | [`Step::Look`], [`Step::LookAgain`] | the same | the same; it only reads |
//! | [`Step::Abandon`] | the same | the key is fenced off: a call still on its way is refused, and the worker hears so |
//! | [`Step::Settle`] | the same: the verdict is asked for again | attempt, amounts, ledger, event and stored answer stand together |
//! | [`Step::LeaveToWorker`] | the same | the worker need not wait for the lease |
//! | [`Step::TellOrder`] | the row of the failed payment says that the order is to be told, and the worker tells it | told again, to no effect |

use crate::domain::movement::Movement;

/// Who drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// A client waits: everything is tried at once.
    Waiting,
    /// The worker found it: one try, and another in a later run.
    Recovering,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Ask the provider to move the money, under the attempt's key.
    Call,
    /// Ask the provider what became of a call that was not answered.
    Look,
    /// The call once more, with the same key.
    CallAgain,
    /// The last look while somebody waits.
    LookAgain,
    /// Nobody waits any more: have the provider refuse what it has not seen yet.
    Abandon,
    /// Nobody waits any more, but it was promised: the call, under the attempt's key.
    CarryOut,
    /// Write what the provider said, if the attempt is still open.
    Settle,
    /// Tell the order that its payment came to nothing.
    TellOrder,
    /// Let the lease go.
    LeaveToWorker,
    /// The end: it is settled.
    Settled,
    /// The end: somebody else has ended it.
    Overtaken,
    /// The end: no verdict in the tries that this manner has.
    Unanswered,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Heard {
    /// The provider has said what it did or refused, once and for all.
    Verdict,
    /// The provider knows nothing of it; which does not mean that it never will.
    Nothing,
    /// It was done, and there is nothing more to do.
    Done,
    /// It was done, and the order is to be told.
    Failed,
    /// It was ended by somebody else; nothing was changed.
    No,
    /// No answer: whether it was done is unknown.
    Silent,
}

/// Every answer to every step.
pub const TABLE: &[(Step, Heard, Step)] = &[
    (Step::Call, Heard::Verdict, Step::Settle),
    (Step::Call, Heard::Silent, Step::Look),
    (Step::Look, Heard::Verdict, Step::Settle),
    (Step::Look, Heard::Nothing, Step::CallAgain),
    (Step::Look, Heard::Silent, Step::CallAgain),
    (Step::CallAgain, Heard::Verdict, Step::Settle),
    (Step::CallAgain, Heard::Silent, Step::LookAgain),
    (Step::LookAgain, Heard::Verdict, Step::Settle),
    (Step::LookAgain, Heard::Nothing, Step::LeaveToWorker),
    (Step::LookAgain, Heard::Silent, Step::LeaveToWorker),
    (Step::LeaveToWorker, Heard::Done, Step::Unanswered),
    (Step::LeaveToWorker, Heard::Silent, Step::Unanswered),
    (Step::Abandon, Heard::Verdict, Step::Settle),
    // The worker's lease stays, as its pause before the next try.
    (Step::Abandon, Heard::Silent, Step::Unanswered),
    (Step::CarryOut, Heard::Verdict, Step::Settle),
    (Step::CarryOut, Heard::Silent, Step::Unanswered),
    (Step::Settle, Heard::Done, Step::Settled),
    (Step::Settle, Heard::Failed, Step::TellOrder),
    (Step::Settle, Heard::No, Step::Overtaken),
    (Step::Settle, Heard::Silent, Step::Unanswered),
    (Step::TellOrder, Heard::Done, Step::Settled),
    // The payment's row says that it is due; the worker does it.
    (Step::TellOrder, Heard::Silent, Step::Settled),
];

/// How often a call is made at most while somebody waits, looks for its fate not counted.
pub const TRIES: u32 = 2;

/// Where driving begins. A payment that the provider never saw is given up when nobody waits for it; what an admin or a
/// cancelled order has asked for is carried out.
pub fn first(movement: Movement, manner: Manner) -> Step {
    match manner {
        Manner::Waiting => Step::Call,
        Manner::Recovering if movement.begins() => Step::Abandon,
        Manner::Recovering => Step::CarryOut,
    }
}

/// The step after an answer; one that the table does not know leaves the attempt to the worker.
pub fn next(step: Step, heard: Heard) -> Step {
    let row = TABLE.iter().find(|(at, said, _)| (*at, *said) == (step, heard));
    row.map_or(Step::Unanswered, |(.., next)| *next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_kept_waiting_for_a_bounded_number_of_calls() {
        let (mut step, mut calls) = (first(Movement::Charge, Manner::Waiting), 0);
        while step != Step::LeaveToWorker {
            calls += u32::from(matches!(step, Step::Call | Step::CallAgain));
            step = next(step, Heard::Silent);
        }
        assert_eq!(calls, TRIES);
    }

    #[test]
    fn only_what_was_promised_is_carried_out_when_nobody_waits() {
        for movement in Movement::ALL {
            let step = first(movement, Manner::Recovering);
            assert_eq!(step == Step::Abandon, movement.begins(), "{movement:?}");
        }
    }

    #[test]
    fn nothing_is_settled_without_a_verdict() {
        for (_, heard, _) in TABLE.iter().filter(|(.., to)| *to == Step::Settle) {
            assert_eq!(*heard, Heard::Verdict);
        }
    }
}
