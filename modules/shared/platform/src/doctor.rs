//! What `souk doctor` asks every module, and what every module has to tell of its outbox and its idempotency keys.
//!
//! An [`Examiner`] needs a module's database and nothing else: no other module, no key, no server. So the doctor can look at a
//! shop that is down, and through connections that cannot write ([`Db::open_read_only`]). Each statement sees one instant of
//! one database.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use kernel::Timestamp;
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use serde::Serialize;
use uuid::Uuid;

use crate::db::Db;
use crate::module::{AnyError, Check, MAX_VIOLATIONS};
use crate::word::IsWord;
use crate::{idempotency, outbox};

/// An event that waits longer than this has been forgotten, or its handlers fail.
pub const OUTBOX_BOUND: Duration = Duration::from_secs(300);
/// An open key older than this belongs to work that nobody finishes.
pub const SAGA_BOUND: Duration = Duration::from_secs(300);
/// What a crash leaves behind is finished or undone this long after the restart; what waits longer than it should by this much
/// is overdue.
pub const RECOVERY_BOUND: Duration = Duration::from_secs(10);
/// Work that somebody is waiting for takes no longer than this, unless someone else is slow.
pub const WORK_BOUND: Duration = Duration::from_secs(60);

/// Looks at the data of one module, read-only.
#[async_trait]
pub trait Examiner: Send + Sync {
    /// The data.
    fn db(&self) -> &Db;

    /// Checks the invariants of the module.
    async fn checks(&self) -> Result<Vec<Check>, AnyError>;

    /// What has been begun and not ended.
    async fn open_work(&self) -> Result<Vec<OpenWork>, AnyError>;
}

/// Everything of one kind that has been begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenWork {
    /// Stable name: `key`, `event`, `attempt`.
    pub kind: &'static str,
    /// What ends it.
    pub waits_for: &'static str,
    /// What an operator can do if it does not end.
    pub advice: &'static str,
    /// How many there are.
    pub count: u64,
    /// How many of them should have ended.
    pub overdue: u64,
    /// When the oldest began; none if there is none.
    pub oldest: Option<Timestamp>,
    /// The oldest ones, at most [`MAX_VIOLATIONS`].
    pub items: Vec<OpenItem>,
}

/// One thing that has been begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenItem {
    pub id: String,
    /// More of it: a route, the type of an event.
    pub what: String,
    pub since: Timestamp,
    /// Whether it should have ended by now.
    pub overdue: bool,
    pub last_error: Option<String>,
}

/// How work of one kind is found.
pub struct OpenQuery {
    pub kind: &'static str,
    pub waits_for: &'static str,
    pub advice: &'static str,
    /// Gives `id`, `what`, `since_ms`, `due_ms` and `last_error`: it is overdue [`RECOVERY_BOUND`] after `due_ms`. May use the names of
    /// [`speak`].
    pub sql: &'static str,
}

#[derive(FromQueryResult)]
struct OpenRow {
    id: String,
    what: String,
    since_ms: i64,
    due_ms: i64,
    last_error: Option<String>,
}

#[derive(FromQueryResult)]
struct OpenSum {
    number: i64,
    overdue: i64,
    oldest_ms: Option<i64>,
}

impl OpenQuery {
    /// What there is of this kind now.
    pub async fn look(&self, db: &Db) -> Result<OpenWork, DbErr> {
        let late_ms = db.system().now().minus(RECOVERY_BOUND).ms();
        let found = speak(db, self.sql);
        let sum = format!(
            "SELECT COUNT(*) AS number, MIN(since_ms) AS oldest_ms,
                CAST(COALESCE(SUM(CASE WHEN due_ms < {late_ms} THEN 1 ELSE 0 END), 0) AS BIGINT) AS overdue
             FROM ({found}) found"
        );
        let sum =
            OpenSum::find_by_statement(Statement::from_string(db.backend(), sum)).one(db.reader()).await?;
        let Some(sum) = sum.filter(|sum| sum.number > 0) else { return Ok(self.none()) };
        let oldest = format!("SELECT * FROM ({found}) found ORDER BY since_ms LIMIT {MAX_VIOLATIONS}");
        let rows =
            OpenRow::find_by_statement(Statement::from_string(db.backend(), oldest)).all(db.reader()).await?;
        let item = |row: OpenRow| OpenItem {
            id: row.id,
            what: row.what,
            since: Timestamp::from_ms(row.since_ms),
            overdue: row.due_ms < late_ms,
            last_error: row.last_error,
        };
        Ok(OpenWork {
            count: u64::try_from(sum.number).unwrap_or_default(),
            overdue: u64::try_from(sum.overdue).unwrap_or_default(),
            oldest: sum.oldest_ms.map(Timestamp::from_ms),
            items: rows.into_iter().map(item).collect(),
            ..self.none()
        })
    }

