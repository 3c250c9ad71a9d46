//! Someone joins.

use contracts::users::{CreateProfileRefusal, NewProfile, UserRegistered};

use crate::Context;
use crate::domain::names::{parse_name, parse_username};
use crate::error::UsersError;
use crate::store::users;

/// Idempotent by id: a caller that lost the answer asks again and gets the same profile.
pub(crate) async fn create_profile(context: &Context, new: NewProfile) -> Result<users::Model, UsersError> {
    let username = new.username.as_deref().map(parse_username).transpose()?;
    let name = new.name.as_deref().map(parse_name).transpose()?;
    let now = context.db.system().now();
    let row = users::Model {
        id: new.id.uuid(),
        email: new.email.as_str().to_owned(),
        username,
        name,
        role: new.role.as_str().to_owned(),
        active: true,
        preferences: serde_json::json!({}),
        version: 1,
        created_at_ms: now.ms(),
        updated_at_ms: now.ms(),
    };
    let mut tx = context.db.begin().await?;
    if users::insert(tx.conn(), row.clone()).await? {
        let registered = UserRegistered {
            user_id: new.id,
            email: new.email,
            name: row.name.clone(),
            role: Some(new.role),
            by: new.by,
        };
        tx.emit(&registered).await?;
        tx.commit().await?;
        tracing::info!(user.id = %row.id, role = %row.role, "registered a user");
        return Ok(row);
    }
    // The unique indexes have decided; here we only say which of them it was.
    if let Some(known) = users::find(tx.conn(), new.id).await? {
        return Ok(known);
    }
    let email_taken = users::find_by_email(tx.conn(), &row.email).await?.is_some();
    let refusal =
        if email_taken { CreateProfileRefusal::EmailTaken } else { CreateProfileRefusal::UsernameTaken };
    Err(refusal.into())
}
