//! Whether a token is one of ours and still holds.
//!
//! Nothing in a token says how it is to be verified: the algorithm, the type, the issuer and the audience are ours, the key is
//! one that `auth` has published, and a header that asks for more (`crit`, an embedded or linked key) is refused.
//!
//! A key that is not known yet may be a new one, so `auth` is asked, and that must not become a lever: an id that no key of
//! `auth` could have is refused without a question, one question is under way at a time, and the next is not asked
//! before [`ASK_AGAIN_AFTER`]. So nothing has to be remembered of the unknown ids themselves.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use contracts::auth::{
    ACCESS_TOKEN_TYPE, AUDIENCE, AccessClaims, ApiKey, AuthPort, ISSUER, MAX_USES, PublicKey, Revoked,
};
use contracts::port::{NoRefusal, PortError};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use kernel::{ApiKeyId, Clock, SessionId, Timestamp, UserId};
use moka::sync::Cache as Moka;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::access::api_keys::{KeyRing, LookUp};
use crate::access::{Caller, Credential, Principal, Refusal, api_keys};
use crate::problem::chain;

/// Tolerated difference between clocks, seconds.
const LEEWAY_S: u64 = 5;
/// The pause between two questions for unknown keys.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// How long a request waits for the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long a revoked API key is remembered: longer than what was read of it before is kept.
const REVOKED_FOR: Duration = Duration::from_secs(600);
/// The longest token that is looked at.
const MAX_TOKEN: usize = 4_096;
/// What the tokens may take that were found to be signed by us, bytes: some thousands of them.
const SIGNED_BYTES: u64 = 2 * 1024 * 1024;
/// What one takes besides its text: its claims, twice its names, and what the cache keeps of it.
const SIGNED_BESIDES: usize = 512;
/// How long one is remembered. It is looked at again each time whether it still holds.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// The characters of a key's id: a SHA-256 thumbprint in base64url.
const KID_LENGTH: usize = 43;

/// Verifies access tokens. One a process, shared by all its modules.
pub struct TokenVerifier {
    clock: Arc<dyn Clock>,
    issuer: String,
    /// None until `auth` has been asked once.
    keys: RwLock<Option<Keys>>,
    /// Tokens whose signature was right, as checking it is most of the work of recognising someone. Only what `auth` has signed
    /// gets in, and however many of those somebody asks for, no more than fit.
    signed: Moka<String, Signed>,
    revocations: RwLock<Revocations>,
    /// Who is asked for what is not known. Weak, because where `auth` runs it holds this verifier in turn.
    auth: OnceLock<Weak<dyn AuthPort>>,
    /// When `auth` was last asked for an unknown key; held while the question is under way.
    asked_at: Mutex<Option<Timestamp>>,
    api_keys: KeyRing,
}

#[derive(Default)]
struct Revocations {
    sessions: HashMap<SessionId, Timestamp>,
    users: HashMap<UserId, (Timestamp, Timestamp)>,
    /// Until when nothing that was read before can be believed any more.
    api_keys: HashMap<ApiKeyId, Timestamp>,
}

/// The keys of `auth` by their ids.
struct Keys {
    published: Vec<PublicKey>,
    by_id: HashMap<String, DecodingKey>,
    /// Counts the sets of keys that there were: what an older one has verified is verified again.
    generation: u64,
}

/// A token that one of the keys of a generation has signed for us.
#[derive(Clone)]
struct Signed {
    generation: u64,
    presented: Arc<Presented>,
}

/// What a token says: ours say the claims, and are valid from the first moment. Whoever signs otherwise is taken at their word.
#[derive(Deserialize)]
struct Presented {
    #[serde(flatten)]
    claims: AccessClaims,
    /// Not before, seconds since the epoch.
    nbf: Option<i64>,
}

/// What a look at a token found.
enum Look {
    Valid(Arc<Presented>),
    /// Whatever is wrong with it.
    Refused,
    /// No key of this id is known here, and there might be one.
    UnknownKey,
}

