//! The reader of an account's mailbox chooses another password.

use crate::Context;
use crate::app::attempts;
use crate::app::open_session::Device;
use crate::app::replace_password::replace_password;
use crate::domain::audit::Action;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::secret_token::SecretToken;
use crate::store::mailed_tokens::Purpose;
use crate::store::{mailed_tokens, verified_emails};

/// Ends every session; the owner logs in anew, from a client that is known from now on and starts without failures, whatever attackers do to the name. A
/// password that is refused leaves the token as it is.
pub(crate) async fn reset_password(
    context: &Context,
    token: &str,
    new: String,
    device: &Device,
) -> Result<(), AuthError> {
    let token = SecretToken::parse(token).ok_or(AuthError::InvalidMailedToken)?;
    let (purpose, hash) = (Purpose::PasswordReset, token.hash());
    let now = context.db.system().now();
    let owner = mailed_tokens::owner_of(context.db.reader(), purpose, &hash, now).await?;
    let user_id = owner.ok_or(AuthError::InvalidMailedToken)?;
    let profile = context.users.profile(user_id).await?.ok_or(AuthError::InvalidMailedToken)?;
    let names: Vec<&str> =
        [Some(profile.email.as_str()), profile.username.as_deref()].into_iter().flatten().collect();
    let new = Password::choose_for(&names, new).map_err(AuthError::NewPassword)?;
    let new_hash = context.hasher.hash(new).await?;

    let mut tx = context.db.begin().await?;
    if !mailed_tokens::take(tx.conn(), purpose, &hash, now).await? {
        tx.rollback().await?;
        return Err(AuthError::InvalidMailedToken);
    }
    let revoked = replace_password(context, &mut tx, user_id, new_hash, Action::PasswordReset).await?;
    verified_emails::insert(tx.conn(), user_id, now).await?;
    tx.commit().await?;
    context.verifier.revoke(revoked);
    tracing::info!(user.id = %user_id, "reset a password");
    attempts::know(context, &profile, device.address).await?;
    attempts::forgive(context, &profile, device.address).await?;
    Ok(())
}
