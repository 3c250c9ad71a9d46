//! The ways in which money moves.

/// One call to a provider that moves money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Movement {
    /// Holds the money of the customer.
    Authorize,
    /// Holds it and takes it at once.
    Charge,
    /// Takes what is held; what is left of the hold goes back.
    Capture,
    /// Lifts the hold.
    Void,
    /// Gives back what was taken.
    Refund,
}

impl Movement {
    pub const ALL: [Movement; 5] =
        [Movement::Authorize, Movement::Charge, Movement::Capture, Movement::Void, Movement::Refund];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Movement::Authorize => "authorize",
            Movement::Charge => "charge",
            Movement::Capture => "capture",
            Movement::Void => "void",
            Movement::Refund => "refund",
        }
    }

    /// Reads a name; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|movement| movement.as_str() == text)
    }

    /// Whether this begins a payment: only such a movement may be given up, because nothing was promised yet.
    pub fn begins(self) -> bool {
        matches!(self, Movement::Authorize | Movement::Charge)
    }
}