    fn none(&self) -> OpenWork {
        OpenWork {
            kind: self.kind,
            waits_for: self.waits_for,
            advice: self.advice,
            count: 0,
            overdue: 0,
            oldest: None,
            items: Vec::new(),
        }
    }
}

/// Looks for each kind of work.
pub async fn look_for(db: &Db, queries: &[OpenQuery]) -> Result<Vec<OpenWork>, DbErr> {
    let mut found = Vec::with_capacity(queries.len());
    for query in queries {
        found.push(query.look(db).await?);
    }
    Ok(found)
}

/// Fills in what the two databases say differently: `{now}` is the time in milliseconds, `{begun_before}` the time
/// [`WORK_BOUND`] ago, and `{text:COLUMN}` an id as text.
pub fn speak(db: &Db, sql: &str) -> String {
    let now = db.system().now();
    let mut spoken = sql
        .replace("{now}", &now.ms().to_string())
        .replace("{begun_before}", &now.minus(WORK_BOUND).ms().to_string());
    while let Some((before, rest)) = spoken.split_once("{text:")
        && let Some((column, after)) = rest.split_once('}')
    {
        spoken = format!("{before}{}{after}", id_as_text(db, column));
    }
    spoken
}

/// PostgreSQL writes a UUID as one expects; SQLite keeps sixteen bytes.
fn id_as_text(db: &Db, column: &str) -> String {
    match db.backend() {
        sea_orm::DbBackend::Sqlite => {
            let digits = |from: u8, number: u8| format!("substr(hex({column}), {from}, {number})");
            let parts = [digits(1, 8), digits(9, 4), digits(13, 4), digits(17, 4), digits(21, 12)];
            format!("lower({})", parts.join(" || '-' || "))
        }
        _ => format!("CAST({column} AS TEXT)"),
    }
}

/// What every module may have open: keys, events that wait, events that were given up.
const PLUMBING: &[OpenQuery] = &[
    OpenQuery {
        kind: "key",
        waits_for: "its request; if that is dead, the client with the same key again, or the module's worker when the lease ends",
        advice: "see whether the module runs and what its worker logs; a key is closed only with its work",
        sql: "SELECT {text:resource_id} AS id, route || ' of ' || principal AS what, created_at_ms AS since_ms,
                CASE WHEN created_at_ms < {begun_before} THEN created_at_ms
                    ELSE lease_until_ms END AS due_ms,
                CAST(NULL AS TEXT) AS last_error
              FROM idempotency_keys WHERE state = 'open'",
    },
    OpenQuery {
        kind: "event",
        waits_for: "its handlers (in one process) or the message broker (between processes)",
        advice: "mend what last_error says; it is tried again by itself",
        sql: "SELECT {text:event_id} AS id, event_type || ' of ' || {text:aggregate_id} || ', attempts: ' || CAST(attempts AS TEXT) AS what,
                occurred_at_ms AS since_ms, occurred_at_ms AS due_ms, last_error
              FROM outbox WHERE published_at_ms IS NULL AND dead_at_ms IS NULL",
    },
    OpenQuery {
        kind: "dead_event",
        waits_for: "an operator: it was tried too often",
        advice: "mend what last_error says, then `souk events dead replay`",
        sql: "SELECT {text:event_id} AS id, event_type || ' of ' || {text:aggregate_id} || ', attempts: ' || CAST(attempts AS TEXT) AS what,
                occurred_at_ms AS since_ms, CAST(0 AS BIGINT) AS due_ms, last_error
              FROM outbox WHERE dead_at_ms IS NOT NULL",
    },
];

/// The open work that every module may have.
pub async fn open_plumbing(db: &Db) -> Result<Vec<OpenWork>, DbErr> {
    look_for(db, PLUMBING).await
}

/// Those of the aggregates (at most a thousand) of which an event waits in the outbox, and not for too long: others may not know
/// yet what this module knows.
pub async fn on_their_way(db: &Db, aggregates: &[Uuid]) -> Result<BTreeSet<Uuid>, DbErr> {
    let since_ms = db.system().now().minus(OUTBOX_BOUND).ms();
    let waiting: Vec<Uuid> = outbox::Entity::find()
        .select_only()
        .column(outbox::Column::AggregateId)
        .filter(outbox::Column::PublishedAtMs.is_null())
        .filter(outbox::Column::DeadAtMs.is_null())
        .filter(outbox::Column::OccurredAtMs.gte(since_ms))
        .filter(outbox::Column::AggregateId.is_in(aggregates.iter().copied()))
        .into_tuple()
        .all(db.reader())
        .await?;
    Ok(waiting.into_iter().collect())
}

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
        .filter(idempotency::Column::State.is_word(idempotency::OPEN))
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
