//! What must be true of credentials, sessions and keys, checked on the live database.

use platform::db::Db;
use platform::module::{Check, MAX_VIOLATIONS};
use sea_orm::DbErr;

use crate::store::{sessions, signing_keys};

pub(crate) async fn checks(db: &Db) -> Result<Vec<Check>, DbErr> {
    let orphans = sessions::orphans(db.reader(), MAX_VIOLATIONS).await?;
    let active = signing_keys::count_active(db.reader()).await?;
    let one_key = if active == 1 { Vec::new() } else { vec![format!("{active} active signing keys")] };
    let mut checks = vec![
        Check::new(
            "auth.sessions_have_credentials",
            "every session belongs to a credential",
            orphans.iter().map(|row| format!("session {} of user {}", row.id, row.user_id)).collect(),
        ),
        Check::new("auth.one_active_key", "exactly one key signs access tokens", one_key),
    ];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}
