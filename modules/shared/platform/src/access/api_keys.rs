//! API keys: how one is written, and those that were used lately.
//!
//! A key is `souk_`, the id of its row, the secret, and a checksum, all in hexadecimal. The prefix lets scanners for leaked
//! secrets find it, the checksum lets them, and us, tell it from a typing error without asking anyone.
//!
//! What `auth` says of a key is kept for `KEPT_FOR`, so that a request needs no call. Before that a key is out of use
//! when `auth` says so by an event: a revoked one by its id, one of a user whose access changed by the instant as of which it
//! was read. An id that `auth` does not know is remembered, too, for a moment and up to a bound; to go round that one
//! needs another id a request, and then each costs `auth` one read by key, of which `LOOK_UPS` run at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::auth::{ApiKey, ApiKeyUse, AuthPort};
use kernel::{ApiKeyId, Timestamp};
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::problem::chain;

/// What every key begins with.
pub const PREFIX: &str = "souk_";
/// The bytes of a secret.
pub const SECRET_BYTES: usize = 32;

const ID_LENGTH: usize = 32;
const SECRET_LENGTH: usize = 2 * SECRET_BYTES;
const CHECKSUM_LENGTH: usize = 8;

/// How long a key that was looked up is believed: the net under the events.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How long an unknown id is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// The most keys of either kind that are kept.
const MAX_KEPT: u64 = 10_000;
/// Keys that `auth` is asked for at the same time.
const LOOK_UPS: usize = 32;
/// How long a request waits for its turn and the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Keys whose use waits to be noted.
const MAX_USED: usize = 10_000;

/// A key as it was sent: whose it claims to be, and the hash of the secret that would prove it.
pub(crate) struct SentKey {
    pub(crate) id: ApiKeyId,
    pub(crate) secret_hash: Vec<u8>,
}

/// The text of a key, which is shown once.
pub fn write(id: ApiKeyId, secret: &[u8; SECRET_BYTES]) -> String {
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = format!("{PREFIX}{}{secret}", id.uuid().simple());
    let checksum = checksum(&body);
    format!("{body}{checksum}")
}

/// What is kept of a secret. A plain SHA-256 is right for 256 random bits, which nobody guesses.
pub fn hash(secret: &[u8; SECRET_BYTES]) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// Reads a key; `None` for what never was one.
pub(crate) fn read(text: &str) -> Option<SentKey> {
    let rest = text.strip_prefix(PREFIX)?;
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if rest.len() != ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH || !rest.bytes().all(plain) {
        return None;
    }
    let (body, sum) = text.split_at_checked(text.len() - CHECKSUM_LENGTH)?;
    let (id, secret) = rest.split_at_checked(ID_LENGTH)?;
    let secret = secret.get(..SECRET_LENGTH)?;
    let bytes: Option<Vec<u8>> =
        (0..SECRET_BYTES).map(|at| u8::from_str_radix(secret.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    let secret: [u8; SECRET_BYTES] = bytes?.try_into().ok()?;
    let id = ApiKeyId(Uuid::parse_str(id).ok()?);
    (checksum(body) == sum).then(|| SentKey { id, secret_hash: hash(&secret) })
}

fn checksum(body: &str) -> String {
    Sha256::digest(body).iter().take(CHECKSUM_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Why a key could not be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookUp {
    /// `auth` knows no valid key of this id.
    Unknown,
    /// `auth` did not answer, or too many wait for it.
    Silent,
}

/// Keys that were used lately.
pub(crate) struct KeyRing {
    known: Cache<ApiKeyId, Arc<ApiKey>>,
    unknown: Cache<ApiKeyId, ()>,
    look_ups: Semaphore,
    /// The minute in which each was last used, until `auth` has been told.
    used: Mutex<HashMap<ApiKeyId, Timestamp>>,
}

impl KeyRing {
    pub(crate) fn new() -> Self {
        Self {
            known: Cache::builder().max_capacity(MAX_KEPT).time_to_live(KEPT_FOR).build(),
            unknown: Cache::builder().max_capacity(MAX_KEPT).time_to_live(UNKNOWN_FOR).build(),
            look_ups: Semaphore::new(LOOK_UPS),
            used: Mutex::default(),
        }
    }

    /// A key, from memory or from `auth`; many who ask for one at once ask `auth` once.
    pub(crate) async fn get(&self, id: ApiKeyId, auth: &dyn AuthPort) -> Result<Arc<ApiKey>, LookUp> {
        if let Some(key) = self.known.get(&id).await {
            return Ok(key);
        }
        if self.unknown.contains_key(&id) {
            return Err(LookUp::Unknown);
        }
        let asked =
            tokio::time::timeout(ANSWER_WITHIN, self.known.try_get_with(id, self.ask(id, auth))).await;
        match asked.map_err(|_| LookUp::Silent)? {
            Ok(key) => Ok(key),
            Err(refusal) => {
                if *refusal == LookUp::Unknown {
                    self.unknown.insert(id, ()).await;
                }
                Err(*refusal)
            }
        }
    }

    async fn ask(&self, id: ApiKeyId, auth: &dyn AuthPort) -> Result<Arc<ApiKey>, LookUp> {
        let _turn = self.look_ups.acquire().await.map_err(|_| LookUp::Silent)?;
        match auth.api_key(id).await {
            Ok(Some(key)) => Ok(Arc::new(key)),
            Ok(None) => Err(LookUp::Unknown),
            Err(error) => {
                tracing::warn!(cause = %chain(&error), "an API key could not be looked up");
                Err(LookUp::Silent)
            }
        }
    }

    /// What was known of a key does not hold any more.
    pub(crate) async fn forget(&self, id: ApiKeyId) {
        self.known.invalidate(&id).await;
    }

    /// The same of all of them.
    pub(crate) fn forget_all(&self) {
        self.known.invalidate_all();
        self.unknown.invalidate_all();
    }

    /// Remembers a use until it is noted. Beyond the bound it is not: that is a mark of time, no proof.
    pub(crate) fn use_at(&self, id: ApiKeyId, now: Timestamp) {
        let minute = Timestamp::from_ms(now.ms() - now.ms().rem_euclid(60_000));
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < MAX_USED || used.contains_key(&id) {
            used.insert(id, minute);
        }
    }

    /// Takes the uses that are to be noted.
    pub(crate) fn take_uses(&self) -> Vec<ApiKeyUse> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        used.into_iter().map(|(id, at)| ApiKeyUse { id, at }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is() {
        let id = ApiKeyId(Uuid::from_u128(7));
        let text = write(id, &[9; 32]);
        assert!(
            text.starts_with("souk_00000000000000000000000000000007090909") && text.len() == 109,
            "{text}"
        );
        let sent = read(&text).unwrap();
        assert_eq!((sent.id, sent.secret_hash), (id, hash(&[9; 32])));
        let mut typo = text.clone().into_bytes();
        typo[40] = b'a';
        let typo = String::from_utf8(typo).unwrap();
        for bad in [
            "",
            "souk_",
            &text[..108],
            &format!("{text}0"),
            &text.to_uppercase(),
            &typo,
            &"souk_é".repeat(16),
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn uses_are_kept_to_the_minute_once_a_key() {
        let ring = KeyRing::new();
        let id = ApiKeyId(Uuid::from_u128(7));
        ring.use_at(id, Timestamp::from_ms(61_000));
        ring.use_at(id, Timestamp::from_ms(119_999));
        assert_eq!(ring.take_uses(), [ApiKeyUse { id, at: Timestamp::from_ms(60_000) }]);
        assert!(ring.take_uses().is_empty());
    }
}
