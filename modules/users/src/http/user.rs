//! How a user looks to themself and to admins.

use contracts::users::Role;
use kernel::{Timestamp, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::users;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    id: UserId,
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(required = true, example = "ada")]
    username: Option<String>,
    #[schema(required = true, example = "Ada Lovelace")]
    name: Option<String>,
    role: Role,
    /// An inactive user cannot log in.
    active: bool,
    /// What the user told the shop to remember.
    #[schema(value_type = Object, example = json!({"newsletter": false}))]
    preferences: serde_json::Value,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<users::Model> for User {
    fn from(row: users::Model) -> Self {
        Self {
            id: UserId(row.id),
            role: row.role(),
            email: row.email,
            username: row.username,
            name: row.name,
            active: row.active,
            preferences: row.preferences,
            created_at: Timestamp::from_ms(row.created_at_ms),
            updated_at: Timestamp::from_ms(row.updated_at_ms),
        }
    }
}
