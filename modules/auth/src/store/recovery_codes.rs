//! Codes for whoever has lost the authenticator app, each good once; hashed with a key that is not in the database.

use kernel::UserId;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, PaginatorTrait, QueryFilter, Set};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recovery_codes")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub code_hash: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn insert_all(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    hashes: Vec<Vec<u8>>,
) -> Result<(), DbErr> {
    let rows = hashes
        .into_iter()
        .map(|code_hash| ActiveModel { user_id: Set(user_id.uuid()), code_hash: Set(code_hash) });
    Entity::insert_many(rows).exec_without_returning(conn).await.map(|_| ())
}

/// Uses one up. False if there is no such code, or no longer.
pub(crate) async fn spend(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    code_hash: Vec<u8>,
) -> Result<bool, DbErr> {
    let deleted = Entity::delete_by_id((user_id.uuid(), code_hash)).exec(conn).await?;
    Ok(deleted.rows_affected == 1)
}

/// How many are left.
pub(crate) async fn count(conn: &impl ConnectionTrait, user_id: UserId) -> Result<u64, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id.uuid())).count(conn).await
}
