//! Ends one session: its refresh token and its access tokens are refused from now on, in every module.

use contracts::auth::Revoked;
use kernel::{SessionId, UserId};
use platform::db::Committed;

use crate::Context;
use crate::error::AuthError;
use crate::store::sessions;
use crate::store::sessions::EndReason;

/// `None` if it had ended before.
pub(crate) async fn end_session(
    context: &Context,
    user_id: UserId,
    session_id: SessionId,
    reason: EndReason,
) -> Result<Option<Committed>, AuthError> {
    let mut tx = context.db.begin().await?;
    let now = tx.system().now();
    let Some(row) = sessions::end(tx.conn(), user_id, session_id, reason, now).await? else {
        tx.rollback().await?;
        return Ok(None);
    };
    let ended = row.ended();
    tx.emit(&ended).await?;
    let committed = tx.commit().await?;
    // The event says so to every process, this one included; here it need not wait for it. Without power after the
    // commit, a process learns it at its start.
    context.verifier.revoke(Revoked { sessions: vec![ended], users: Vec::new() });
    tracing::info!(user.id = %user_id, session.id = %session_id, reason = reason.as_str(), "ended a session");
    Ok(Some(committed))
}
