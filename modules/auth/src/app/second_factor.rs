//! Asks for the second factor of whoever has one, and keeps admins without one from what only admins may do, where the settings say so.

use contracts::users::Role;
use hmac::Mac;
use kernel::UserId;
use sha2::{Digest, Sha256};

use crate::Context;
use crate::app::access::Access;
use crate::app::attempts::remember_failure;
use crate::domain::totp::matching_step;
use crate::error::AuthError;
use crate::store::{login_failures, recovery_codes, second_factors};

/// Refuses without a good code, of the app or for recovery, if the user has a second factor; says whether they have one.
///
/// Each try takes a slot before anyone has looked, and a good one gives all back. A code is good once, so no crowd of right
/// ones can lock itself out, and a crowd of guesses gets no more answers than there are slots.
pub(crate) async fn demand_second_factor(
    context: &Context,
    user_id: UserId,
    code: Option<&str>,
) -> Result<bool, AuthError> {
    let Some(factor) = second_factors::confirmed(context.db.reader(), user_id).await? else {
        return Ok(false);
    };
    let code = code.map(str::trim).filter(|code| !code.is_empty()).ok_or(AuthError::SecondFactorRequired)?;
    let key = count_try(context, user_id).await?;
    let secret = context.sealer.open(user_id, &factor.sealed_secret)?;
    let writer = context.db.writer();
    let is_good = match matching_step(&secret, code, context.db.system().now()) {
        Some(step) => second_factors::spend_step(writer, user_id, step).await?,
        None => recovery_codes::spend(writer, user_id, recovery_hash(context, code)).await?,
    };
    if !is_good {
        return Err(AuthError::InvalidSecondFactor);
    }
    login_failures::clear(writer, &key).await?;
    Ok(true)
}

/// Counts a try of a code; refuses if there were too many. The key under which it was counted.
pub(crate) async fn count_try(context: &Context, user_id: UserId) -> Result<Vec<u8>, AuthError> {
    let key = key_of_codes(user_id);
    remember_failure(context, &context.throttle_of_codes, &key).await?;
    Ok(key)
}

/// Under which tries of a user's codes are counted.
pub(crate) fn key_of_codes(user_id: UserId) -> Vec<u8> {
    Sha256::new().chain_update("codes of ").chain_update(user_id.uuid()).finalize().to_vec()
}

/// The hash of a recovery code, however it is typed.
pub(crate) fn recovery_hash(context: &Context, code: &str) -> Vec<u8> {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut mac = context.recovery_key.mac();
    mac.update(plain.to_ascii_uppercase().as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// An admin who needs a second factor and has none, or whose session began without one, may do what a customer may until the
/// next login. True if there is none yet.
pub(crate) fn limit_admin(context: &Context, access: &mut Access, has_factor: bool, held: Role) -> bool {
    if !context.admins_need_second_factor || access.profile.role != Role::Admin {
        return false;
    }
    if !has_factor || held != Role::Admin {
        access.profile.role = Role::Customer;
    }
    !has_factor
}
