//! A user does without the second factor from now on.

use contracts::audit::By;
use contracts::auth::SecondFactorRemoved;
use contracts::users::Role;
use kernel::UserId;

use crate::Context;
use crate::app::audit::{Entry, note};
use crate::app::confirm_password::confirm_password;
use crate::app::open_session::Device;
use crate::app::second_factor::demand_second_factor;
use crate::domain::audit::Action;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::store::second_factors;

/// Needs both factors once more. Sessions go on; the owner is told by mail, in case it was not them.
pub(crate) async fn remove_totp(
    context: &Context,
    user_id: UserId,
    password: Password,
    code: &str,
    device: &Device,
) -> Result<(), AuthError> {
    let (profile, _) = confirm_password(context, user_id, password, device).await?;
    if context.admins_need_second_factor && profile.role == Role::Admin {
        return Err(AuthError::SecondFactorNeeded);
    }
    if !demand_second_factor(context, user_id, Some(code)).await? {
        return Err(AuthError::NoSecondFactor);
    }
    let mut tx = context.db.begin().await?;
    if !second_factors::delete(tx.conn(), user_id).await? {
        tx.rollback().await?;
        return Err(AuthError::NoSecondFactor);
    }
    let by = By::User { user_id };
    note(&tx, Entry::of_account(by, Action::SecondFactorRemoved, user_id)).await?;
    let now = tx.system().now();
    tx.emit(&SecondFactorRemoved { user_id, removed_at: now }).await?;
    tx.commit().await?;
    tracing::info!(user.id = %user_id, "took a second factor away");
    Ok(())
}
