//! What other modules know of `users`: profiles, roles, and whether an account is active.

use async_trait::async_trait;
use kernel::{EmailAddress, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::By;
use crate::event::Event;
use crate::port::{NoRefusal, PortError};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys; sees only what is their own.
    Customer,
    /// Runs the shop.
    Admin,
}

impl Role {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Customer => "customer",
            Role::Admin => "admin",
        }
    }

    /// Reads a name; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "customer" => Some(Role::Customer),
            "admin" => Some(Role::Admin),
            _ => None,
        }
    }
}

/// Who is acting: from a verified token, or from a worker on behalf of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user.
    pub user_id: UserId,
    /// What they may do.
    pub role: Role,
}

impl Actor {
    /// Whether the actor runs the shop.
    pub fn is_admin(self) -> bool {
        self.role == Role::Admin
    }

    /// Whether the actor may see what belongs to `owner`.
    pub fn may_see(self, owner: UserId) -> bool {
        self.is_admin() || self.user_id == owner
    }
}

/// A user as other modules see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub id: UserId,
    pub email: EmailAddress,
    /// Unique, lower case; a second name to log in with.
    pub username: Option<String>,
    pub name: Option<String>,
    pub role: Role,
    /// An inactive user cannot log in.
    pub active: bool,
    pub created_at: Timestamp,
}

/// What `auth` hands over at registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProfile {
    /// Chosen by the caller, which makes the call idempotent.
    pub id: UserId,
    pub email: EmailAddress,
    pub username: Option<String>,
    pub name: Option<String>,
    pub role: Role,
    /// Who creates it.
    #[serde(default)]
    pub by: By,
}

/// Why a profile was not created.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum CreateProfileRefusal {
    #[error("an account with this email exists")]
    EmailTaken,
    #[error("this username is taken")]
    UsernameTaken,
    #[error("a username is 3 to 64 characters of a-z, 0-9, dot, underscore and hyphen")]
    InvalidUsername,
    #[error("a name is 1 to 200 characters without control characters")]
    InvalidName,
}

/// The port of `users`. Every call may be retried.
#[async_trait]
pub trait UsersPort: Send + Sync {
    /// Creates a profile; idempotent by its id.
    async fn create_profile(&self, new: NewProfile) -> Result<Profile, PortError<CreateProfileRefusal>>;

    /// The profile with this email address or username, whatever the case.
    async fn find_by_login(&self, login: &str) -> Result<Option<Profile>, PortError<NoRefusal>>;

    /// The profile of a user.
    async fn profile(&self, id: UserId) -> Result<Option<Profile>, PortError<NoRefusal>>;
}

/// A user joined the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRegistered {
    pub user_id: UserId,
    pub email: EmailAddress,
    pub name: Option<String>,
    /// What they may do; unknown in an event of an older release.
    #[serde(default)]
    pub role: Option<Role>,
    /// Who created the account.
    #[serde(default)]
    pub by: By,
}

impl Event for UserRegistered {
    const TYPE: &'static str = "user.registered";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}

/// What an account may do, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub role: Role,
    /// Whether anybody can log in to it.
    pub active: bool,
}

/// A user's role changed, or the account was switched on or off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAccessChanged {
    pub user_id: UserId,
    pub role: Role,
    pub active: bool,
    /// Tokens issued up to here say what no longer holds.
    pub changed_at: Timestamp,
    /// What it was before; unknown in an event of an older release.
    #[serde(default)]
    pub before: Option<Access>,
    /// Who changed it.
    #[serde(default)]
    pub by: By,
}

impl Event for UserAccessChanged {
    const TYPE: &'static str = "user.access_changed";

    fn aggregate_id(&self) -> Uuid {
        self.user_id.uuid()
    }
}
