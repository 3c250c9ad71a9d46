//! Continues a session with a new pair of tokens; the old refresh token is spent.

use kernel::{SessionId, Timestamp};

use crate::Context;
use crate::app::access::current_access;
use crate::app::end_session::end_session;
use crate::app::open_session::TokenPair;
use crate::error::AuthError;
use crate::refresh_token::RefreshToken;
use crate::store::sessions::{EndReason, Rotation};
use crate::store::{sessions, spent_refresh_tokens};

/// If the power fails after the commit, or the answer is lost, the client still has the spent token; its next try ends the
/// session and it logs in again. The other choice, to accept a spent token for a while, would serve thieves.
pub(crate) async fn refresh(context: &Context, text: &str) -> Result<TokenPair, AuthError> {
    let Some(current) = RefreshToken::parse(text) else {
        return Err(AuthError::InvalidRefreshToken);
    };
    let current_hash = current.hash();
    let Some(session) = sessions::find_by_refresh(context.db.reader(), &current_hash).await? else {
        return Err(refuse_unknown(context, &current_hash).await?);
    };
    if !session.can_be_refreshed(context.db.system().now()) {
        return Err(AuthError::InvalidRefreshToken);
    }
    let user_id = session.ended().user_id;
    let session_id = SessionId(session.id);
    let Some(access) = current_access(context, user_id).await? else {
        return Err(AuthError::InvalidRefreshToken);
    };

    let now = context.db.system().now();
    let next = RefreshToken::create()?;
    let token = context.signer.sign(session_id, &access, now)?;
    let rotation = Rotation {
        role: access.profile.role,
        access_as_of: access.as_of,
        tokens_expire_at: token.impossible_from,
        refresh_hash: next.hash(),
        refresh_expires_at: now.plus(context.refresh_lifetime),
    };
    let tx = context.db.begin().await?;
    if !sessions::rotate(tx.conn(), &current_hash, rotation, now).await? {
        tx.rollback().await?;
        return Err(refuse_unknown(context, &current_hash).await?);
    }
    let expires_at = Timestamp::from_ms(session.refresh_expires_at_ms);
    spent_refresh_tokens::insert(tx.conn(), &current_hash, session_id, expires_at).await?;
    tx.commit().await?;
    tracing::info!(user.id = %user_id, session.id = %session_id, "refreshed a session");
    Ok(TokenPair {
        user: access.profile,
        access_token: token.text,
        expires_in_s: context.signer.lifetime_s(),
        refresh_token: next.text(),
    })
}

/// A token that continues no living session. If it once did, two parties have it, and nobody can tell which of them is the thief:
/// the session ends for both.
async fn refuse_unknown(context: &Context, hash: &[u8]) -> Result<AuthError, AuthError> {
    if let Some((user_id, session_id)) = spent_refresh_tokens::session_of(context.db.reader(), hash).await? {
        tracing::warn!(user.id = %user_id, session.id = %session_id, "a spent refresh token came again");
        end_session(context, user_id, session_id, EndReason::Reuse).await?;
    }
    Ok(AuthError::InvalidRefreshToken)
}
