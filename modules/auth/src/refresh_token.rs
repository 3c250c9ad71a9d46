//! Refresh tokens: 32 random bytes, of which the database keeps the hash only.
//!
//! A plain SHA-256 is right here, unlike for passwords: nobody can guess 256 random bits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

/// A refresh token. Its `Debug` shows nothing.
pub(crate) struct RefreshToken([u8; 32]);

impl RefreshToken {
    /// A fresh one.
    pub(crate) fn create() -> Result<Self, rand::Error> {
        let mut bytes = [0_u8; 32];
        OsRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads one; `None` for what never was one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // 32 bytes are 43 characters of base64url; longer texts are not worth decoding.
        let bytes = (text.len() == 43).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()?;
        bytes.try_into().ok().map(Self)
    }

    /// What the client keeps.
    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What the database keeps.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_trip_and_others_are_refused() {
        let token = RefreshToken::create().unwrap();
        assert_eq!(RefreshToken::parse(&token.text()).unwrap().hash(), token.hash());
        assert_eq!(format!("{token:?}"), "RefreshToken(..)");
        for bad in ["", "x", &"é".repeat(43), &"!".repeat(43), &"A".repeat(44)] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }
}
