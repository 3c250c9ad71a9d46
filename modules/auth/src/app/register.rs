//! A customer joins, and is logged in at once.

use crate::Context;
use crate::app::access::current_access;
use crate::app::attempts;
use crate::app::create_account::{NewAccount, create_account};
use crate::app::open_session::{Device, TokenPair, open_session};
use crate::domain::password::Password;
use crate::error::{AccountError, AuthError};
use crate::store::credentials::FIRST_PASSWORD;

/// If anything fails after the account was created, the customer finds it by logging in.
pub(crate) async fn register(
    context: &Context,
    new: NewAccount,
    device: &Device,
) -> Result<TokenPair, AuthError> {
    let names: Vec<&str> =
        [Some(new.email.as_str()), new.username.as_deref()].into_iter().flatten().collect();
    Password::choose_for(&names, new.password.clone()).map_err(AccountError::from)?;
    let created = create_account(context, new, None).await?;
    attempts::know(context, &created.user, device.address).await?;
    match current_access(context, created.user.id).await? {
        Some(access) => open_session(context, access, FIRST_PASSWORD, device).await,
        // Switched off by an admin in the same instant.
        None => Err(AuthError::InvalidCredentials),
    }
}
