//! The inbox: which events a handler has dealt with, written in the transaction of the effect. Events come at least
//! once; with this row their effect happens exactly once.

use contracts::event::Envelope;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, DbErr, Insert, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set};
use uuid::Uuid;

use crate::batch::{Batch, Place};
use crate::db::{Db, Tx};
use crate::system::System;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "inbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub handler: String,
    pub handled_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

fn row(envelope: &Envelope, handler: &str, system: &System) -> ActiveModel {
    ActiveModel {
        event_id: Set(envelope.id.uuid()),
        handler: Set(handler.to_owned()),
        handled_at_ms: Set(system.now().ms()),
    }
}

fn unless_known(row: ActiveModel) -> Insert<ActiveModel> {
    let known = OnConflict::columns([Column::EventId, Column::Handler]).do_nothing().to_owned();
    Entity::insert(row).on_conflict(known)
}

/// Records that this handler deals with this event in this transaction. False if it did so before: then the handler must do nothing.
pub async fn first_delivery(tx: &Tx, envelope: &Envelope, handler: &str) -> Result<bool, DbErr> {
    let inserted =
        unless_known(row(envelope, handler, tx.system())).exec_without_returning(tx.conn()).await?;
    Ok(inserted > 0)
}

/// The same in a batch, which is refused if the handler dealt with the event before.
pub fn first_delivery_in(batch: &mut Batch, envelope: &Envelope, handler: &str, system: &System) -> Place {
    let place = batch.insert(unless_known(row(envelope, handler, system)).into_query());
    batch.must(place)
}

/// Deletes rows handled before an instant, the oldest first and about 2,000 a call.
pub(crate) async fn purge(db: &Db, before_ms: i64) -> Result<(), DbErr> {
    // The key has two columns, so the age of the last row of a batch bounds the batch.
    let oldest: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::HandledAtMs)
        .filter(Column::HandledAtMs.lt(before_ms))
        .order_by_asc(Column::HandledAtMs)
        .limit(2_000)
        .into_tuple()
        .all(db.reader())
        .await?;
    if let Some(bound) = oldest.last() {
        Entity::delete_many().filter(Column::HandledAtMs.lte(*bound)).exec(db.writer()).await?;
    }
    Ok(())
}
