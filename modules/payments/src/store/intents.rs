//! Wishes to pay: what was asked for before the order said what is due. A row lives for milliseconds; one that outlives
//! its lease was left behind by a dead process.

use kernel::{OrderId, PaymentId, Timestamp};
use platform::batch::{Batch, Place};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, DeleteMany, Insert, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use crate::domain::intent::State;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "intents")]
pub(crate) struct Model {
    /// The id of the payment that comes of it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub order_id: Uuid,
    pub token: String,
    pub capture: bool,
    pub state: String,
    pub created_at_ms: i64,
    /// Until then a request may be at work.
    pub lease_until_ms: i64,
}

// By hand, because the token must not come into logs.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intent")
            .field("id", &self.id)
            .field("order_id", &self.order_id)
            .finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn find(conn: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).one(conn).await
}

/// False if there is one of this id.
pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    Ok(unless_there(row).exec_without_returning(conn).await? > 0)
}

/// Writes it in a batch, which is refused if there is one of this id.
pub(crate) fn insert_in(batch: &mut Batch, row: Model) -> Place {
    let place = batch.insert(unless_there(row).into_query());
    batch.must(place)
}

fn unless_there(row: Model) -> Insert<ActiveModel> {
    let there = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row.into_active_model().reset_all()).on_conflict(there)
}

/// Goes on with an open intent, for its client came back. False if it is being taken back.
pub(crate) async fn resume(
    conn: &impl ConnectionTrait,
    id: PaymentId,
    lease_until: Timestamp,
) -> Result<bool, DbErr> {
    let resumed = Entity::update_many()
        .col_expr(Column::LeaseUntilMs, Expr::value(lease_until.ms()))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::State.eq(State::Open.as_str()))
        .exec(conn)
        .await?;
    Ok(resumed.rows_affected == 1)
}

/// Takes an open intent away. False if it is no longer open.
pub(crate) async fn take(conn: &impl ConnectionTrait, id: PaymentId) -> Result<bool, DbErr> {
    Ok(taking(id).exec(conn).await?.rows_affected == 1)
}

/// Takes it away in a batch, to become a payment; the batch is refused if it is no longer open.
pub(crate) fn take_in(batch: &mut Batch, id: PaymentId) -> Place {
    let place = batch.delete(taking(id).into_query());
    batch.must(place)
}

fn taking(id: PaymentId) -> DeleteMany<Entity> {
    Entity::delete_many().filter(Column::Id.eq(id.uuid())).filter(Column::State.eq(State::Open.as_str()))
}

/// Forgets an intent, whatever its state.
pub(crate) async fn forget(conn: &impl ConnectionTrait, id: PaymentId) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Id.eq(id.uuid())).exec(conn).await.map(|_| ())
}

/// From now on nobody goes on with it. False if there is none.
pub(crate) async fn end(conn: &impl ConnectionTrait, id: PaymentId) -> Result<bool, DbErr> {
    let ended = Entity::update_many()
        .col_expr(Column::State, Expr::value(State::Ending.as_str()))
        .filter(Column::Id.eq(id.uuid()))
        .exec(conn)
        .await?;
    Ok(ended.rows_affected == 1)
}

/// The same by a worker, one at a time. False if somebody moved the lease since it was read.
pub(crate) async fn claim_end(
    conn: &impl ConnectionTrait,
    seen: &Model,
    lease_until: Timestamp,
) -> Result<bool, DbErr> {
    let ended = Entity::update_many()
        .col_expr(Column::State, Expr::value(State::Ending.as_str()))
        .col_expr(Column::LeaseUntilMs, Expr::value(lease_until.ms()))
        .filter(Column::Id.eq(seen.id))
        .filter(Column::LeaseUntilMs.eq(seen.lease_until_ms))
        .exec(conn)
        .await?;
    Ok(ended.rows_affected == 1)
}

/// Ends all intents of an order that was cancelled at that time; their leases stay as they are.
pub(crate) async fn end_all_of(
    conn: &impl ConnectionTrait,
    order_id: OrderId,
    cancelled_at: Timestamp,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(State::Ending.as_str()))
        .filter(Column::OrderId.eq(order_id.uuid()))
        .filter(Column::CreatedAtMs.lte(cancelled_at.ms()))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Those whose lease ended by then, oldest first.
pub(crate) async fn left_behind(
    conn: &impl ConnectionTrait,
    lease_ended: Timestamp,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::LeaseUntilMs.lte(lease_ended.ms()))
        .order_by_asc(Column::LeaseUntilMs)
        .limit(limit)
        .all(conn)
        .await
}
