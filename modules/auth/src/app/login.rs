//! A user comes in with a name and a password.
//!
//! Nobody learns which names exist: an unknown name, a wrong password and an account that is switched off give the same
//! answer, after the same work, and are throttled alike.

use sha2::{Digest, Sha256};

use crate::Context;
use crate::app::access::current_access;
use crate::app::open_session::{Device, TokenPair, open_session};
use crate::domain::login_name::LoginName;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::store::{credentials, login_failures};

pub(crate) async fn login(
    context: &Context,
    name: &LoginName,
    password: Password,
    device: &Device,
) -> Result<TokenPair, AuthError> {
    let throttle_key = Sha256::digest(name.as_bytes()).to_vec();
    refuse_throttled(context, &throttle_key).await?;
    let profile = match name.plausible() {
        Some(name) => context.users.find_by_login(name).await?,
        None => None,
    };
    let stored = match &profile {
        Some(profile) => credentials::hash_of(context.db.reader(), profile.id).await?,
        None => None,
    };
    let comparison = context.hasher.compare(password, stored.clone()).await?;
    // Of many guesses at once all pass the first check. Here those that come after the last allowed failure are turned
    // away before anyone learns whether they were right.
    let failed_before = refuse_throttled(context, &throttle_key).await?;
    let Some(profile) = profile.filter(|_| comparison.matches) else {
        return Err(remember_failure(context, &throttle_key).await?);
    };
    let Some(access) = current_access(context, profile.id).await? else {
        return Err(remember_failure(context, &throttle_key).await?);
    };
    if failed_before {
        login_failures::clear(context.db.writer(), &throttle_key).await?;
    }
    if let (Some(old), Some(new)) = (stored, comparison.upgraded) {
        let now = context.db.system().now();
        credentials::replace_hash(context.db.writer(), profile.id, &old, &new, now).await?;
    }
    open_session(context, access, device).await
}

/// Refuses a name that has failed too often; says whether it has failed at all.
async fn refuse_throttled(context: &Context, throttle_key: &[u8]) -> Result<bool, AuthError> {
    let failures = login_failures::of(context.db.reader(), throttle_key).await?;
    let now = context.db.system().now();
    match context.throttle.free_slots(&failures, now) {
        Ok(_) => Ok(!failures.is_empty()),
        Err(throttled) => Err(AuthError::Throttled { retry_after: throttled.retry_after }),
    }
}

/// Writes a failure down and says what the client hears. If others have taken the last slot, that is no longer whether
/// the password was wrong.
async fn remember_failure(context: &Context, throttle_key: &[u8]) -> Result<AuthError, AuthError> {
    let now = context.db.system().now();
    let forgotten_before = context.throttle.forgotten_before(now);
    loop {
        let failures = login_failures::of(context.db.writer(), throttle_key).await?;
        let free = match context.throttle.free_slots(&failures, now) {
            Ok(free) => free,
            Err(throttled) => {
                return Ok(AuthError::Throttled { retry_after: throttled.retry_after });
            }
        };
        // Each round that fails has found its slots taken by others, so there are fewer the next time.
        for slot in free {
            if login_failures::take_slot(context.db.writer(), throttle_key, slot, now, forgotten_before)
                .await?
            {
                return Ok(AuthError::InvalidCredentials);
            }
        }
    }
}
