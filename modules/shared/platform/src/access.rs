//! Who is asking: access tokens are verified here, statelessly, with the public keys of `auth` and a small set of what
//! was revoked before it expired.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use async_trait::async_trait;
use contracts::auth::{
    ACCESS_TOKEN_TYPE, AUDIENCE, AccessClaims, AuthPort, ISSUER, PublicKey, Revoked, SessionEnded,
    UserSessionsEnded,
};
use contracts::event::{Envelope, Event};
use contracts::port::{NoRefusal, PortError};
use contracts::users::{Actor, Role};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kernel::{Clock, SessionId, Timestamp, UserId};

use crate::bus::{EventHandler, HandleError, Reach};
use crate::problem::{Problem, codes};

/// Tolerated difference between clocks, seconds.
const LEEWAY_S: u64 = 5;

/// Verifies access tokens. One a process, shared by all its modules.
pub struct TokenVerifier {
    clock: Arc<dyn Clock>,
    /// None until `auth` has been asked once.
    keys: RwLock<Option<HashMap<String, DecodingKey>>>,
    revocations: RwLock<Revocations>,
}

#[derive(Default)]
struct Revocations {
    sessions: HashMap<SessionId, Timestamp>,
    users: HashMap<UserId, (Timestamp, Timestamp)>,
}

impl TokenVerifier {
    /// Knows no key yet: refuses everything.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, keys: RwLock::default(), revocations: RwLock::default() }
    }

    /// Takes over the keys and revocations of `auth`; the revocations first, so that no ended session passes in between.
    pub async fn load(&self, auth: &dyn AuthPort) -> Result<(), PortError<NoRefusal>> {
        self.revoke(auth.revoked().await?);
        self.set_keys(&auth.public_keys().await?);
        Ok(())
    }

    /// Replaces the keys. Only Ed25519 keys are taken.
    pub fn set_keys(&self, keys: &[PublicKey]) {
        let decoded = keys
            .iter()
            .filter(|key| key.kty == "OKP" && key.crv == "Ed25519")
            .filter_map(|key| Some((key.kid.clone(), DecodingKey::from_ed_components(&key.x).ok()?)))
            .collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(decoded);
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

    /// The claims of a valid token; `None` for every other, whatever is wrong with it.
    pub fn verify(&self, token: &str) -> Option<AccessClaims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(ACCESS_TOKEN_TYPE) {
            return None;
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.as_ref()?.get(&header.kid?)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Expiry is checked against the injected clock below.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<AccessClaims>(token, key, &validation).ok()?.claims;
        drop(keys);
        self.is_current(&claims).then_some(claims)
    }

    fn is_current(&self, claims: &AccessClaims) -> bool {
        let now = self.clock.now();
        let leeway = i64::try_from(LEEWAY_S).unwrap_or_default();
        let now_s = now.ms() / 1_000;
        if claims.exp.saturating_add(leeway) < now_s || claims.iat > now_s.saturating_add(leeway) {
            return false;
        }
        let known = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        let session_ended = known.sessions.contains_key(&claims.sid);
        let user_ended =
            known.users.get(&claims.sub).is_some_and(|(issued_until, _)| claims.iat_ms <= issued_until.ms());
        !session_ended && !user_ended
    }
}

/// Keeps a process's [`TokenVerifier`] up to date. It needs no inbox: taking a revocation twice changes nothing, and a
/// restarted process asks `auth` for all of them.
pub struct FollowRevocations(pub Arc<TokenVerifier>);

#[async_trait]
impl EventHandler for FollowRevocations {
    fn name(&self) -> &'static str {
        "platform.follow_revocations"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[SessionEnded::TYPE, UserSessionsEnded::TYPE]
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let mut revoked = Revoked::default();
        revoked.sessions.extend(envelope.open::<SessionEnded>().transpose()?);
        revoked.users.extend(envelope.open::<UserSessionsEnded>().transpose()?);
        self.0.revoke(revoked);
        Ok(())
    }
}

/// A caller with a valid access token. As a handler argument it demands one (401 otherwise).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub role: Role,
    pub email: String,
    pub expires_at: Timestamp,
}

impl Principal {
    /// Who acts.
    pub fn actor(&self) -> Actor {
        Actor { user_id: self.user_id, role: self.role }
    }

    /// The scope of this caller's idempotency keys.
    pub fn scope(&self) -> String {
        format!("user:{}", self.user_id)
    }
}

/// A caller who runs the shop: 401 without a token, 403 with another role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(pub Principal);

/// A caller with or without a token; a token that is not valid is refused, never ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybePrincipal(pub Option<Principal>);

/// This process has not heard from `auth` yet.
#[derive(Debug, thiserror::Error)]
#[error("the keys of access tokens are not known yet")]
struct KeysUnknown;

fn authenticate(request: &HttpRequest) -> Result<Option<Principal>, Problem> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let refused = || {
        Problem::new(
            codes::UNAUTHENTICATED,
            "The access token is not valid or no longer valid. Log in again.",
        )
        .header(header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(refused)?;
    let verifier = request.app_data::<web::Data<TokenVerifier>>().ok_or_else(refused)?;
    if !verifier.is_ready() {
        return Err(Problem::unavailable(&KeysUnknown));
    }
    let claims = verifier.verify(token).ok_or_else(refused)?;
    Ok(Some(Principal {
        user_id: claims.sub,
        session_id: claims.sid,
        role: claims.role,
        email: claims.email,
        expires_at: Timestamp::from_ms(claims.exp.saturating_mul(1_000)),
    }))
}

fn demand(request: &HttpRequest) -> Result<Principal, Problem> {
    authenticate(request)?.ok_or_else(|| {
        Problem::new(
            codes::UNAUTHENTICATED,
            "Send `Authorization: Bearer <access token>`; POST /auth/login gives one.",
        )
        .header(header::WWW_AUTHENTICATE, "Bearer")
    })
}

impl FromRequest for Principal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(demand(request))
    }
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(demand(request).and_then(|principal| match principal.role {
            Role::Admin => Ok(Self(principal)),
            Role::Customer => Err(Problem::new(codes::FORBIDDEN, "Only an admin may do this.")),
        }))
    }
}

impl FromRequest for MaybePrincipal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(authenticate(request).map(Self))
    }
}