impl TokenVerifier {
    /// Knows no key yet: refuses everything. Tokens are those of the default issuer.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::for_issuer(clock, ISSUER.to_owned())
    }

    /// The same for tokens of another issuer.
    pub fn for_issuer(clock: Arc<dyn Clock>, issuer: String) -> Self {
        Self {
            clock,
            issuer,
            keys: RwLock::default(),
            signed: Moka::builder()
                .max_capacity(SIGNED_BYTES)
                .weigher(|token: &String, _| u32::try_from(token.len() + SIGNED_BESIDES).unwrap_or(u32::MAX))
                .time_to_live(SIGNED_FOR)
                .build(),
            revocations: RwLock::default(),
            auth: OnceLock::new(),
            asked_at: Mutex::default(),
            api_keys: KeyRing::new(),
        }
    }

    /// The `iss` of every token that is accepted.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Says whom to ask for what is not known here. The first call holds; whoever calls keeps the port alive.
    pub fn ask(&self, auth: &Arc<dyn AuthPort>) {
        let _already = self.auth.set(Arc::downgrade(auth));
    }

    fn auth(&self) -> Option<Arc<dyn AuthPort>> {
        self.auth.get()?.upgrade()
    }

    /// Takes over the keys and revocations of `auth`; the revocations first, so that no ended session passes in between.
    pub async fn load(&self, auth: &dyn AuthPort) -> Result<(), PortError<NoRefusal>> {
        self.revoke(auth.revoked().await?);
        self.set_keys(&auth.public_keys().await?);
        Ok(())
    }

    /// Asks for the keys because they have changed. If that fails, the next look of the worker finds them.
    pub(crate) async fn reload(&self) {
        let Some(auth) = self.auth() else { return };
        if let Err(error) = self.load(auth.as_ref()).await {
            tracing::warn!(cause = %chain(&error), "the changed keys of access tokens could not be read");
        }
    }

    /// Replaces the keys. Only Ed25519 keys are taken.
    pub fn set_keys(&self, keys: &[PublicKey]) {
        let decoded = keys
            .iter()
            .filter(|key| key.kty == "OKP" && key.crv == "Ed25519")
            .filter_map(|key| Some((key.kid.clone(), DecodingKey::from_ed_components(&key.x).ok()?)))
            .collect();
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| known.published == keys) {
            return;
        }
        let generation = known.as_ref().map_or(0, |known| known.generation.wrapping_add(1));
        *known = Some(Keys { published: keys.to_vec(), by_id: decoded, generation });
    }

    /// Whether `auth` has told its keys. Until then nobody can be recognised.
    pub fn is_ready(&self) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Adds revocations and forgets those whose tokens have expired anyway.
    pub fn revoke(&self, revoked: Revoked) {
        let now = self.clock.now();
        let mut known = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        known.sessions.retain(|_, expires_at| *expires_at > now);
        known.users.retain(|_, (_, expires_at)| *expires_at > now);
        for session in revoked.sessions {
            known.sessions.insert(session.session_id, session.tokens_expire_at);
        }
        for user in revoked.users {
            let entry = known.users.entry(user.user_id).or_insert((user.issued_until, user.tokens_expire_at));
            *entry = (entry.0.max(user.issued_until), entry.1.max(user.tokens_expire_at));
        }
    }

    /// An API key is refused from now on.
    pub async fn revoke_api_key(&self, id: ApiKeyId) {
        let now = self.clock.now();
        {
            let mut known = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
            known.api_keys.retain(|_, until| *until > now);
            known.api_keys.insert(id, now.plus(REVOKED_FOR));
        }
        self.api_keys.forget(id).await;
    }

    /// Whatever is known of API keys may be out of date: revocations were missed.
    pub fn forget_api_keys(&self) {
        self.api_keys.forget_all();
    }

    /// Tells `auth` which API keys were used. What cannot be told is forgotten: it is a mark of time, and the next use makes another.
    pub async fn report_api_key_uses(&self, auth: &dyn AuthPort) -> Result<(), PortError<NoRefusal>> {
        for uses in self.api_keys.take_uses().chunks(MAX_USES) {
            auth.note_api_key_uses(uses.to_vec()).await?;
        }
        Ok(())
    }

    /// Who shows this token or API key. Asks `auth` only for what is not known yet, and bounded.
    pub(crate) async fn recognise(&self, token: &str) -> Result<Caller, Refusal> {
        if token.starts_with(api_keys::PREFIX) {
            return self.recognise_api_key(token).await;
        }
        if !self.is_ready() {
            return Err(Refusal::KeysUnknown);
        }
        let mut look = self.look(token);
        if matches!(look, Look::UnknownKey) && self.ask_for_keys().await {
            look = self.look(token);
        }
        match look {
            Look::Valid(presented) => Ok(Caller { principal: presented.claims.clone().into(), scopes: None }),
            Look::Refused | Look::UnknownKey => Err(Refusal::Invalid),
        }
    }

    async fn recognise_api_key(&self, text: &str) -> Result<Caller, Refusal> {
        let sent = api_keys::read(text).ok_or(Refusal::Invalid)?;
        let auth = self.auth().ok_or(Refusal::KeysUnknown)?;
        // Once more if what is known was read before the owner's access changed.
        for _ in 0..2 {
            let key = match self.api_keys.get(sent.id, auth.as_ref()).await {
                Ok(key) => key,
                Err(LookUp::Unknown) => return Err(Refusal::Invalid),
                Err(LookUp::Silent) => return Err(Refusal::KeyNotLookedUp),
            };
            // Both are hashes of random bits: how long it takes to compare them tells nothing of the secret.
            if key.secret_hash != sent.secret_hash || self.is_over(&key) {
                return Err(Refusal::Invalid);
            }
            if !self.is_outdated(&key) {
                self.api_keys.use_at(key.id, self.clock.now());
                return Ok(Caller { principal: key.as_ref().into(), scopes: Some(key.scopes.clone()) });
            }
            self.api_keys.forget(sent.id).await;
        }
        Err(Refusal::Invalid)
    }

    fn is_over(&self, key: &ApiKey) -> bool {
        let known = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        key.expires_at <= self.clock.now() || known.api_keys.contains_key(&key.id)
    }

    /// Whether the session of somebody who was let in, or their key, has been ended since. That the token has expired since is no matter.
    pub(crate) fn has_ended(&self, principal: &Principal) -> bool {
        let known = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        let is_ended = match principal.credential {
            Credential::Session => known.sessions.contains_key(&principal.session_id),
            Credential::ApiKey(id) => known.api_keys.contains_key(&id),
        };
        is_ended || known.users.get(&principal.user_id).is_some_and(|(until, _)| principal.as_of <= *until)
    }

    fn is_outdated(&self, key: &ApiKey) -> bool {
        let known = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        known.users.get(&key.user_id).is_some_and(|(changed_at, _)| key.as_of <= *changed_at)
    }

    /// The claims of a token that is valid as far as is known here; `None` for every other, whatever is wrong with it.
    pub fn verify(&self, token: &str) -> Option<AccessClaims> {
        match self.look(token) {
            Look::Valid(presented) => Some(presented.claims.clone()),
            Look::Refused | Look::UnknownKey => None,
        }
    }

    fn look(&self, token: &str) -> Look {
        if token.len() > MAX_TOKEN {
            return Look::Refused;
        }
        match self.presented(token) {
            Ok(presented) if self.is_current(&presented.claims, presented.nbf) => Look::Valid(presented),
            Ok(_) => Look::Refused,
            Err(look) => look,
        }
    }

    /// What a token says that one of the keys has signed for us, whether or not it still holds.
    fn presented(&self, token: &str) -> Result<Arc<Presented>, Look> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = keys.as_ref() else { return Err(Look::UnknownKey) };
        if let Some(signed) = self.signed.get(token).filter(|signed| signed.generation == keys.generation) {
            return Ok(signed.presented);
        }
        let header = jsonwebtoken::decode_header(token).ok().filter(is_plain);
        let Some(kid) = header.and_then(|header| header.kid) else { return Err(Look::Refused) };
        let Some(key) = keys.by_id.get(&kid) else {
            return Err(if could_be_ours(&kid) { Look::UnknownKey } else { Look::Refused });
        };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Expiry is checked against the injected clock, each time that the token comes.
        validation.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Presented>(token, key, &validation);
        let presented = Arc::new(decoded.map_err(|_| Look::Refused)?.claims);
        let signed = Signed { generation: keys.generation, presented: presented.clone() };
        self.signed.insert(token.to_owned(), signed);
        Ok(presented)
    }

    /// Whether `auth` has answered just now.
    async fn ask_for_keys(&self) -> bool {
        let Some(auth) = self.auth() else { return false };
        let came_at = self.clock.now();
        let mut asked_at = self.asked_at.lock().await;
        let now = self.clock.now();
        if let Some(before) = *asked_at {
            // Asked while this request waited for its turn: the answer is as good for it.
            if came_at <= before && before <= now {
                return true;
            }
            // A clock that was set back must not keep the question from ever being asked.
            if before <= now && now < before.plus(ASK_AGAIN_AFTER) {
                return false;
            }
        }
        *asked_at = Some(now);
        match tokio::time::timeout(ANSWER_WITHIN, self.load(auth.as_ref())).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(cause = %chain(&error), "auth was asked for an unknown key and did not answer");
                false
            }
            Err(_) => {
                tracing::warn!("auth was asked for an unknown key and did not answer in time");
                false
            }
        }
    }

    fn is_current(&self, claims: &AccessClaims, not_before: Option<i64>) -> bool {
        let now = self.clock.now();
        let leeway = i64::try_from(LEEWAY_S).unwrap_or_default();
        let now_s = now.ms() / 1_000;
        let begins = claims.iat.max(not_before.unwrap_or(claims.iat));
        if claims.exp.saturating_add(leeway) < now_s || begins > now_s.saturating_add(leeway) {
            return false;
        }
        let known = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        let session_ended = known.sessions.contains_key(&claims.sid);
        let user_ended =
            known.users.get(&claims.sub).is_some_and(|(issued_until, _)| claims.iat_ms <= issued_until.ms());
        !session_ended && !user_ended
    }
}

