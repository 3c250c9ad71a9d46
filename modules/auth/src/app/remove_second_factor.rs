//! An operator takes away the second factor of a user who has lost it, recovery codes and all.
//!
//! From then on the password alone lets the user in. So every session ends, and the owner is told by mail, in case it was
//! somebody else who talked the operator into it.

use contracts::audit::By;
use contracts::auth::SecondFactorRemoved;
use contracts::users::Profile;

use crate::Context;
use crate::app::announce_ended::announce_ended;
use crate::app::audit::{Entry, note};
use crate::app::second_factor::key_of_codes;
use crate::domain::audit::Action;
use crate::domain::login_name::LoginName;
use crate::error::SecondFactorError;
use crate::store::{login_failures, second_factors, sessions};

/// Whose it was. A login that is under way has shown the factor itself, and may outlive this.
pub(crate) async fn remove_second_factor(
    context: &Context,
    name: &LoginName,
) -> Result<Profile, SecondFactorError> {
    let profile = match name.plausible() {
        Some(name) => context.users.find_by_login(name).await?,
        None => None,
    };
    let profile = profile.ok_or(SecondFactorError::NoSuchUser)?;
    let user_id = profile.id;

    let mut tx = context.db.begin().await?;
    if !second_factors::delete(tx.conn(), user_id).await? {
        tx.rollback().await?;
        return Err(SecondFactorError::NoSecondFactor);
    }
    // Codes that were tried in vain must not keep the owner from setting up another app.
    login_failures::clear(tx.conn(), &key_of_codes(user_id)).await?;
    let now = tx.system().now();
    let ended = sessions::end_outdated(tx.conn(), user_id, now, None, now).await?;
    note(&tx, Entry::of_account(By::Operator, Action::SecondFactorRemoved, user_id)).await?;
    tx.emit(&SecondFactorRemoved { user_id, removed_at: now }).await?;
    let revoked = announce_ended(context, &mut tx, user_id, now, &ended).await?;
    tx.commit().await?;
    context.verifier.revoke(revoked);
    tracing::info!(user.id = %user_id, sessions = ended.len(), "an operator took a second factor away");
    Ok(profile)
}
