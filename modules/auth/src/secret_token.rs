//! Tokens that are secrets, to refresh a session or to be mailed: 32 bytes that nobody can guess, of which the database keeps the hash
//! only.
//!
//! A plain SHA-256 is right here, unlike for passwords: nobody can guess 256 random bits.
//!
//! The first refresh token of a session is random. Each later one is derived from the one before, a secret of this module and a
//! nonce: whoever repeats a refresh within the grace is given the very same successor, though nothing stored says what it is.
//! It takes all three to know it, and the nonce is forgotten when the successor is used.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

use crate::derived_key::DerivedKey;

/// What makes a successor another one each time, 32 random bytes.
pub(crate) struct Nonce(Vec<u8>);

impl Nonce {
    /// A fresh one.
    pub(crate) fn create() -> Result<Self, rand::Error> {
        let mut bytes = vec![0_u8; 32];
        OsRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// One that was stored.
    pub(crate) fn stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What the database keeps.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.clone()
    }
}

/// A token of whatever purpose. Its `Debug` shows nothing.
pub(crate) struct SecretToken([u8; 32]);

impl SecretToken {
    /// A fresh one.
    pub(crate) fn create() -> Result<Self, rand::Error> {
        let mut bytes = [0_u8; 32];
        OsRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The token that follows this one: the same each time for the same nonce.
    pub(crate) fn successor(&self, key: &DerivedKey, nonce: &Nonce) -> Self {
        let mut mac = key.mac();
        mac.update(&self.0);
        mac.update(&nonce.0);
        Self(mac.finalize().into_bytes().into())
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

impl std::fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_known_by_token_key_and_nonce_together_only() {
        let (token, nonce) = (SecretToken::create().unwrap(), Nonce::create().unwrap());
        let key = DerivedKey::of("pepper", "test").unwrap();
        let next = token.successor(&key, &nonce).text();
        assert_eq!(token.successor(&key, &Nonce::stored(nonce.bytes())).text(), next);
        assert_ne!(token.successor(&key, &Nonce::create().unwrap()).text(), next);
        assert_ne!(token.successor(&DerivedKey::of("salt", "test").unwrap(), &nonce).text(), next);
        assert_ne!(SecretToken::create().unwrap().successor(&key, &nonce).text(), next);
    }

    #[test]
    fn a_token_survives_the_trip_and_others_are_refused() {
        let token = SecretToken::create().unwrap();
        assert_eq!(SecretToken::parse(&token.text()).unwrap().hash(), token.hash());
        assert_eq!(format!("{token:?}"), "SecretToken(..)");
        for bad in ["", "x", &"é".repeat(43), &"!".repeat(43), &"A".repeat(44)] {
            assert!(SecretToken::parse(bad).is_none(), "{bad}");
        }
    }
}
