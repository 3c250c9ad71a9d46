//! What must be true of notifications.

use std::time::Duration;

use platform::db::Db;
use platform::module::{Check, MAX_VIOLATIONS};
use sea_orm::DbErr;

use crate::store::notifications;

/// A mail that waits longer is stuck; between attempts it waits at most an hour.
const SENT_WITHIN: Duration = Duration::from_secs(2 * 3_600);

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
