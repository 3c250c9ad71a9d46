//! A user who is logged in chooses another password.

use contracts::users::Actor;

use crate::Context;
use crate::app::access::current_access;
use crate::app::attempts;
use crate::app::confirm_password::confirm_password;
use crate::app::open_session::{Device, TokenPair, open_session};
use crate::app::replace_password::replace_password;
use crate::app::second_factor::limit_admin;
use crate::domain::audit::Action;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::store::{credentials, second_factors};

/// Ends every session and opens a new one for the caller: a stolen access token cannot keep the old one alive. Tries of
/// the current password are throttled with those at the login.
pub(crate) async fn change_password(
    context: &Context,
    caller: Actor,
    current: Password,
    new: String,
    device: &Device,
) -> Result<TokenPair, AuthError> {
    let user_id = caller.user_id;
    let (profile, credential) = confirm_password(context, user_id, current, device).await?;
    let names: Vec<&str> =
        [Some(profile.email.as_str()), profile.username.as_deref()].into_iter().flatten().collect();
    let new = Password::choose_for(&names, new).map_err(AuthError::NewPassword)?;
    let new_hash = context.hasher.hash(new).await?;

    let mut tx = context.db.begin().await?;
    // Of two changes at once the second one finds that its current password no longer is.
    if !credentials::hold_alone(tx.conn(), user_id, credential.password_version).await? {
        tx.rollback().await?;
        return Err(AuthError::WrongPassword);
    }
    let revoked = replace_password(context, &mut tx, user_id, new_hash, Action::PasswordChanged).await?;
    tx.commit().await?;
    context.verifier.revoke(revoked);
    tracing::info!(user.id = %user_id, "changed a password");
    attempts::know(context, &profile, device.address).await?;
    let Some(mut access) = current_access(context, user_id).await? else {
        return Err(AuthError::InvalidCredentials);
    };
    // The new session may do no more than the one that asked for it.
    let has_factor = second_factors::confirmed(context.db.reader(), user_id).await?.is_some();
    let must_enrol = limit_admin(context, &mut access, has_factor, caller.role);
    let pair = open_session(context, access, credential.password_version + 1, device).await?;
    Ok(TokenPair { must_enrol, ..pair })
}
