//! The outbox: events wait here, written by the transaction that made them true, until the relay has published them.

use contracts::event::{Envelope, Event};
use kernel::{EventId, Timestamp};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, InsertStatement};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Set,
};
use uuid::Uuid;

use crate::db::Db;
use crate::key_list::padded;
use crate::system::System;
use crate::trace;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    /// Counts up; within one aggregate in the order of commits.
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub event_id: Uuid,
    pub event_type: String,
    pub aggregate_id: Uuid,
    #[sea_orm(column_type = "JsonBinary")]
    pub payload: Json,
    pub trace_id: Option<String>,
    pub occurred_at_ms: i64,
    /// Until then one relay has it.
    pub claimed_until_ms: i64,
    pub attempts: i64,
    pub last_error: Option<String>,
    pub published_at_ms: Option<i64>,
    /// Set when it was given up: an operator must look at it.
    pub dead_at_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Envelope {
    fn from(row: Model) -> Self {
        Self {
            id: EventId(row.event_id),
            event_type: row.event_type,
            aggregate_id: row.aggregate_id,
            occurred_at: Timestamp::from_ms(row.occurred_at_ms),
            trace_id: row.trace_id,
            payload: row.payload,
        }
    }
}

/// An event that was written.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: &'static str,
}

/// Writes an event.
pub(crate) async fn store<E: Event>(
    conn: &impl ConnectionTrait,
    system: &System,
    event: &E,
) -> Result<Stored, DbErr> {
    let (event_id, row) = row(system, event)?;
    row.insert(conn).await.map(|row| Stored { seq: row.seq, event_id, event_type: E::TYPE })
}

/// The event's id, and the statement that writes it, which gives the row's [`SEQ`].
pub(crate) fn insertion<E: Event>(system: &System, event: &E) -> Result<(Uuid, InsertStatement), DbErr> {
    let (event_id, row) = row(system, event)?;
    Ok((event_id, Entity::insert(row).into_query()))
}

/// The column that orders events.
pub(crate) const SEQ: &str = "seq";

fn row<E: Event>(system: &System, event: &E) -> Result<(Uuid, ActiveModel), DbErr> {
    let payload = serde_json::to_value(event).map_err(|error| DbErr::Custom(error.to_string()))?;
    let event_id = system.id();
    let row = ActiveModel {
        event_id: Set(event_id),
        event_type: Set(E::TYPE.to_owned()),
        aggregate_id: Set(event.aggregate_id()),
        payload: Set(payload),
        trace_id: Set(trace::current()),
        occurred_at_ms: Set(system.now().ms()),
        claimed_until_ms: Set(0),
        attempts: Set(0),
        ..Default::default()
    };
    Ok((event_id, row))
}

/// Whether these events have left the outbox.
pub(crate) async fn all_published(db: &Db, seqs: &[i64]) -> Result<bool, DbErr> {
    let waiting = Entity::find()
        .filter(Column::Seq.is_in(padded(seqs.iter().copied())))
        .filter(Column::PublishedAtMs.is_null())
        .filter(Column::DeadAtMs.is_null())
        .count(db.reader())
        .await?;
    Ok(waiting == 0)
}

/// The most events that [`given_up`] returns.
pub const MAX_GIVEN_UP: u64 = 1_000;

/// The events that the relay has given up, the oldest first: these, or all of them. With how many there are beyond
/// [`MAX_GIVEN_UP`].
pub async fn given_up(db: &Db, events: Option<&[EventId]>) -> Result<(Vec<Model>, u64), DbErr> {
    let wanted = Entity::find().filter(are_given_up(events));
    let rows = wanted.clone().order_by_asc(Column::Seq).limit(MAX_GIVEN_UP).all(db.reader()).await?;
    let listed = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let more = match listed < MAX_GIVEN_UP {
        true => 0,
        false => wanted.count(db.reader()).await?.saturating_sub(listed),
    };
    Ok((rows, more))
}

fn are_given_up(events: Option<&[EventId]>) -> Condition {
    let these = events.map(|events| Column::EventId.is_in(events.iter().map(|id| id.uuid())));
    Condition::all().add(Column::DeadAtMs.is_not_null()).add_option(these)
}

/// Lets the relay try events again that it has given up: these, or all of them. Returns how many there were.
pub async fn revive(db: &Db, events: Option<&[EventId]>) -> Result<u64, DbErr> {
    let update = Entity::update_many()
        .filter(are_given_up(events))
        .col_expr(Column::DeadAtMs, Expr::value(None::<i64>))
        .col_expr(Column::Attempts, Expr::value(0))
        .col_expr(Column::ClaimedUntilMs, Expr::value(0));
    update.exec(db.writer()).await.map(|done| done.rows_affected)
}
