//! Access tokens are signed here, with a key that never leaves this module.
//!
//! Which key signs is the database's word: each process looks every second. So a rotation needs no restart and no call, and a
//! process that does not look in time signs tokens that are still accepted (see [`verifies_until`]).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::auth::{ACCESS_TOKEN_TYPE, AUDIENCE, AccessClaims, PublicKey};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{SessionId, Timestamp};
use platform::db::Db;
use platform::module::AnyError;
use rand::RngCore;
use rand::rngs::OsRng;
use sea_orm::DbErr;
use sha2::{Digest, Sha256};

use crate::app::access::Access;
use crate::store::signing_keys;

/// A token counts as possible for so much longer than it says, because verifiers forgive clocks that differ by some
/// seconds. A revocation that was forgotten earlier would bring the token back to life.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// How often a process looks whether another key is to sign.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A new key is published before it signs: by then every process that hears events knows it.
const PUBLISHED_FOR: Duration = Duration::from_secs(2);

/// Signs access tokens.
pub(crate) struct Signer {
    current: RwLock<Arc<Current>>,
    issuer: String,
    lifetime: Duration,
}

/// The key that signs in this process.
struct Current {
    kid: String,
    key: EncodingKey,
}

impl Current {
    fn of(row: signing_keys::Model) -> Result<Self, AnyError> {
        let private = row.private_key.ok_or("the active signing key has no private part")?;
        Ok(Self { key: EncodingKey::from_ed_der(&private), kid: row.kid })
    }
}

/// An access token with what must be remembered of it.
pub(crate) struct SignedToken {
    pub(crate) text: String,
    /// From then on no verifier accepts it.
    pub(crate) impossible_from: Timestamp,
}

impl Signer {
    /// Loads the key, or creates the first one. Processes that do so at once agree, because the database keeps one.
    pub(crate) async fn open(db: &Db, issuer: &str, lifetime: Duration) -> Result<Self, AnyError> {
        let row = match signing_keys::active(db.reader()).await? {
            Some(row) => row,
            None => {
                signing_keys::insert_if_first(db.writer(), create_key(db.system().now())?).await?;
                let stored = signing_keys::active(db.reader()).await?;
                stored.ok_or("the signing key was stored but cannot be found")?
            }
        };
        remember_life(db, &row.kid, lifetime).await?;
        let current = RwLock::new(Arc::new(Current::of(row)?));
        Ok(Self { current, issuer: issuer.to_owned(), lifetime })
    }

    /// Takes over from the database which key signs, and writes down which have run out. A new key waits until it has been
    /// published for a moment, unless the one before it is refused.
    pub(crate) async fn follow(&self, db: &Db) -> Result<(), AnyError> {
        let now = db.system().now();
        let (kept, mine) = (signing_keys::kept(db.reader()).await?, self.current().kid.clone());
        let verifies = |row: &signing_keys::Model| row.retires_at_ms.is_none_or(|until| until > now.ms());
        if !kept.iter().all(verifies) {
            signing_keys::retire_due(db.writer(), now).await?;
        }
        let is_trusted = kept.iter().any(|row| row.kid == mine && verifies(row));
        let Some(active) = kept.into_iter().find(|row| row.state == signing_keys::ACTIVE) else {
            return Err("no key is to sign access tokens".into());
        };
        let published_until = now.minus(PUBLISHED_FOR).ms();
        if active.kid == mine || (is_trusted && active.created_at_ms > published_until) {
            return Ok(());
        }
        remember_life(db, &active.kid, self.lifetime).await?;
        tracing::info!(key.id = %active.kid, "another key signs access tokens");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Current::of(active)?);
        Ok(())
    }

    fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token for a session. `access` says what holds and as of when; `now` when the token's life begins.
    pub(crate) fn sign(
        &self,
        session_id: SessionId,
        access: &Access,
        now: Timestamp,
    ) -> Result<SignedToken, jsonwebtoken::errors::Error> {
        let current = self.current();
        let expires_at_s = now.plus(self.lifetime).ms() / 1_000;
        let claims = AccessClaims {
            iss: self.issuer.clone(),
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
            kid: Some(current.kid.clone()),
            typ: Some(ACCESS_TOKEN_TYPE.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok(SignedToken {
            text: jsonwebtoken::encode(&header, &claims, &current.key)?,
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

/// A fresh key that signs.
pub(crate) fn create_key(now: Timestamp) -> Result<signing_keys::Model, AnyError> {
    let mut secret = [0_u8; 32];
    OsRng.try_fill_bytes(&mut secret)?;
    let key = SigningKey::from_bytes(&secret);
    let public = key.verifying_key().to_bytes();
    Ok(signing_keys::Model {
        kid: thumbprint(&public),
        state: signing_keys::ACTIVE.to_owned(),
        private_key: Some(key.to_pkcs8_der()?.as_bytes().to_vec()),
        public_key: public.to_vec(),
        created_at_ms: now.ms(),
        longest_life_s: 0,
        retires_at_ms: None,
    })
}

async fn remember_life(db: &Db, kid: &str, lifetime: Duration) -> Result<(), DbErr> {
    let life_s = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    signing_keys::remember_life(db.writer(), kid, life_s).await
}

/// Until when a key verifies that no longer signs: by then the last of its tokens is refused for its age. The tolerance
/// covers what processes sign that have not looked yet, too.
pub(crate) fn verifies_until(row: &signing_keys::Model, now: Timestamp) -> Timestamp {
    let life = Duration::from_secs(u64::try_from(row.longest_life_s).unwrap_or_default());
    now.plus(life).plus(CLOCK_TOLERANCE)
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
