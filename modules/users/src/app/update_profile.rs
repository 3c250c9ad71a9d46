//! A user changes their own name or preferences.

use std::collections::BTreeMap;

use kernel::UserId;
use sea_orm::DbErr;
use serde_json::Value;

use crate::Context;
use crate::domain::names::parse_name;
use crate::domain::preferences::{self, Preferences};
use crate::error::UsersError;
use crate::store::users;

/// What is to change; `None` leaves a field as it is.
pub(crate) struct UpdateProfile {
    /// `Some(None)` takes the name away.
    pub(crate) name: Option<Option<String>>,
    /// Each key that is to change; null forgets it.
    pub(crate) preferences: Option<serde_json::Map<String, Value>>,
    /// The version the client read, if it said so with `If-Match`.
    pub(crate) expected_version: Option<i64>,
}

pub(crate) async fn update_profile(
    context: &Context,
    user_id: UserId,
    change: UpdateProfile,
) -> Result<users::Model, UsersError> {
    let name = change.name.map(|name| name.as_deref().map(parse_name).transpose()).transpose()?;
    let now = context.db.system().now();
    let tx = context.db.begin().await?;
    let mut row = users::find_for_update(tx.conn(), user_id).await?.ok_or(UsersError::NotFound("user"))?;
    if change.expected_version.is_some_and(|version| version != row.version) {
        return Err(UsersError::Changed { version: row.version });
    }
    if let Some(name) = name {
        row.name = name;
    }
    if let Some(changes) = change.preferences {
        row.preferences = merged(&row.preferences, changes)?;
    }
    if !users::update(tx.conn(), &row, now).await? {
        return Err(UsersError::Changed { version: row.version });
    }
    tx.commit().await?;
    row.version += 1;
    row.updated_at_ms = now.ms();
    Ok(row)
}

/// The rule works on texts; here they become JSON again.
fn merged(known: &Value, changes: serde_json::Map<String, Value>) -> Result<Value, UsersError> {
    let known: Preferences = known
        .as_object()
        .map(|fields| fields.iter().map(|(key, value)| (key.clone(), value.to_string())).collect())
        .unwrap_or_default();
    let changes: BTreeMap<String, Option<String>> = changes
        .into_iter()
        .map(|(key, value)| (key, (!value.is_null()).then(|| value.to_string())))
        .collect();
    let merged = preferences::merge(known, changes)?;
    let fields: Result<serde_json::Map<String, Value>, serde_json::Error> =
        merged.into_iter().map(|(key, text)| Ok((key, serde_json::from_str(&text)?))).collect();
    Ok(Value::Object(fields.map_err(|error| DbErr::Custom(error.to_string()))?))
}
