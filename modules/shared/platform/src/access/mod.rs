//! Who is asking: access tokens are verified here, statelessly, with the public keys of `auth` and a small set of what
//! was revoked before it expired.
//!
//! [`admit`] looks at a request once, before its handler: it finds the operation's policy (see [`policy`]), the one who asks, and
//! whether the two go together. [`Principal`], [`Admin`] and [`MaybePrincipal`] are what handlers take from it. A server that
//! forgets to admit lets nobody in.

pub mod api_keys;
pub mod policy;
mod standing;
mod verifier;

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use async_trait::async_trait;
use contracts::audit::By;
use contracts::auth::{
    AccessClaims, ApiKey, ApiKeyRevoked, Revoked, SessionEnded, SigningKeysChanged, UserSessionsEnded,
};
use contracts::event::{Envelope, Event};
use contracts::scopes::Scope;
use contracts::users::{Actor, Role};
use kernel::{ApiKeyId, SessionId, Timestamp, UserId};

use crate::bus::{EventHandler, HandleError, Reach};
use crate::problem::{Problem, codes};

use policy::{Need, Policies, Policy};
pub use standing::watch_body;
pub(crate) use standing::{as_io, refusal_in};
pub use verifier::{ASK_AGAIN_AFTER, TokenVerifier};

/// Keeps a process's [`TokenVerifier`] up to date. It needs no inbox: taking a revocation twice changes nothing, and a
/// restarted process asks `auth` for all of them.
pub struct FollowRevocations(pub Arc<TokenVerifier>);

#[async_trait]
impl EventHandler for FollowRevocations {
    fn name(&self) -> &'static str {
        "platform.follow_revocations"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[ApiKeyRevoked::TYPE, SessionEnded::TYPE, SigningKeysChanged::TYPE, UserSessionsEnded::TYPE]
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        if envelope.event_type == SigningKeysChanged::TYPE {
            self.0.reload().await;
            return Ok(());
        }
        if let Some(revoked) = envelope.open::<ApiKeyRevoked>().transpose()? {
            self.0.revoke_api_key(revoked.api_key_id).await;
        }
        let mut revoked = Revoked::default();
        revoked.sessions.extend(envelope.open::<SessionEnded>().transpose()?);
        revoked.users.extend(envelope.open::<UserSessionsEnded>().transpose()?);
        self.0.revoke(revoked);
        Ok(())
    }
}

/// By what somebody is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A person who has logged in.
    Session,
    /// A machine that acts for a person.
    ApiKey(ApiKeyId),
}

/// A caller who is known. As a handler argument it demands one (401 otherwise).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub user_id: UserId,
    /// The session; of a machine, which has none, the id of its key. Operations on sessions are not for machines.
    pub session_id: SessionId,
    pub role: Role,
    pub email: String,
    /// As of when all this is true: when the token was issued, or the key was looked up.
    pub as_of: Timestamp,
    /// When the token, or the key, expires.
    pub expires_at: Timestamp,
    pub credential: Credential,
}

impl Principal {
    /// Who acts.
    pub fn actor(&self) -> Actor {
        Actor { user_id: self.user_id, role: self.role }
    }

    /// Who did it, for the audit log: of a machine also with which key.
    pub fn by(&self) -> By {
        match self.credential {
            Credential::Session => By::User { user_id: self.user_id },
            Credential::ApiKey(api_key_id) => By::ApiKey { user_id: self.user_id, api_key_id },
        }
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

/// An API key could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("auth does not say whether an API key is valid")]
struct KeyNotLookedUp;

/// A server that serves handlers without [`admit`] before them.
#[derive(Debug, thiserror::Error)]
#[error("nobody looked at who is asking")]
struct NotAdmitted;

/// Why whoever asks is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Whatever is wrong with the token or key.
    Invalid,
    /// Nothing was sent, and it is needed.
    Nobody,
    KeysUnknown,
    KeyNotLookedUp,
    NeedsAdmin,
    NeedsScope(Scope),
    NeedsSession,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let challenge = |problem: Problem, value: &str| problem.header(header::WWW_AUTHENTICATE, value);
        match refusal {
            Refusal::Invalid => challenge(
                Problem::new(
                    codes::UNAUTHENTICATED,
                    "The access token is not valid or no longer valid. Log in again.",
                ),
                r#"Bearer error="invalid_token""#,
            ),
            Refusal::Nobody => challenge(
                Problem::new(
                    codes::UNAUTHENTICATED,
                    "Send `Authorization: Bearer <access token>`; POST /auth/login gives one.",
                ),
                "Bearer",
            ),
            Refusal::KeysUnknown => Problem::unavailable(&KeysUnknown),
            Refusal::KeyNotLookedUp => Problem::unavailable(&KeyNotLookedUp),
            Refusal::NeedsAdmin => Problem::new(codes::FORBIDDEN, "Only an admin may do this."),
            Refusal::NeedsScope(scope) => challenge(
                Problem::new(codes::FORBIDDEN, format!("This API key lacks the scope `{scope}`.")),
                &format!(r#"Bearer error="insufficient_scope", scope="{scope}""#),
            ),
            Refusal::NeedsSession => Problem::new(
                codes::FORBIDDEN,
                "An API key cannot do this: it takes a person who has logged in.",
            ),
        }
    }
}

impl From<AccessClaims> for Principal {
    fn from(claims: AccessClaims) -> Self {
        Self {
            user_id: claims.sub,
            session_id: claims.sid,
            role: claims.role,
            email: claims.email,
            as_of: Timestamp::from_ms(claims.iat_ms),
            expires_at: Timestamp::from_ms(claims.exp.saturating_mul(1_000)),
            credential: Credential::Session,
        }
    }
}

impl From<&ApiKey> for Principal {
    fn from(key: &ApiKey) -> Self {
        Self {
            user_id: key.user_id,
            session_id: SessionId(key.id.uuid()),
            role: key.role,
            email: key.email.clone(),
            as_of: key.as_of,
            expires_at: key.expires_at,
            credential: Credential::ApiKey(key.id),
        }
    }
}

/// Whoever sent a request, with the scopes that bound a machine.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// None for a person.
    pub(crate) scopes: Option<Vec<Scope>>,
}

