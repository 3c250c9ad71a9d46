//! A user who is logged in chooses another password.

use kernel::UserId;

use crate::Context;
use crate::app::access::current_access;
use crate::app::attempts::{self, Attempts};
use crate::app::open_session::{Device, TokenPair, open_session};
use crate::app::replace_password::replace_password;
use crate::domain::login_name::LoginName;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::store::credentials;

/// Ends every session and opens a new one for the caller: a stolen access token cannot keep the old one alive. Tries of
/// the current password are throttled with those at the login.
pub(crate) async fn change_password(
    context: &Context,
    user_id: UserId,
    current: Password,
    new: String,
    device: &Device,
) -> Result<TokenPair, AuthError> {
    let Some(profile) = context.users.profile(user_id).await? else {
        return Err(AuthError::WrongPassword);
    };
    let names: Vec<&str> =
        [Some(profile.email.as_str()), profile.username.as_deref()].into_iter().flatten().collect();
    let new = Password::choose_for(&names, new).map_err(AuthError::NewPassword)?;
    let attempts = Attempts::of(context, &LoginName::read(profile.email.as_str()), device.address).await?;
    attempts.admit().await?;
    let credential = credentials::of(context.db.reader(), user_id).await?;
    let stored = credential.as_ref().map(|credential| credential.password_hash.clone());
    let comparison = context.hasher.compare(current, stored).await?;
    attempts.admit().await?;
    let Some(credential) = credential.filter(|_| comparison.matches) else {
        attempts.remember_failure().await?;
        return Err(AuthError::WrongPassword);
    };
    let new_hash = context.hasher.hash(new).await?;

    let mut tx = context.db.begin().await?;
    // Of two changes at once the second one finds that its current password no longer is.
    if !credentials::hold_alone(tx.conn(), user_id, credential.password_version).await? {
        tx.rollback().await?;
        return Err(AuthError::WrongPassword);
    }
    let revoked = replace_password(context, &mut tx, user_id, new_hash).await?;
    tx.commit().await?;
    context.verifier.revoke(revoked);
    tracing::info!(user.id = %user_id, "changed a password");
    attempts::know(context, &profile, device.address).await?;
    match current_access(context, user_id).await? {
        Some(access) => open_session(context, access, credential.password_version + 1, device).await,
        None => Err(AuthError::InvalidCredentials),
    }
}
