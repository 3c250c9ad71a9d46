//! Where a payment stands.

/// The status of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The provider has been asked, or is about to be.
    Pending,
    /// The money is held, not taken.
    Authorized,
    /// The money was taken, all of it or part.
    Captured,
    /// Part of what was taken was given back.
    PartiallyRefunded,
    /// All that was taken was given back.
    Refunded,
    /// The hold was lifted; nothing was taken.
    Voided,
    /// Declined or given up; nothing was held.
    Failed,
}

impl Status {
    pub const ALL: [Status; 7] = [
        Status::Pending,
        Status::Authorized,
        Status::Captured,
        Status::PartiallyRefunded,
        Status::Refunded,
        Status::Voided,
        Status::Failed,
    ];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Authorized => "authorized",
            Status::Captured => "captured",
            Status::PartiallyRefunded => "partially_refunded",
            Status::Refunded => "refunded",
            Status::Voided => "voided",
            Status::Failed => "failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether a payment of this status holds, took or is about to take money. An order has at most one such payment.
    pub fn is_live(self) -> bool {
        !matches!(self, Status::Failed | Status::Voided | Status::Refunded)
    }
}
