//! A user shows a code of the authenticator app that was set up: it is in force from now on.

use contracts::audit::By;
use kernel::UserId;
use rand::RngCore;
use rand::rngs::OsRng;

use crate::Context;
use crate::app::audit::{Entry, note};
use crate::app::second_factor::{count_try, recovery_hash};
use crate::domain::audit::Action;
use crate::domain::totp::{base32, matching_step};
use crate::error::AuthError;
use crate::store::{login_failures, recovery_codes, second_factors};

const RECOVERY_CODES: usize = 10;
/// 80 bits: beyond guessing, and sixteen letters to type.
const RECOVERY_BYTES: usize = 10;

/// Gives the recovery codes, which are told this once.
pub(crate) async fn confirm_totp(
    context: &Context,
    user_id: UserId,
    code: &str,
) -> Result<Vec<String>, AuthError> {
    let factor = second_factors::unconfirmed(context.db.reader(), user_id).await?;
    let factor = factor.ok_or(AuthError::NoEnrolment)?;
    let key = count_try(context, user_id).await?;
    let secret = context.sealer.open(user_id, &factor.sealed_secret)?;
    let now = context.db.system().now();
    let step = matching_step(&secret, code.trim(), now).ok_or(AuthError::WrongCode)?;
    let codes = (0..RECOVERY_CODES).map(|_| recovery_code()).collect::<Result<Vec<_>, _>>()?;

    let tx = context.db.begin().await?;
    if !second_factors::confirm(tx.conn(), &factor, step, now).await? {
        tx.rollback().await?;
        return Err(AuthError::NoEnrolment);
    }
    let hashes = codes.iter().map(|code| recovery_hash(context, code)).collect();
    recovery_codes::insert_all(tx.conn(), user_id, hashes).await?;
    login_failures::clear(tx.conn(), &key).await?;
    let by = By::User { user_id };
    note(&tx, Entry::of_account(by, Action::SecondFactorAdded, user_id)).await?;
    tx.commit().await?;
    tracing::info!(user.id = %user_id, "put a second factor into force");
    Ok(codes)
}

/// Such as `MZXW-6YTB-OI4T-QPA2`.
fn recovery_code() -> Result<String, rand::Error> {
    let mut bytes = [0_u8; RECOVERY_BYTES];
    OsRng.try_fill_bytes(&mut bytes)?;
    let letters: Vec<char> = base32(&bytes).chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(groups.join("-"))
}
