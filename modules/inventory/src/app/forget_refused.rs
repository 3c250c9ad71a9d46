//! Forgets changes that were refused long ago: no call is on its way for so long.

use std::time::Duration;

use sea_orm::DbErr;

use crate::Context;
use crate::store::refused_movements;

const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Rows of one run; the next run takes the next ones.
const BATCH: u64 = 1_000;

pub(crate) async fn forget_refused(context: &Context) -> Result<(), DbErr> {
    let before = context.db.system().now().minus(REMEMBERED);
    let old = refused_movements::before(context.db.reader(), before, BATCH).await?;
    // An idle run must not take SQLite's writer.
    if !old.is_empty() {
        refused_movements::forget(context.db.writer(), old).await?;
    }
    Ok(())
}
