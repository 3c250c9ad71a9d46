//! A user comes in with a name and a password.
//!
//! Nobody learns which names exist: an unknown name, a wrong password and an account that is switched off give the same
//! answer, after the same work, and are throttled alike.

use kernel::UserId;

use crate::Context;
use crate::app::access::current_access;
use crate::app::attempts::{self, Attempts};
use crate::app::open_session::{Device, TokenPair, open_session};
use crate::app::second_factor::{demand_second_factor, limit_admin};
use crate::domain::login_name::LoginName;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::store::credentials;

pub(crate) async fn login(
    context: &Context,
    name: &LoginName,
    password: Password,
    code: Option<&str>,
    device: &Device,
) -> Result<TokenPair, AuthError> {
    context.hasher.admit()?;
    let attempts = Attempts::of(context, name, device.address).await?;
    attempts.admit().await?;
    let profile = match name.plausible() {
        Some(name) => context.users.find_by_login(name).await?,
        None => None,
    };
    // Nobody has a fresh id: who does not exist is looked up as well, because that takes time too.
    let user_id = profile.as_ref().map_or_else(|| UserId(context.db.system().id()), |profile| profile.id);
    let credential = credentials::of(context.db.reader(), user_id).await?;
    let stored = credential.as_ref().map(|credential| credential.password_hash.clone());
    let comparison = context.hasher.compare(password, stored).await?;
    // Of many guesses at once all pass the first check. Here those that come after the last allowed failure are turned
    // away before anyone learns whether they were right.
    let failed_before = attempts.admit().await?;
    let Some((profile, credential)) = profile.zip(credential).filter(|_| comparison.matches) else {
        attempts.remember_failure().await?;
        return Err(AuthError::InvalidCredentials);
    };
    let Some(mut access) = current_access(context, profile.id).await? else {
        attempts.remember_failure().await?;
        return Err(AuthError::InvalidCredentials);
    };
    let has_factor = demand_second_factor(context, profile.id, code).await?;
    if failed_before {
        attempts.forget_failures().await?;
    }
    if let Some(new) = comparison.upgraded {
        let now = context.db.system().now();
        credentials::replace_hash(context.db.writer(), profile.id, &credential.password_hash, &new, now)
            .await?;
    }
    attempts::know(context, &profile, device.address).await?;
    let must_enrol = limit_admin(context, &mut access, has_factor, profile.role);
    let pair = open_session(context, access, credential.password_version, device).await?;
    Ok(TokenPair { must_enrol, ..pair })
}
