//! A user wants the letter that verifies their address once more.

use kernel::UserId;

use crate::Context;
use crate::app::forgot_password::may_be_mailed;
use crate::app::mail_token::mail_token;
use crate::error::AuthError;
use crate::store::mailed_tokens::Purpose;
use crate::store::verified_emails;

/// Mails nothing for an address that is verified, or that was written to too often of late.
pub(crate) async fn request_email_verification(
    context: &Context,
    user_id: UserId,
    email: &str,
) -> Result<(), AuthError> {
    if verified_emails::has(context.db.reader(), user_id).await? || !may_be_mailed(context, email).await? {
        return Ok(());
    }
    let mut tx = context.db.begin().await?;
    mail_token(context, &mut tx, user_id, Purpose::EmailVerification).await?;
    tx.commit().await?;
    Ok(())
}
