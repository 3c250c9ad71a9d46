//! A request to pay as a table: which step follows which answer. `app::pay` carries the steps out and asks [`next`] after
//! each; the model check (`tests/model`) walks the same table through crashes, delays and duplicates.
//!
//! What holds if the power fails:
//!
//! | step | before it, or in it before its effect | after its effect |
//! |---|---|---|
//! | [`Step::OpenKey`] | nothing | an open key and nothing else: the worker drops it when its lease has run out |
//! | [`Step::FindAttempt`] | the key is open, with or without an intent or attempt | the same; it only reads |
//! | [`Step::Remember`] | an open key and nothing else | the intent names payment and order: the worker takes it back |
//! | [`Step::AskOrder`] | the same | the order may be held by a payment that does not exist; the intent says so, and the worker tells the order |
//! | [`Step::Forget`], [`Step::LetGo`], [`Step::TakeBack`] | the same | nothing is left, or the worker takes it back at once |
//! | [`Step::Open`] | the same | payment and attempt are open: the worker asks the provider under the attempt's key, fences off what it never saw, and tells the order |
//! | [`Step::FindTwin`] | the intent is gone or marked, by a twin or the worker | the same; it only reads |
//! | [`Step::Resume`] | an attempt is open and its lease has run out: the worker drives it | the same, when the new lease has run out |
//! | [`Step::Drive`] | the attempt is open (see `domain::driving`) | it is settled and its answer stored |
//! | [`Step::AwaitAnswer`] | another one drives the attempt and stores the answer | the same |
//! | [`Step::WithdrawKey`] | a new key is open and nothing else | nothing is left |

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Write the row of the idempotency key, which names the payment that is to be, or find what is known under it.
    OpenKey,
    /// Find the attempt that an earlier request with this key has left behind.
    FindAttempt,
    /// Write down what is wanted, before anybody is asked.
    Remember,
    /// Ask the order what is due, and to wait for this payment.
    AskOrder,
    /// The order has refused: forget intent and key, if the intent is still open.
    Forget,
    /// The order was silent: leave intent and key to whoever comes first.
    LetGo,
    /// Turn the intent into a payment with its first attempt, if it is still open.
    Open,
    /// The intent is not ours any more: find the attempt that a twin of this request has made of it.
    FindTwin,
    /// Take the intent back and tell the order (see `domain::taking_back`).
    TakeBack,
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
    /// It was done as asked, or is there.
    Done,
    /// There is none, or it is no longer open.
    Nothing,
    /// A twin of this request has made it a payment.
    Begun,
    /// There is nothing to pay.
    NothingDue,
    /// Another payment of the order is live.
    Second,
    /// Refused, and nothing was changed.
    No,
    /// No answer: whether it was done is unknown.
    Silent,
}

/// Every answer to every step.
pub const TABLE: &[(Step, Heard, Step)] = &[
    (Step::OpenKey, Heard::Opened, Step::Remember),
    (Step::OpenKey, Heard::TakenOver, Step::FindAttempt),
    (Step::OpenKey, Heard::Stored, Step::Answer),
    // Used for another request, or still at work.
    (Step::OpenKey, Heard::No, Step::Refuse),
    (Step::OpenKey, Heard::Silent, Step::Refuse),
    (Step::FindAttempt, Heard::Done, Step::Resume),
    (Step::FindAttempt, Heard::Nothing, Step::Remember),
    (Step::FindAttempt, Heard::Silent, Step::Refuse),
    (Step::Remember, Heard::Done, Step::AskOrder),
    // It was a payment already when it was to be remembered, though not when it was looked for.
    (Step::Remember, Heard::Begun, Step::FindTwin),
    // The intent is being taken back, or the key is gone.
    (Step::Remember, Heard::No, Step::Refuse),
    (Step::Remember, Heard::Silent, Step::Refuse),
    (Step::AskOrder, Heard::Done, Step::Open),
    (Step::AskOrder, Heard::NothingDue, Step::TakeBack),
    (Step::AskOrder, Heard::No, Step::Forget),
    (Step::AskOrder, Heard::Silent, Step::LetGo),
    (Step::Forget, Heard::Done, Step::Refuse),
    // A twin of this request was luckier with the order, or the intent is being taken back.
    (Step::Forget, Heard::Nothing, Step::Refuse),
    (Step::Forget, Heard::Silent, Step::Refuse),
    (Step::LetGo, Heard::Done, Step::Refuse),
    (Step::LetGo, Heard::Nothing, Step::Refuse),
    (Step::LetGo, Heard::Silent, Step::Refuse),
    (Step::Open, Heard::Done, Step::Drive),
    (Step::Open, Heard::Nothing, Step::FindTwin),
    // The order let this payment in, but another one of it is live here: its events are still on their way.
    (Step::Open, Heard::Second, Step::TakeBack),
    (Step::Open, Heard::Silent, Step::Refuse),
    (Step::FindTwin, Heard::Done, Step::Resume),
    // It is being taken back, and the order may hold our late claim: it is told.
    (Step::FindTwin, Heard::Nothing, Step::TakeBack),
    (Step::FindTwin, Heard::Silent, Step::Refuse),
    (Step::TakeBack, Heard::Done, Step::Refuse),
    (Step::TakeBack, Heard::Silent, Step::Refuse),
    (Step::Resume, Heard::Done, Step::Drive),
    // It has ended, or somebody may be at work on it.
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
    fn every_answer_has_one_next_step() {
        for (index, (step, heard, _)) in TABLE.iter().enumerate() {
            let twin = TABLE.iter().skip(index + 1).find(|(at, said, _)| (at, said) == (step, heard));
            assert_eq!(twin, None, "{step:?} {heard:?}");
        }
    }

    #[test]
    fn the_provider_is_asked_only_for_an_attempt_that_is_written_and_leased() {
        let to_drive: Vec<_> =
            TABLE.iter().filter(|(.., to)| *to == Step::Drive).map(|(at, heard, _)| (*at, *heard)).collect();
        assert_eq!(to_drive, vec![(Step::Open, Heard::Done), (Step::Resume, Heard::Done)]);
    }

    #[test]
    fn the_key_of_an_attempt_that_may_be_open_is_never_withdrawn() {
        for (step, heard, _) in TABLE.iter().filter(|(.., to)| *to == Step::WithdrawKey) {
            assert_eq!((*step, *heard), (Step::AwaitAnswer, Heard::Opened));
        }
    }
}
