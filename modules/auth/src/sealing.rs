//! Secrets that must be read again are stored sealed, so that a copy of the database alone does not tell them.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::Mac;
use kernel::UserId;
use rand::RngCore;
use rand::rngs::OsRng;
use thiserror::Error;

use crate::derived_key::DerivedKey;

/// A nonce of 24 random bytes never comes twice.
const NONCE_BYTES: usize = 24;

/// Why something was not sealed or opened.
#[derive(Debug, Error)]
pub(crate) enum SealingError {
    #[error("the operating system gave no random bytes")]
    Random(#[from] rand::Error),
    /// Another pepper, another user, or damage.
    #[error("a sealed secret cannot be opened")]
    Broken,
}

/// Seals for one user each: what is moved to another user's row does not open there.
pub(crate) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub(crate) fn new(key: &DerivedKey) -> Self {
        Self(XChaCha20Poly1305::new(&key.mac().finalize().into_bytes()))
    }

    pub(crate) fn seal(&self, user_id: UserId, secret: &[u8]) -> Result<Vec<u8>, SealingError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        OsRng.try_fill_bytes(&mut nonce)?;
        let owner = user_id.uuid().into_bytes();
        let payload = Payload { msg: secret, aad: &owner };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealingError::Broken)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn open(&self, user_id: UserId, sealed: &[u8]) -> Result<Vec<u8>, SealingError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealingError::Broken)?;
        let owner = user_id.uuid().into_bytes();
        let payload = Payload { msg: sealed, aad: &owner };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealingError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use kernel::UserId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_the_same_key_and_user_open_it() {
        let key = |pepper: &str| Sealer::new(&DerivedKey::of(pepper, "test").unwrap());
        let (ada, eve) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let sealed = key("pepper").seal(ada, b"secret").unwrap();
        assert_eq!(key("pepper").open(ada, &sealed).unwrap(), b"secret");
        assert_ne!(key("pepper").seal(ada, b"secret").unwrap(), sealed);
        assert!(key("pepper").open(eve, &sealed).is_err() && key("salt").open(ada, &sealed).is_err());
        assert!(key("pepper").open(ada, b"short").is_err());
    }
}
