//! Who is asking: access tokens are verified here, statelessly, with the public keys of `auth` and a small set of what
//! was revoked before it expired.
//!
//! [`identify`] looks at a request once, before its handler; [`Principal`], [`Admin`] and [`MaybePrincipal`] are what handlers take
//! from it. A server that forgets to identify lets nobody in.

mod verifier;

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use async_trait::async_trait;
use contracts::auth::{AccessClaims, Revoked, SessionEnded, SigningKeysChanged, UserSessionsEnded};
use contracts::event::{Envelope, Event};
use contracts::users::{Actor, Role};
use kernel::{SessionId, Timestamp, UserId};

use crate::bus::{EventHandler, HandleError, Reach};
use crate::problem::{Problem, codes};

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
        &[SessionEnded::TYPE, SigningKeysChanged::TYPE, UserSessionsEnded::TYPE]
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        if envelope.event_type == SigningKeysChanged::TYPE {
            self.0.reload().await;
            return Ok(());
        }
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

/// A server that serves handlers without [`identify`] before them.
#[derive(Debug, thiserror::Error)]
#[error("nobody looked at who is asking")]
struct NotIdentified;

/// Why whoever asks is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Whatever is wrong with the token.
    Invalid,
    KeysUnknown,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid => Problem::new(
                codes::UNAUTHENTICATED,
                "The access token is not valid or no longer valid. Log in again.",
            )
            .header(header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#),
            Refusal::KeysUnknown => Problem::unavailable(&KeysUnknown),
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
            expires_at: Timestamp::from_ms(claims.exp.saturating_mul(1_000)),
        }
    }
}

/// What is known of whoever sent a request.
#[derive(Clone)]
struct Identity(Result<Option<Principal>, Refusal>);

/// Looks at who is asking, for the handlers behind it. It refuses nobody: what a handler demands, its arguments say.
pub async fn identify(request: &HttpRequest) {
    let identity = Identity(look_at(request).await);
    request.extensions_mut().insert(identity);
}

async fn look_at(request: &HttpRequest) -> Result<Option<Principal>, Refusal> {
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

fn identified(request: &HttpRequest) -> Result<Option<Principal>, Problem> {
    let identity = request.extensions().get::<Identity>().cloned();
    let identity = identity.ok_or_else(|| Problem::internal(&NotIdentified))?;
    identity.0.map_err(Problem::from)
}

fn demand(request: &HttpRequest) -> Result<Principal, Problem> {
    identified(request)?.ok_or_else(|| {
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
        ready(identified(request).map(Self))
    }
}
