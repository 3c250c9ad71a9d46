//! The secret by which a guest knows their cart again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// 32 random bytes; clients see them as 43 characters of base64url (RFC 4648, 5), the database sees only their SHA-256.
/// A plain digest is enough, as nobody can go through 2^256 tokens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CartToken([u8; 32]);

impl CartToken {
    /// From fresh randomness.
    pub(crate) fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads what a client sent; `None` for what no answer ever gave out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// What clients carry.
    pub(crate) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What the database keeps, in hexadecimal.
    pub(crate) fn hash(&self) -> String {
        Sha256::digest(self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A token opens a cart, so it never shows in a log.
impl std::fmt::Debug for CartToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CartToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is() {
        let token = CartToken::from_random([7; 32]);
        let text = token.to_text();
        assert_eq!((text.len(), CartToken::parse(&text)), (43, Some(token.clone())));
        assert_eq!(token.hash().len(), 64);
        assert!(!format!("{token:?}").contains(&text));
        for bad in ["", "x", "a b", &text[1..], &format!("{text}A"), &"é".repeat(21)] {
            assert_eq!(CartToken::parse(bad), None, "{bad}");
        }
    }
}
