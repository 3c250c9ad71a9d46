//! A customer joins, and is logged in at once.

use crate::Context;
use crate::app::access::current_access;
use crate::app::create_account::{NewAccount, create_account};
use crate::app::open_session::{Device, TokenPair, open_session};
use crate::error::AuthError;

/// If anything fails after the account was created, the customer finds it by logging in.
pub(crate) async fn register(
    context: &Context,
    new: NewAccount,
    device: &Device,
) -> Result<TokenPair, AuthError> {
    let created = create_account(context, new).await?;
    match current_access(context, created.user.id).await? {
        Some(access) => open_session(context, access, device).await,
        // Switched off by an admin in the same instant.
        None => Err(AuthError::InvalidCredentials),
    }
}
