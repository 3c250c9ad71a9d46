//! Continues a session with a new pair of tokens; the old refresh token is spent.
//!
//! Clients with several windows or a bad line send one token more than once. So a spent token is answered again for a short
//! while, with the very same successor, as long as nobody has used that one: whoever asks, the session has one lineage. A
//! thief who repeats a token within the grace holds what its owner holds, and the first of both who is behind the other by more than
//! the grace gives the theft away. Any other repetition ends the session for both, because nobody can tell which is the thief.

use contracts::users::Role;
use kernel::{SessionId, Timestamp};

use crate::Context;
use crate::app::access::{Access, current_access};
use crate::app::end_session::end_session;
use crate::app::open_session::TokenPair;
use crate::app::second_factor::limit_admin;
use crate::error::AuthError;
use crate::secret_token::{Nonce, SecretToken};
use crate::signing::SignedToken;
use crate::store::sessions::{EndReason, Rotation};
use crate::store::spent_refresh_tokens::Spent;
use crate::store::{second_factors, sessions, spent_refresh_tokens};

/// If the answer is lost, the client has the grace to ask again; after that its next try ends the session, and it logs in.
pub(crate) async fn refresh(context: &Context, text: &str) -> Result<TokenPair, AuthError> {
    let Some(current) = SecretToken::parse(text) else {
        return Err(AuthError::InvalidRefreshToken);
    };
    let Some(session) = sessions::find_by_refresh(context.db.reader(), &current.hash()).await? else {
        return answer_again(context, &current).await;
    };
    if !session.can_be_refreshed(context.db.system().now()) {
        return Err(AuthError::InvalidRefreshToken);
    }
    let session_id = SessionId(session.id);
    let Some((access, must_enrol)) = access_of(context, &session).await? else {
        return Err(AuthError::InvalidRefreshToken);
    };

    let now = context.db.system().now();
    let nonce = Nonce::create()?;
    let next = current.successor(&context.successor_key, &nonce);
    let token = context.signer.sign(session_id, &access, now)?;
    let rotation = Rotation {
        role: access.profile.role,
        access_as_of: access.as_of,
        tokens_expire_at: token.impossible_from,
        refresh_hash: next.hash(),
        refresh_expires_at: now.plus(context.refresh_lifetime),
    };
    let current_hash = current.hash();
    let tx = context.db.begin().await?;
    if !sessions::rotate(tx.conn(), &current_hash, rotation, now).await? {
        tx.rollback().await?;
        return answer_again(context, &current).await;
    }
    let spent = Spent {
        token_hash: &current_hash,
        session_id,
        expires_at: Timestamp::from_ms(session.refresh_expires_at_ms),
        successor_nonce: nonce.bytes(),
    };
    spent_refresh_tokens::insert(tx.conn(), spent, now).await?;
    tx.commit().await?;
    tracing::info!(user.id = %access.profile.id, session.id = %session_id, "refreshed a session");
    Ok(TokenPair { must_enrol, ..pair(context, access, token, &next) })
}

/// What the owner of a session may do now, and whether they are an admin without the second factor that they need. A session
/// that began without one does not grow into an admin's.
async fn access_of(
    context: &Context,
    session: &sessions::Model,
) -> Result<Option<(Access, bool)>, AuthError> {
    let user_id = session.ended().user_id;
    let Some(mut access) = current_access(context, user_id).await? else {
        return Ok(None);
    };
    let has_factor = second_factors::confirmed(context.db.reader(), user_id).await?.is_some();
    let held = Role::parse(&session.role).unwrap_or(Role::Customer);
    let must_enrol = limit_admin(context, &mut access, has_factor, held);
    Ok(Some((access, must_enrol)))
}

/// A token that is no living session's current one. If it was spent a moment ago and its successor waits to be used, it gives that
/// successor again. If it was spent otherwise, two parties have it, and the session ends.
async fn answer_again(context: &Context, spent: &SecretToken) -> Result<TokenPair, AuthError> {
    let Some((row, session)) = spent_refresh_tokens::find(context.db.reader(), &spent.hash()).await? else {
        return Err(AuthError::InvalidRefreshToken);
    };
    let (user_id, session_id) = (session.ended().user_id, SessionId(session.id));
    let now = context.db.system().now();
    let age = now.since(Timestamp::from_ms(row.spent_at_ms));
    if let Some(nonce) = row.successor_nonce.filter(|_| age < context.refresh_grace) {
        let next = spent.successor(&context.successor_key, &Nonce::stored(nonce));
        let Some((access, must_enrol)) = access_of(context, &session).await? else {
            return Err(AuthError::InvalidRefreshToken);
        };
        // The role has changed since: the session is about to end, but not for theft.
        if access.profile.role.as_str() != session.role {
            return Err(AuthError::InvalidRefreshToken);
        }
        let token = context.signer.sign(session_id, &access, now)?;
        let (role, as_of) = (access.profile.role, access.as_of);
        let hash = next.hash();
        if sessions::give_again(context.db.writer(), &hash, role, as_of, token.impossible_from, now).await? {
            tracing::info!(user.id = %user_id, session.id = %session_id, "answered a repeated refresh");
            return Ok(TokenPair { must_enrol, ..pair(context, access, token, &next) });
        }
    }
    tracing::warn!(user.id = %user_id, session.id = %session_id, "a spent refresh token came again");
    end_session(context, user_id, session_id, EndReason::Reuse).await?;
    Err(AuthError::InvalidRefreshToken)
}

fn pair(context: &Context, access: Access, token: SignedToken, next: &SecretToken) -> TokenPair {
    TokenPair {
        user: access.profile,
        access_token: token.text,
        expires_in_s: context.signer.lifetime_s(),
        refresh_token: next.text(),
        must_enrol: false,
    }
}