/// A header of ours says which key, and nothing else that a verifier would have to follow.
fn is_plain(header: &Header) -> bool {
    header.alg == Algorithm::EdDSA
        && header.typ.as_deref() == Some(ACCESS_TOKEN_TYPE)
        && header.crit.is_none()
        && header.jwk.is_none()
        && header.jku.is_none()
        && header.x5u.is_none()
        && header.x5c.is_none()
}

/// Whether `auth` could have a key of this id; `../../etc/passwd` is none.
fn could_be_ours(kid: &str) -> bool {
    kid.len() == KID_LENGTH && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use contracts::auth::ApiKeyUse;

    use super::*;

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_ms(self.0.load(Ordering::SeqCst))
        }
    }

    /// Counts how often it is asked.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    #[async_trait]
    impl AuthPort for Counting {
        async fn public_keys(&self) -> Result<Vec<PublicKey>, PortError<NoRefusal>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(Vec::new())
        }

        async fn revoked(&self) -> Result<Revoked, PortError<NoRefusal>> {
            Ok(Revoked::default())
        }

        async fn api_key(&self, _: ApiKeyId) -> Result<Option<ApiKey>, PortError<NoRefusal>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(None)
        }

        async fn note_api_key_uses(&self, _: Vec<ApiKeyUse>) -> Result<(), PortError<NoRefusal>> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn unknown_keys_are_asked_for_once_in_a_while_whatever_they_are_called() {
        let clock = Arc::new(Hand(AtomicI64::new(1_000_000)));
        let counting = Arc::new(Counting::default());
        let port: Arc<dyn AuthPort> = counting.clone();
        let verifier = TokenVerifier::new(clock.clone());
        verifier.ask(&port);
        verifier.set_keys(&[]);
        let asked = || counting.0.load(Ordering::SeqCst);
        let crowd = (0..50).map(|_| verifier.ask_for_keys());
        futures_util::future::join_all(crowd).await;
        assert_eq!(asked(), 1);
        clock.0.fetch_add(2_999, Ordering::SeqCst);
        assert!(!verifier.ask_for_keys().await);
        assert_eq!(asked(), 1);
        clock.0.fetch_add(1, Ordering::SeqCst);
        assert!(verifier.ask_for_keys().await);
        assert_eq!(asked(), 2);
        // The clock was set back.
        clock.0.fetch_sub(500_000, Ordering::SeqCst);
        assert!(verifier.ask_for_keys().await);
        assert_eq!(asked(), 3);
    }

    #[tokio::test]
    async fn a_guessed_api_key_is_looked_up_once_by_however_many() {
        let counting = Arc::new(Counting::default());
        let port: Arc<dyn AuthPort> = counting.clone();
        let verifier = TokenVerifier::new(Arc::new(Hand(AtomicI64::new(1_000_000))));
        verifier.ask(&port);
        let guess = api_keys::write(ApiKeyId(uuid::Uuid::from_u128(7)), &[0; 32]);
        let crowd = (0..50).map(|_| verifier.recognise(&guess));
        assert!(futures_util::future::join_all(crowd).await.iter().all(Result::is_err));
        assert!(verifier.recognise(&guess).await.is_err());
        assert!(verifier.recognise("souk_0123").await.is_err());
        assert_eq!(counting.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn only_a_thumbprint_could_be_a_key_of_ours() {
        assert!(could_be_ours("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
        let long = "A".repeat(44);
        for kid in ["", "../../etc/passwd", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygr/4k", &long] {
            assert!(!could_be_ours(kid), "{kid}");
        }
    }
}
