//! Deletes what can no longer matter, in small batches, so that it never stands in the way of a login.

use sea_orm::DbErr;

use crate::Context;
use crate::app::attempts::CLIENT_KNOWN_FOR;
use crate::store::{
    known_clients, login_failures, mailed_tokens, sessions, spent_refresh_tokens, user_revocations,
};

/// Rows a statement.
const BATCH: u64 = 500;
/// Batches a table and run; what is left waits for the next run.
const MAX_BATCHES: usize = 200;

/// Safe to run in several processes at once: a row that another deletes first is simply gone.
pub(crate) async fn purge(context: &Context) -> Result<(), DbErr> {
    let (writer, now) = (context.db.writer(), context.db.system().now());
    let forgotten_before = now.minus(context.longest_window());
    let mut purged = 0_u64;
    for _ in 0..MAX_BATCHES {
        let deleted = sessions::purge(writer, now, BATCH).await?
            + spent_refresh_tokens::purge(writer, now, BATCH).await?
            + user_revocations::purge(writer, now, BATCH).await?
            + login_failures::purge(writer, forgotten_before, BATCH).await?
            + mailed_tokens::purge(writer, now, BATCH).await?
            + known_clients::purge(writer, now.minus(CLIENT_KNOWN_FOR), BATCH).await?;
        purged += deleted;
        if deleted == 0 {
            break;
        }
    }
    if purged > 0 {
        tracing::info!(rows = purged, "purged expired sessions and forgotten failures");
    }
    Ok(())
}
