//! The reader of an account's mailbox shows that it is theirs.

use crate::Context;
use crate::error::AuthError;
use crate::secret_token::SecretToken;
use crate::store::mailed_tokens::Purpose;
use crate::store::{mailed_tokens, verified_emails};

pub(crate) async fn verify_email(context: &Context, token: &str) -> Result<(), AuthError> {
    let token = SecretToken::parse(token).ok_or(AuthError::InvalidMailedToken)?;
    let (purpose, hash) = (Purpose::EmailVerification, token.hash());
    let tx = context.db.begin().await?;
    let now = tx.system().now();
    let owner = mailed_tokens::owner_of(tx.conn(), purpose, &hash, now).await?;
    let Some(user_id) = owner else {
        tx.rollback().await?;
        return Err(AuthError::InvalidMailedToken);
    };
    if !mailed_tokens::take(tx.conn(), purpose, &hash, now).await? {
        tx.rollback().await?;
        return Err(AuthError::InvalidMailedToken);
    }
    verified_emails::insert(tx.conn(), user_id, now).await?;
    tx.commit().await?;
    tracing::info!(user.id = %user_id, "verified an email address");
    Ok(())
}
