//! Placing an order as a table: which step follows which answer. `app::place_order` carries the steps out, one by one,
//! and asks [`next`] after each; the model check (`tests/model`) walks the same table through crashes, delays and
//! duplicates.
//!
//! The power may fail before, in or after any step. What then holds, and who goes on:
//!
//! | step | what is left if the power fails before it, or in it before its effect | after its effect |
//! |---|---|---|
//! | [`Step::OpenKey`] | nothing | the key is open: undone when its lease has run out, by a retry or the worker |
//! | [`Step::UndoEarlier`] | the key is open: as above | the key is gone and the stock is on a list (see `domain::undoing`) |
//! | [`Step::LookAtCart`], [`Step::Quote`] | the key is open, no stock is held: undone, which burns an unused id | the same; they only read |
//! | [`Step::Reserve`] | the same | the key is open and names the stock that is held: undone, which releases it |
//! | [`Step::StoreRefusal`] | the key is open, nothing is held: undone | the key is done and the id on the list; a retry hears the refusal |
//! | [`Step::LetGo`] | the id is on the list: the worker releases it | the id is burnt, and off the list |
//! | [`Step::WriteOrder`] | the key is open and the stock held: undone, which releases it | order, event and answer stand together; a retry hears the answer |
//! | [`Step::WithdrawKey`] | the key is open, nothing is held: undone | nothing is left |
//! | [`Step::Undo`] | as before the undoing: the key is open | the key is gone and the stock is on a list |

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Write the row of the idempotency key, or find what is known under it.
    OpenKey,
    /// An earlier attempt under this key died, nobody knows how far it came: undo it whole.
    UndoEarlier,
    /// See whether the cart has become an order, before stock is held for nothing. The constraint decides later.
    LookAtCart,
    /// Ask the catalogue what the lines cost.
    Quote,
    /// Ask inventory to hold the stock, all lines or none.
    Reserve,
    /// Write that there is not enough stock as the final word for this key, and put the reservation on the list of
    /// those that are to be released.
    StoreRefusal,
    /// Release what was refused, which burns its id: a twin of the call that comes late, when there is enough again,
    /// would hold stock for an order that will never be.
    LetGo,
    /// Write order, lines, timeline, event and stored answer, all at once and only if the key is still open.
    WriteOrder,
    /// Forget the key: nothing was asked of inventory.
    WithdrawKey,
    /// Close the key and give back what may be held.
    Undo,
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
    /// Inventory has not enough.
    Short,
    /// Refused, and nothing was changed.
    No,
    /// The key is not open any more: the order was written, or somebody else has undone it.
    NotOpen,
    /// No answer: whether it was done is unknown.
    Silent,
}

/// Every answer to every step.
pub const TABLE: &[(Step, Heard, Step)] = &[
    (Step::OpenKey, Heard::Opened, Step::LookAtCart),
    (Step::OpenKey, Heard::TakenOver, Step::UndoEarlier),
    (Step::OpenKey, Heard::Stored, Step::Answer),
    // Used for another request, or still at work.
    (Step::OpenKey, Heard::No, Step::Refuse),
    (Step::OpenKey, Heard::Silent, Step::Refuse),
    (Step::UndoEarlier, Heard::Done, Step::OpenKey),
    // It was not dead after all, or another one was quicker: the key says which.
    (Step::UndoEarlier, Heard::NotOpen, Step::OpenKey),
    (Step::UndoEarlier, Heard::Silent, Step::Refuse),
    (Step::LookAtCart, Heard::Done, Step::Quote),
    (Step::LookAtCart, Heard::No, Step::WithdrawKey),
    (Step::LookAtCart, Heard::Silent, Step::WithdrawKey),
    (Step::Quote, Heard::Done, Step::Reserve),
    (Step::Quote, Heard::No, Step::WithdrawKey),
    (Step::Quote, Heard::Silent, Step::WithdrawKey),
    (Step::Reserve, Heard::Done, Step::WriteOrder),
    (Step::Reserve, Heard::Short, Step::StoreRefusal),
    // The id is burnt: this attempt was given up for dead and undone while it still ran.
    (Step::Reserve, Heard::No, Step::Undo),
    (Step::Reserve, Heard::Silent, Step::Undo),
    (Step::StoreRefusal, Heard::Done, Step::LetGo),
    (Step::StoreRefusal, Heard::No, Step::Undo),
    (Step::StoreRefusal, Heard::Silent, Step::Undo),
    // Released, or left to the worker.
    (Step::LetGo, Heard::Done, Step::Answer),
    (Step::WriteOrder, Heard::Done, Step::Answer),
    // The cart has become another order, or the key is not open any more: nothing was written.
    (Step::WriteOrder, Heard::No, Step::Undo),
    (Step::WriteOrder, Heard::Silent, Step::Undo),
    (Step::WithdrawKey, Heard::Done, Step::Refuse),
    (Step::WithdrawKey, Heard::Silent, Step::Refuse),
    (Step::Undo, Heard::Done, Step::Refuse),
    // Either the commit did happen though its answer was lost, or another request took over: the key says which.
    (Step::Undo, Heard::NotOpen, Step::OpenKey),
    (Step::Undo, Heard::Silent, Step::Refuse),
];

/// The step after an answer. An answer that the table does not know ends the attempt without another effect: its key
/// stays open, and the worker undoes it.
pub fn next(step: Step, heard: Heard) -> Step {
    let row = TABLE.iter().find(|(at, said, _)| (*at, *said) == (step, heard));
    row.map_or(Step::Refuse, |(.., next)| *next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(step: Step) -> Vec<Heard> {
        TABLE.iter().filter(|(at, ..)| *at == step).map(|(_, heard, _)| *heard).collect()
    }

    #[test]
    fn every_answer_has_one_next_step_and_every_way_ends() {
        for (index, (step, heard, to)) in TABLE.iter().enumerate() {
            let twin = TABLE.iter().skip(index + 1).find(|(at, said, _)| (at, said) == (step, heard));
            assert_eq!(twin, None, "{step:?} {heard:?}");
            let ends = matches!(to, Step::Answer | Step::Refuse);
            assert!(ends == answers(*to).is_empty(), "{to:?} ends, or has an answer");
        }
    }

    #[test]
    fn whoever_may_hold_stock_is_undone() {
        for step in [Step::Reserve, Step::StoreRefusal, Step::WriteOrder] {
            for heard in [Heard::No, Heard::Silent] {
                assert_eq!(next(step, heard), Step::Undo, "{step:?} {heard:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_cannot_be_changes_nothing_more() {
        assert_eq!(next(Step::Reserve, Heard::Stored), Step::Refuse);
    }
}
