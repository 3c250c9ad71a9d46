//! Has a token mailed to the owner of an account.

use std::time::Duration;

use contracts::auth::{EmailVerificationRequested, MailedToken, PasswordResetRequested};
use kernel::UserId;
use platform::db::Tx;

use crate::Context;
use crate::error::AuthError;
use crate::secret_token::SecretToken;
use crate::store::mailed_tokens::{self, Purpose};

const RESET_WITHIN: Duration = Duration::from_secs(30 * 60);
const VERIFY_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// What stands for the token in the address of a page.
pub(crate) const PLACE_OF_TOKEN: &str = "{token}";

/// Stores the hash of a fresh token, in place of an older one of this purpose, and the event that carries the token to whoever writes
/// the letter.
pub(crate) async fn mail_token(
    context: &Context,
    tx: &mut Tx,
    user_id: UserId,
    purpose: Purpose,
) -> Result<(), AuthError> {
    let token = SecretToken::create()?;
    let (lifetime, page) = match purpose {
        Purpose::PasswordReset => (RESET_WITHIN, &context.reset_url),
        Purpose::EmailVerification => (VERIFY_WITHIN, &context.verify_url),
    };
    let expires_at = tx.system().now().plus(lifetime);
    mailed_tokens::put(tx.conn(), user_id, purpose, token.hash(), expires_at).await?;
    let link = Some(page.replace(PLACE_OF_TOKEN, &token.text())).filter(|link| !link.is_empty());
    let (token, link) = (MailedToken(token.text()), link.map(MailedToken));
    match purpose {
        Purpose::PasswordReset => {
            tx.emit(&PasswordResetRequested { user_id, token, link, expires_at }).await?;
        }
        Purpose::EmailVerification => {
            tx.emit(&EmailVerificationRequested { user_id, token, link, expires_at }).await?;
        }
    }
    Ok(())
}
