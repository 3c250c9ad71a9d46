//! Who has shown that the address of their account is theirs. An address does not change, so this does not either.

use kernel::{Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DbErr, Set};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "verified_emails")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub verified_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Notes it; the first time counts.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel { user_id: Set(user_id.uuid()), verified_at_ms: Set(now.ms()) };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::UserId).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

/// Whether a user has shown it.
pub(crate) async fn has(conn: &impl ConnectionTrait, user_id: UserId) -> Result<bool, DbErr> {
    Ok(Entity::find_by_id(user_id.uuid()).one(conn).await?.is_some())
}
