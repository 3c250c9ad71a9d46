//! The outbox: events wait here, written by the transaction that made them true, until the relay has published them.

use contracts::event::{Envelope, Event};
use kernel::{EventId, Timestamp};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, PaginatorTrait, QueryFilter, Set};
use uuid::Uuid;

use crate::db::Db;
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

/// Writes an event; returns its place.
pub(crate) async fn store<E: Event>(
    conn: &impl ConnectionTrait,
    system: &System,
    event: &E,
) -> Result<i64, DbErr> {
    let payload = serde_json::to_value(event).map_err(|error| DbErr::Custom(error.to_string()))?;
    let row = ActiveModel {
        event_id: Set(system.id()),
        event_type: Set(E::TYPE.to_owned()),
        aggregate_id: Set(event.aggregate_id()),
        payload: Set(payload),
        trace_id: Set(trace::current()),
        occurred_at_ms: Set(system.now().ms()),
        claimed_until_ms: Set(0),
        attempts: Set(0),
        ..Default::default()
    };
    row.insert(conn).await.map(|row| row.seq)
}

/// Whether these events have left the outbox.
pub(crate) async fn all_published(db: &Db, seqs: &[i64]) -> Result<bool, DbErr> {
    let waiting = Entity::find()
        .filter(Column::Seq.is_in(seqs.iter().copied()))
        .filter(Column::PublishedAtMs.is_null())
        .filter(Column::DeadAtMs.is_null())
        .count(db.reader())
        .await?;
    Ok(waiting == 0)
}
