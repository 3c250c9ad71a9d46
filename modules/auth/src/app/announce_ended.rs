//! Says to every process that a user's sessions have ended.

use contracts::auth::{Revoked, SessionEnded, UserSessionsEnded};
use kernel::{Timestamp, UserId};
use platform::db::Tx;
use sea_orm::DbErr;

use crate::Context;
use crate::store::{sessions, user_revocations};

/// Makes void what the user's access tokens say as of `until` or earlier, and those of these ended sessions that are younger. What it
/// returns is for the verifier of this process, once the transaction has committed.
pub(crate) async fn announce_ended(
    context: &Context,
    tx: &mut Tx,
    user_id: UserId,
    until: Timestamp,
    ended: &[sessions::Model],
) -> Result<Revoked, DbErr> {
    let now = tx.system().now();
    // Tokens may have been signed with a longer life than is set now.
    let latest = ended.iter().map(|row| Timestamp::from_ms(row.tokens_expire_at_ms)).max();
    let user = UserSessionsEnded {
        user_id,
        issued_until: until,
        tokens_expire_at: context.signer.impossible_from(now.max(until)).max(latest.unwrap_or(now)),
    };
    user_revocations::extend(tx.conn(), &user).await?;
    tx.emit(&user).await?;
    let newer: Vec<SessionEnded> =
        ended.iter().filter(|row| row.access_as_of_ms > until.ms()).map(sessions::Model::ended).collect();
    for session in &newer {
        tx.emit(session).await?;
    }
    Ok(Revoked { sessions: newer, users: vec![user] })
}
