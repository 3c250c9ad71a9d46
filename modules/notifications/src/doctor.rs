//! What must be true of notifications.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use platform::db::Db;
use platform::doctor::{Examiner, OpenQuery, OpenWork, look_for, open_plumbing};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use sea_orm::DbErr;

use crate::store::notifications;

/// A mail that waits longer is stuck; between attempts it waits at most an hour.
const SENT_WITHIN: Duration = Duration::from_secs(2 * 3_600);

/// A mail in its back-off is no open work; one that nobody sends when its time has come is.
const OPEN: &[OpenQuery] = &[OpenQuery {
    kind: "mail",
    waits_for: "the worker that sends mail",
    advice: "see whether notifications runs and what last_error says",
    sql: "SELECT {text:id} AS id, template || ', attempts: ' || CAST(attempts AS TEXT) AS what,
            next_attempt_at_ms AS since_ms, next_attempt_at_ms AS due_ms, last_error
          FROM notifications WHERE status = 'queued' AND next_attempt_at_ms + 10000 < {now}",
}];

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
        let mut found = open_plumbing(&self.db).await?;
        found.extend(look_for(&self.db, OPEN).await?);
        Ok(found)
    }
}

pub(crate) async fn checks(db: &Db) -> Result<Vec<Check>, DbErr> {
    let before = db.system().now().minus(SENT_WITHIN);
    let waiting = notifications::waiting_since(db.reader(), before, MAX_VIOLATIONS).await?;
    let mut checks = vec![Check::new(
        "notifications.sent_in_time",
        "every notification is sent, or has failed for good, within two hours",
        waiting
            .iter()
            .map(|row| {
                let why = row.last_error.as_deref().unwrap_or("not yet tried");
                format!("notification {} after {} attempts: {why}", row.id, row.attempts)
            })
            .collect(),
    )];
    checks.extend(platform::doctor::plumbing(db).await?);
    Ok(checks)
}
