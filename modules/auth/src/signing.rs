//! Access tokens are signed here, with a key that never leaves this module.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::auth::{ACCESS_TOKEN_TYPE, AUDIENCE, AccessClaims, ISSUER, PublicKey};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{SessionId, Timestamp};
use platform::db::Db;
use platform::module::AnyError;
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

use crate::app::access::Access;
use crate::store::signing_keys;

/// A token counts as possible for so much longer than it says, because verifiers forgive clocks that differ by some
/// seconds. A revocation that was forgotten earlier would bring the token back to life.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Signs access tokens.
pub(crate) struct Signer {
    kid: String,
    key: EncodingKey,
    lifetime: Duration,
}

/// An access token with what must be remembered of it.
pub(crate) struct SignedToken {
    pub(crate) text: String,
    /// From then on no verifier accepts it.
    pub(crate) impossible_from: Timestamp,
}

impl Signer {
    /// Loads the key, or creates the first one. Processes that do so at once agree, because the database keeps one.
    pub(crate) async fn open(db: &Db, lifetime: Duration) -> Result<Self, AnyError> {
        let row = match signing_keys::active(db.reader()).await? {
            Some(row) => row,
            None => {
                signing_keys::insert_if_first(db.writer(), create_key(db.system().now())?).await?;
                let stored = signing_keys::active(db.reader()).await?;
                stored.ok_or("the signing key was stored but cannot be found")?
            }
        };
        Ok(Self { key: EncodingKey::from_ed_der(&row.private_key), kid: row.kid, lifetime })
    }

    /// A token for a session. `access` says what holds and as of when; `now` when the token's life begins.
    pub(crate) fn sign(
        &self,
        session_id: SessionId,
        access: &Access,
        now: Timestamp,
    ) -> Result<SignedToken, jsonwebtoken::errors::Error> {
        let expires_at_s = now.plus(self.lifetime).ms() / 1_000;
        let claims = AccessClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: access.profile.id,
            sid: session_id,
            role: access.profile.role,
            email: access.profile.email.as_str().to_owned(),
            iat: now.ms() / 1_000,
            iat_ms: access.as_of.ms(),
            exp: expires_at_s,
        };
        let header = Header {
            kid: Some(self.kid.clone()),
            typ: Some(ACCESS_TOKEN_TYPE.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok(SignedToken {
            text: jsonwebtoken::encode(&header, &claims, &self.key)?,
            impossible_from: Timestamp::from_ms(expires_at_s.saturating_mul(1_000)).plus(CLOCK_TOLERANCE),
        })
    }

    /// From when on a token signed until now is accepted by no verifier.
    pub(crate) fn impossible_from(&self, now: Timestamp) -> Timestamp {
        now.plus(self.lifetime).plus(CLOCK_TOLERANCE)
    }

    /// How long an access token lives, seconds.
    pub(crate) fn lifetime_s(&self) -> u64 {
        self.lifetime.as_secs()
    }
}

fn create_key(now: Timestamp) -> Result<signing_keys::Model, AnyError> {
    let mut secret = [0_u8; 32];
    OsRng.try_fill_bytes(&mut secret)?;
    let key = SigningKey::from_bytes(&secret);
    let public = key.verifying_key().to_bytes();
    Ok(signing_keys::Model {
        kid: thumbprint(&public),
        state: signing_keys::ACTIVE.to_owned(),
        private_key: key.to_pkcs8_der()?.as_bytes().to_vec(),
        public_key: public.to_vec(),
        created_at_ms: now.ms(),
    })
}

/// The key id: the thumbprint of the public key (RFC 7638, RFC 8037 appendix A.3).
fn thumbprint(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

/// A stored key as others may see it.
pub(crate) fn public_part(row: &signing_keys::Model) -> PublicKey {
    PublicKey {
        kid: row.kid.clone(),
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        alg: "EdDSA".to_owned(),
        usage: "sig".to_owned(),
        x: URL_SAFE_NO_PAD.encode(&row.public_key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_does_not_show_its_private_part() {
        let row = create_key(Timestamp::EPOCH).unwrap();
        let shown = format!("{row:?}");
        assert!(shown.contains(&row.kid) && !shown.contains("private") && !shown.contains('['), "{shown}");
    }
}