/// What is known of whoever sent a request, for its handler.
#[derive(Clone)]
struct Identity(Result<Option<Principal>, Refusal>);

/// Whether a request has an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its policy lets whoever asks in.
    Granted,
    /// No operation of this method and path has a policy, so none is reached.
    NoOperation,
}

/// Lets a request in to its operation, or says why not.
///
/// The path is the router's, so that both mean the same operation by it. Where an operation is for everyone and also for
/// somebody known, a bad credential is told to the handler that asks for it ([`MaybePrincipal`]).
pub async fn admit(request: &HttpRequest) -> Result<Admission, Problem> {
    let policies =
        request.app_data::<web::Data<Policies>>().ok_or_else(|| Problem::internal(&NotAdmitted))?;
    let Some(policy) = policies.find(request.method(), request.match_info().as_str()) else {
        return Ok(Admission::NoOperation);
    };
    let identity = match policy.is_for_everyone_alike() {
        true => Ok(None),
        false => check(policy, request).await,
    };
    if let Err(refusal) = identity
        && !policy.everyone
    {
        return Err(refusal.into());
    }
    request.extensions_mut().insert(Identity(identity));
    Ok(Admission::Granted)
}

async fn check(policy: &Policy, request: &HttpRequest) -> Result<Option<Principal>, Refusal> {
    let Some(caller) = look_at(request).await? else {
        return if policy.everyone { Ok(None) } else { Err(Refusal::Nobody) };
    };
    let need = match caller.scopes {
        None => policy.bearer.as_ref(),
        Some(_) => policy.api_key.as_ref(),
    };
    satisfies(&caller, need.ok_or(Refusal::NeedsSession)?)?;
    Ok(Some(caller.principal))
}

fn satisfies(caller: &Caller, need: &Need) -> Result<(), Refusal> {
    if let Some(scopes) = &caller.scopes
        && let Some(missing) = need.scopes.iter().find(|scope| !scopes.contains(scope))
    {
        return Err(Refusal::NeedsScope(*missing));
    }
    match need.admin && caller.principal.role != Role::Admin {
        true => Err(Refusal::NeedsAdmin),
        false => Ok(()),
    }
}

async fn look_at(request: &HttpRequest) -> Result<Option<Caller>, Refusal> {
    let mut sent = request.headers().get_all(header::AUTHORIZATION);
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    // Two of them would let whoever stands before us see another one than we do.
    if sent.next().is_some() {
        return Err(Refusal::Invalid);
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(Refusal::Invalid)?;
    let verifier = request.app_data::<web::Data<TokenVerifier>>().ok_or(Refusal::Invalid)?;
    verifier.recognise(token).await.map(Some)
}

fn admitted(request: &HttpRequest) -> Result<Option<Principal>, Problem> {
    let identity = request.extensions().get::<Identity>().cloned();
    let identity = identity.ok_or_else(|| Problem::internal(&NotAdmitted))?;
    identity.0.map_err(Problem::from)
}

fn demand(request: &HttpRequest) -> Result<Principal, Problem> {
    admitted(request)?.ok_or_else(|| Refusal::Nobody.into())
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
            Role::Customer => Err(Refusal::NeedsAdmin.into()),
        }))
    }
}

impl FromRequest for MaybePrincipal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admitted(request).map(Self))
    }
}
