//! A user who is logged in shows once more that they know the password, before what a stolen token must not be enough for.

use contracts::users::Profile;
use kernel::UserId;

use crate::Context;
use crate::app::attempts::Attempts;
use crate::app::open_session::Device;
use crate::domain::login_name::LoginName;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::store::credentials;

/// The user and the credential that was confirmed. Wrong passwords count with those at the login.
pub(crate) async fn confirm_password(
    context: &Context,
    user_id: UserId,
    password: Password,
    device: &Device,
) -> Result<(Profile, credentials::Model), AuthError> {
    let profile = context.users.profile(user_id).await?.ok_or(AuthError::WrongPassword)?;
    let attempts = Attempts::of(context, &LoginName::read(profile.email.as_str()), device.address).await?;
    attempts.admit().await?;
    let credential = credentials::of(context.db.reader(), user_id).await?;
    let stored = credential.as_ref().map(|credential| credential.password_hash.clone());
    let comparison = context.hasher.compare(password, stored).await?;
    attempts.admit().await?;
    match credential.filter(|_| comparison.matches) {
        Some(credential) => Ok((profile, credential)),
        None => {
            attempts.remember_failure().await?;
            Err(AuthError::WrongPassword)
        }
    }
}
