//! Wrong passwords of late, in numbered slots a login name, so that the primary key bounds them.
//!
//! The name itself is not kept, only its hash: people type passwords into the name field.

use kernel::Timestamp;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QueryOrder, QuerySelect, Set};

use crate::domain::throttle::Failure;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "login_failures")]
pub(crate) struct Model {
    /// SHA-256 of the login name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub login_hash: Vec<u8>,
    #[sea_orm(primary_key, auto_increment = false)]
    pub slot: i64,
    pub failed_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn of(conn: &impl ConnectionTrait, login_hash: &[u8]) -> Result<Vec<Failure>, DbErr> {
    let rows = Entity::find().filter(Column::LoginHash.eq(login_hash.to_vec())).all(conn).await?;
    Ok(rows.iter().map(|row| Failure { slot: row.slot, at: Timestamp::from_ms(row.failed_at_ms) }).collect())
}

/// Takes a slot that is empty or whose failure is forgotten. False if another failure was faster.
pub(crate) async fn take_slot(
    conn: &impl ConnectionTrait,
    login_hash: &[u8],
    slot: i64,
    now: Timestamp,
    forgotten_before: Timestamp,
) -> Result<bool, DbErr> {
    let row =
        ActiveModel { login_hash: Set(login_hash.to_vec()), slot: Set(slot), failed_at_ms: Set(now.ms()) };
    let forgotten = Expr::col((Entity, Column::FailedAtMs)).lte(forgotten_before.ms());
    let taken = Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Column::LoginHash, Column::Slot])
                .update_column(Column::FailedAtMs)
                .action_and_where(forgotten)
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await?;
    Ok(taken > 0)
}

/// Forgets the failures of a name.
pub(crate) async fn clear(conn: &impl ConnectionTrait, login_hash: &[u8]) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::LoginHash.eq(login_hash.to_vec())).exec(conn).await.map(|_| ())
}

/// Deletes forgotten failures, in the order of their age and about `batch` at a time. How many went.
pub(crate) async fn purge(
    conn: &impl ConnectionTrait,
    forgotten_before: Timestamp,
    batch: u64,
) -> Result<u64, DbErr> {
    // Rows have no id of their own: the age of the last one of a batch bounds the batch.
    let oldest: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::FailedAtMs)
        .filter(Column::FailedAtMs.lte(forgotten_before.ms()))
        .order_by_asc(Column::FailedAtMs)
        .limit(batch)
        .into_tuple()
        .all(conn)
        .await?;
    let Some(bound) = oldest.last() else { return Ok(0) };
    Ok(Entity::delete_many().filter(Column::FailedAtMs.lte(*bound)).exec(conn).await?.rows_affected)
}
