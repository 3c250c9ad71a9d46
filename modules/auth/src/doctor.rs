//! What must be true of credentials, sessions and keys, checked on the live database.

use std::sync::Arc;

use async_trait::async_trait;
use platform::db::Db;
use platform::doctor::{Examiner, OpenWork, open_plumbing};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::DbErr;

use crate::store::{sessions, signing_keys};

/// Looks at the data of this module for the doctor.
pub fn examiner(db: Db) -> Arc<dyn Examiner> {
    Arc::new(Books { db })
}

struct Books {
    db: Db,
}

#[async_trait]
impl Examiner for Books {
    fn db(&self) -> &Db {
        &self.db
    }

    async fn checks(&self) -> Result<Vec<Check>, AnyError> {
        Ok(checks(&self.db).await?)
    }

    async fn open_work(&self) -> Result<Vec<OpenWork>, AnyError> {
        Ok(open_plumbing(&self.db).await?)
    }
}

pub(crate) async fn checks(db: &Db) -> Result<Vec<Check>, DbErr> {
    let orphans = sessions::orphans(db.reader(), MAX_VIOLATIONS).await?;
    let active = signing_keys::count_active(db.reader()).await?;
    // A shop that was never served has none at all, and nobody has logged in.
    let untouched = active == 0 && !signing_keys::any(db.reader()).await?;
    let one_key =
        if active == 1 || untouched { Vec::new() } else { vec![format!("{active} active signing keys")] };
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
