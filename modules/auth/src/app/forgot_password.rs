//! Someone who gives an email address wants to choose another password.
//!
//! Nobody learns here whether there is such an account: the answer is given before anyone has looked.

use kernel::EmailAddress;
use sha2::{Digest, Sha256};

use crate::Context;
use crate::app::attempts::{admit, remember_failure};
use crate::app::mail_token::mail_token;
use crate::domain::throttle::Throttle;
use crate::error::AuthError;
use crate::store::mailed_tokens::Purpose;

/// Mails a token, if the address is that of an active account and was not asked for too often.
pub(crate) async fn forgot_password(context: &Context, email: &EmailAddress) -> Result<(), AuthError> {
    if !may_be_mailed(context, email.as_str()).await? {
        return Ok(());
    }
    let Some(profile) = context.users.find_by_login(email.as_str()).await?.filter(|profile| profile.active)
    else {
        return Ok(());
    };
    let mut tx = context.db.begin().await?;
    mail_token(context, &mut tx, profile.id, Purpose::PasswordReset).await?;
    tx.commit().await?;
    tracing::info!(user.id = %profile.id, "mails a token to reset a password");
    Ok(())
}

/// Counts a letter for an address, whether anybody has it or not; false if there were too many of late.
pub(crate) async fn may_be_mailed(context: &Context, email: &str) -> Result<bool, AuthError> {
    let key = Sha256::new().chain_update("letters to ").chain_update(email.to_lowercase()).finalize();
    let throttle: &Throttle = &context.throttle_of_letters;
    let counted = match admit(context, throttle, &key).await {
        Ok(_) => remember_failure(context, throttle, &key).await,
        Err(refused) => Err(refused),
    };
    match counted {
        Ok(()) => Ok(true),
        Err(AuthError::Throttled { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
