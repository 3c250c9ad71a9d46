//! Taking back a wish to pay that never became a payment, as a table; `app::release_order` carries it out. What holds
//! if the power fails:
//!
//! | step | before it, or in it before its effect | after its effect |
//! |---|---|---|
//! | [`Step::MarkEnding`] | the intent is there and its lease runs out: the worker takes it back | nobody can go on with the intent; the worker ends it |
//! | [`Step::LookForPayment`] | there is no intent any more; another one has seen to it | the same; it only reads |
//! | [`Step::TellOrder`] | the intent is marked and the worker ends it | the order is free, and is told again, to no effect |
//! | [`Step::Forget`] | the same | intent and key are gone: the same request may come again |

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Mark the intent, so that nobody makes it a payment any more.
    MarkEnding,
    /// See whether a twin of the request has made it one.
    LookForPayment,
    /// Tell the order that this payment will never be.
    TellOrder,
    /// Forget the intent, and its key with it.
    Forget,
    /// The end: nothing is left of it, or a twin has made it a payment.
    Done,
    /// The end: the worker does the rest.
    LeftToWorker,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Heard {
    /// It was done, or is there.
    Done,
    /// There is none.
    Nothing,
    /// No answer: whether it was done is unknown.
    Silent,
}

/// Every answer to every step. The worker marks the intent as it claims it, and begins at [`Step::TellOrder`].
pub const TABLE: &[(Step, Heard, Step)] = &[
    (Step::MarkEnding, Heard::Done, Step::TellOrder),
    (Step::MarkEnding, Heard::Nothing, Step::LookForPayment),
    (Step::MarkEnding, Heard::Silent, Step::LeftToWorker),
    (Step::LookForPayment, Heard::Done, Step::Done),
    // It was taken back already; but the order may have let our late claim in since.
    (Step::LookForPayment, Heard::Nothing, Step::TellOrder),
    (Step::LookForPayment, Heard::Silent, Step::LeftToWorker),
    (Step::TellOrder, Heard::Done, Step::Forget),
    (Step::TellOrder, Heard::Silent, Step::LeftToWorker),
    (Step::Forget, Heard::Done, Step::Done),
    (Step::Forget, Heard::Silent, Step::LeftToWorker),
];

/// The step after an answer; one that the table does not know leaves the rest to the worker.
pub fn next(step: Step, heard: Heard) -> Step {
    let row = TABLE.iter().find(|(at, said, _)| (*at, *said) == (step, heard));
    row.map_or(Step::LeftToWorker, |(.., next)| *next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_forgotten_only_when_its_order_was_told() {
        let to_forget: Vec<_> = TABLE.iter().filter(|(.., to)| *to == Step::Forget).collect();
        assert_eq!(to_forget, vec![&(Step::TellOrder, Heard::Done, Step::Forget)]);
    }
}
