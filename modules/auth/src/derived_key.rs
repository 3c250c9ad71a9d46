//! Keys for one purpose each, made from the pepper, so that there is one secret to keep and none in the database.

use hmac::Hmac;
use hmac::Mac;
use hmac::digest::InvalidLength;
use sha2::Sha256;

/// A key of 32 bytes. Not `Debug`: it is a secret.
pub(crate) struct DerivedKey(Hmac<Sha256>);

impl DerivedKey {
    /// HMAC-SHA-256 of the purpose under the pepper: keys of two purposes say nothing of each other.
    pub(crate) fn of(pepper: &str, purpose: &str) -> Result<Self, InvalidLength> {
        let mut mac = Hmac::<Sha256>::new_from_slice(pepper.as_bytes())?;
        mac.update(purpose.as_bytes());
        Hmac::new_from_slice(&mac.finalize().into_bytes()).map(Self)
    }

    /// Authenticates with this key.
    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        self.0.clone()
    }
}
