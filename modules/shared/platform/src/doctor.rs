//! Checks of what every module has: its outbox and its idempotency keys.

use std::time::Duration;

use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::db::Db;
use crate::module::{Check, MAX_VIOLATIONS};
use crate::{idempotency, outbox};

/// An event that waits longer than this has been forgotten, or its handlers fail.
pub const OUTBOX_BOUND: Duration = Duration::from_secs(300);
/// An open key older than this belongs to work that nobody finishes.
pub const SAGA_BOUND: Duration = Duration::from_secs(300);

/// The checks of a module's plumbing.
pub async fn plumbing(db: &Db) -> Result<Vec<Check>, DbErr> {
    let now = db.system().now();
    let late = outbox::Entity::find()
        .filter(outbox::Column::PublishedAtMs.is_null())
        .filter(
            Condition::any()
                .add(outbox::Column::DeadAtMs.is_not_null())
                .add(outbox::Column::OccurredAtMs.lt(now.minus(OUTBOX_BOUND).ms())),
        )
        .order_by_asc(outbox::Column::Seq)
        .limit(MAX_VIOLATIONS)
        .all(db.reader())
        .await?;
    let stuck = idempotency::Entity::find()
        .filter(idempotency::Column::State.eq("open"))
        .filter(idempotency::Column::CreatedAtMs.lt(now.minus(SAGA_BOUND).ms()))
        .limit(MAX_VIOLATIONS)
        .all(db.reader())
        .await?;
    let module = db.module();
    Ok(vec![
        Check::new(
            "outbox.delivered_in_time",
            "every event leaves its outbox within five minutes",
            late.iter()
                .map(|row| {
                    let why = row.last_error.as_deref().unwrap_or("not yet tried");
                    format!(
                        "{module}: event {} ({}) after {} attempts: {why}",
                        row.event_id, row.event_type, row.attempts
                    )
                })
                .collect(),
        ),
        Check::new(
            "idempotency.closed_in_time",
            "no keyed request stays open for more than five minutes",
            stuck
                .iter()
                .map(|row| format!("{module}: {} {} of {}", row.route, row.resource_id, row.principal))
                .collect(),
        ),
    ])
}
