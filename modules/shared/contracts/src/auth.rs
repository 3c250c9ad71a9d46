//! What other modules know of `auth`: the shape of an access token, and which sessions have ended.

use async_trait::async_trait;
use kernel::{ApiKeyId, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::Event;
use crate::port::{NoRefusal, PortError};
use crate::scopes::Scope;
use crate::users::Role;

/// The `iss` of every token where the settings (`access.issuer`) do not name another.
pub const ISSUER: &str = "souk";
/// The `aud` of tokens for customers and admins.
pub const AUDIENCE: &str = "souk";
/// The `typ` header of access tokens (RFC 9068).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer, as the settings name it; [`ISSUER`] unless they do.
    pub iss: String,
    /// Audience, [`AUDIENCE`].
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// The session; it ends by logout.
    pub sid: SessionId,
    /// What the user may do.
    pub role: Role,
    /// The user's address.
    pub email: String,
    /// Issued at, seconds since the epoch.
    pub iat: i64,
    /// Issued at, milliseconds since the epoch: a revocation "before" an instant needs the finer grain.
    pub iat_ms: i64,
    /// Expires at, seconds since the epoch.
    pub exp: i64,
}

/// A public key that verifies access tokens, as in a JWKS (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PublicKey {
    /// Key id, repeated in the header of each token.
    pub kid: String,
    /// Key type, `OKP`.
    pub kty: String,
    /// Curve, `Ed25519`.
    pub crv: String,
    /// Algorithm, `EdDSA`.
    pub alg: String,
    /// Use, `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// The public key, base64url without padding.
    pub x: String,
}

/// What is no longer valid although it has not expired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Sessions that ended, until when their tokens could have lived.
    pub sessions: Vec<SessionEnded>,
    /// Users all of whose tokens ended.
    pub users: Vec<UserSessionsEnded>,
}

/// An API key that is valid now, as those who verify it need it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Which one.
    pub id: ApiKeyId,
    /// SHA-256 of its secret.
    pub secret_hash: Vec<u8>,
    /// Whoever uses it acts as this user,
    pub user_id: UserId,
    /// with what that user may do now,
    pub role: Role,
    /// the user's address,
    pub email: String,
    /// and within these bounds.
    pub scopes: Vec<Scope>,
    /// From then on it is refused.
    pub expires_at: Timestamp,
    /// Role and activity of the owner are those of this instant or a later one.
    pub as_of: Timestamp,
}

/// Its hash is nobody's business.
impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// A key was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyUse {
    /// Which one.
    pub id: ApiKeyId,
    /// When, to the minute.
    pub at: Timestamp,
}

/// The most uses that [`AuthPort::note_api_key_uses`] takes at once.
pub const MAX_USES: usize = 500;

/// The port that verification stands on. Reads, and one note that may be made twice.
#[async_trait]
pub trait AuthPort: Send + Sync {
    /// Every key whose tokens may still be valid.
    async fn public_keys(&self) -> Result<Vec<PublicKey>, PortError<NoRefusal>>;

    /// What was revoked and could still be presented.
    async fn revoked(&self) -> Result<Revoked, PortError<NoRefusal>>;

    /// A key that is valid now; `None` for every other id, whatever became of it.
    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, PortError<NoRefusal>>;

    /// Remembers when keys were last used; at most [`MAX_USES`], and an earlier use than the known one changes nothing.
    async fn note_api_key_uses(&self, uses: Vec<ApiKeyUse>) -> Result<(), PortError<NoRefusal>>;
}

/// One session ended (logout).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// Which one.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// After this instant none of its access tokens can be valid anyway.
    pub tokens_expire_at: Timestamp,
}

impl Event for SessionEnded {
    const TYPE: &'static str = "auth.session_ended";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}

/// Every token of a user issued up to an instant ended (role change, deactivation, another password).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSessionsEnded {
    /// Whose.
    pub user_id: UserId,
    /// Tokens issued at or before this instant are void.
    pub issued_until: Timestamp,
    /// After this instant none of those access tokens can be valid anyway.
    pub tokens_expire_at: Timestamp,
}

impl Event for UserSessionsEnded {
    const TYPE: &'static str = "auth.user_sessions_ended";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}

/// Another key signs access tokens, or one no longer verifies them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeysChanged {
    /// The key that signs from now on.
    pub kid: String,
    /// When.
    pub changed_at: Timestamp,
}

impl Event for SigningKeysChanged {
    const TYPE: &'static str = "auth.signing_keys_changed";

    /// There is one set of keys.
    fn aggregate_id(&self) -> Uuid {
        Uuid::nil()
    }
}

/// A token on its way into a letter. It proves who reads the mailbox, so its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailedToken(pub String);

impl std::fmt::Debug for MailedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailedToken(..)")
    }
}

/// Someone wants to choose another password for an account; its owner is mailed the token that allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordResetRequested {
    /// Whose account.
    pub user_id: UserId,
    /// Good for one reset.
    pub token: MailedToken,
    /// Where to use it, with the token in it, if the shop has such a page.
    pub link: Option<MailedToken>,
    /// After this instant it is void.
    pub expires_at: Timestamp,
}

impl Event for PasswordResetRequested {
    const TYPE: &'static str = "auth.password_reset_requested";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}

/// An account's owner is mailed a token, and shows by it that the address is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailVerificationRequested {
    /// Whose account.
    pub user_id: UserId,
    /// Good for one verification.
    pub token: MailedToken,
    /// Where to use it, with the token in it, if the shop has such a page.
    pub link: Option<MailedToken>,
    /// After this instant it is void.
    pub expires_at: Timestamp,
}

impl Event for EmailVerificationRequested {
    const TYPE: &'static str = "auth.email_verification_requested";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}

/// An account has another password; its owner is told, in case it was not them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// Whose account.
    pub user_id: UserId,
    /// Since when.
    pub changed_at: Timestamp,
}

impl Event for PasswordChanged {
    const TYPE: &'static str = "auth.password_changed";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}

/// An account has no second factor any more; its owner is told, in case it was not them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactorRemoved {
    /// Whose account.
    pub user_id: UserId,
    /// Since when.
    pub removed_at: Timestamp,
}

impl Event for SecondFactorRemoved {
    const TYPE: &'static str = "auth.second_factor_removed";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}

/// A key was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {
    /// Which one.
    pub api_key_id: ApiKeyId,
    /// Whose.
    pub user_id: UserId,
}

impl Event for ApiKeyRevoked {
    const TYPE: &'static str = "auth.api_key_revoked";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}
