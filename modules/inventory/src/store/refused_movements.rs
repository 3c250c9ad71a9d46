//! Changes of stock that were refused. Whoever asked has been told so: a late twin of the call must not make them once there is
//! stock again.

use kernel::Timestamp;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QuerySelect, Set};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refused_movements")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// It is never made.
pub(crate) async fn remember(conn: &impl ConnectionTrait, id: Uuid, now: Timestamp) -> Result<(), DbErr> {
    Entity::insert(ActiveModel { id: Set(id), at_ms: Set(now.ms()) })
        .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

/// Whether it was refused. Read it after the stock was locked: only then is the answer final.
pub(crate) async fn exists(conn: &impl ConnectionTrait, id: Uuid) -> Result<bool, DbErr> {
    Ok(Entity::find_by_id(id).one(conn).await?.is_some())
}

/// Some of those from before that time.
pub(crate) async fn before(
    conn: &impl ConnectionTrait,
    at: Timestamp,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let old = Entity::find().select_only().column(Column::Id).filter(Column::AtMs.lt(at.ms()));
    old.limit(limit).into_tuple().all(conn).await
}

/// Forgets some.
pub(crate) async fn forget(conn: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Id.is_in(ids)).exec(conn).await.map(|_| ())
}
