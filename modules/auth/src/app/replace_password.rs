//! Puts another password in place of a user's, within a transaction that has shown that it may.

use contracts::audit::By;
use contracts::auth::{PasswordChanged, Revoked};
use kernel::UserId;
use platform::db::Tx;
use sea_orm::DbErr;

use crate::Context;
use crate::app::announce_ended::announce_ended;
use crate::app::audit::{Entry, note};
use crate::domain::audit::Action;
use crate::store::mailed_tokens::Purpose;
use crate::store::{credentials, mailed_tokens, sessions};

/// `action` is what the audit log calls it. Ends every session, makes mailed tokens for a reset void and tells the owner by mail. What it returns is for the verifier
/// of this process, once the transaction has committed.
pub(crate) async fn replace_password(
    context: &Context,
    tx: &mut Tx,
    user_id: UserId,
    password_hash: String,
    action: Action,
) -> Result<Revoked, DbErr> {
    // First: it locks the row, so that a login with the old password is over or will see the new one.
    let now = tx.system().now();
    credentials::replace_password(tx.conn(), user_id, password_hash, now).await?;
    mailed_tokens::drop_of(tx.conn(), user_id, Purpose::PasswordReset).await?;
    let now = tx.system().now();
    let ended = sessions::end_outdated(tx.conn(), user_id, now, None, now).await?;
    note(tx, Entry::of_account(By::User { user_id }, action, user_id)).await?;
    tx.emit(&PasswordChanged { user_id, changed_at: now }).await?;
    announce_ended(context, tx, user_id, now, &ended).await
}
