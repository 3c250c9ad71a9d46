//! A wish to pay before the order has said what is due: how it lives and ends. The store decides each of these in one
//! conditional statement; the rule stands here once, for that statement and for the model check.

/// Whether somebody may go on with an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// A request is at work on it, or its client may come again.
    Open,
    /// It is being taken back; nobody may go on with it, and it never becomes a payment.
    Ending,
}

impl State {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Ending => "ending",
        }
    }

    /// Whether its client may go on with it, and it may become a payment.
    pub fn may_go_on(self) -> bool {
        self == State::Open
    }
}

/// Whether the cancellation of an order ends an intent of it: only what was meant before. An order that was taken up
/// again and is paid anew, before its cancellation was heard of, keeps its new payment.
pub fn is_called_off(begun_at_ms: i64, cancelled_at_ms: i64) -> bool {
    begun_at_ms <= cancelled_at_ms
}

/// Whether the open key of a dead request stands for nothing but itself, so that it may go.
pub fn key_is_alone(has_intent: bool, has_payment: bool, has_attempt: bool) -> bool {
    !(has_intent || has_payment || has_attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_open_intent_goes_on() {
        assert!(State::Open.may_go_on() && !State::Ending.may_go_on());
        assert!(is_called_off(5, 5) && !is_called_off(6, 5));
        assert!(key_is_alone(false, false, false) && !key_is_alone(false, false, true));
    }
}
