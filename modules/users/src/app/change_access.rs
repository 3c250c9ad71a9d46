//! An admin changes what a user may do, or switches the account on or off.

use std::time::Duration;

use contracts::audit::By;
use contracts::users::{Access, Role, UserAccessChanged};
use kernel::UserId;
use platform::db::Tx;

use crate::Context;
use crate::error::UsersError;
use crate::store::users;

/// How long the answer waits for sessions to have ended, as a courtesy.
const SETTLE: Duration = Duration::from_millis(500);

/// What is to change; `None` leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeAccess {
    pub(crate) role: Option<Role>,
    pub(crate) active: Option<bool>,
}

pub(crate) async fn change_access(
    context: &Context,
    by: By,
    user_id: UserId,
    change: ChangeAccess,
) -> Result<users::Model, UsersError> {
    let mut tx = context.db.begin().await?;
    // Admins first, then the user: every change of access takes its rows in this order.
    let admins = users::active_admins_for_update(tx.conn()).await?;
    let row = users::find_for_update(tx.conn(), user_id).await?.ok_or(UsersError::NotFound("user"))?;
    // The actor's token may be older than the actor's demotion; here the database has the word.
    if !by.user_id().is_some_and(|actor| admins.contains(&actor.uuid())) {
        return Err(UsersError::NoLongerAdmin);
    }
    let changed = changed(&row, change);
    if changed == row {
        return Ok(row);
    }
    if by.user_id() == Some(user_id) {
        return Err(UsersError::OwnAccess);
    }
    // The actor is an active admin and not the user: whatever becomes of the user, the shop keeps an admin.
    let changed = write_in(&mut tx, &row, changed, by).await?;
    tx.commit().await?.settle(SETTLE).await;
    tracing::info!(user.id = %user_id, role = %changed.role, active = changed.active, "changed access");
    Ok(changed)
}

fn changed(row: &users::Model, change: ChangeAccess) -> users::Model {
    users::Model {
        role: change.role.map_or_else(|| row.role.clone(), |role| role.as_str().to_owned()),
        active: change.active.unwrap_or(row.active),
        ..row.clone()
    }
}

/// Writes the row and publishes that its access changed.
pub(crate) async fn write_in(
    tx: &mut Tx,
    before: &users::Model,
    mut row: users::Model,
    by: By,
) -> Result<users::Model, UsersError> {
    let now = tx.system().now();
    if !users::update(tx.conn(), &row, now).await? {
        return Err(UsersError::Changed { version: row.version });
    }
    row.version += 1;
    row.updated_at_ms = now.ms();
    let event = UserAccessChanged {
        user_id: UserId(row.id),
        role: row.role(),
        active: row.active,
        changed_at: now,
        before: Some(Access { role: before.role(), active: before.active }),
        by,
    };
    tx.emit(&event).await?;
    Ok(row)
}
