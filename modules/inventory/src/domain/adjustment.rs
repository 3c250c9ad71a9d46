//! Changes of the stock by hand.

use contracts::inventory::AdjustRefusal;

/// The most pieces of one SKU.
pub(crate) const MAX_ON_HAND: i64 = 1_000_000_000;

/// A change that may be tried: not zero, not beyond any possible stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change(i64);

impl Change {
    pub(crate) fn parse(change: i64) -> Result<Self, AdjustRefusal> {
        let possible = change != 0 && (-MAX_ON_HAND..=MAX_ON_HAND).contains(&change);
        if possible { Ok(Self(change)) } else { Err(AdjustRefusal::InvalidChange) }
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }
}

/// Why the stock was changed, in the words of who changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason(String);

impl Reason {
    pub(crate) fn parse(text: &str) -> Result<Self, AdjustRefusal> {
        let text = text.trim();
        let fits = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(AdjustRefusal::InvalidReason) }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_reasons_are_bounded() {
        assert_eq!(Change::parse(0), Err(AdjustRefusal::InvalidChange));
        assert_eq!(Change::parse(i64::MIN), Err(AdjustRefusal::InvalidChange));
        assert_eq!(Change::parse(-3).map(Change::get), Ok(-3));
        for bad in ["", "  ", "a\u{7}b", &"x".repeat(201)] {
            assert_eq!(Reason::parse(bad), Err(AdjustRefusal::InvalidReason), "{bad}");
        }
    }
}
