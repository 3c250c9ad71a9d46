//! One row a user who can log in: the hash of the password.

use kernel::{Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, Set};
use uuid::Uuid;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credentials")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub password_hash: String,
    pub created_at_ms: i64,
    pub changed_at_ms: i64,
}

/// A hash is no password, but nothing to read in a log either.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn hash_of(conn: &impl ConnectionTrait, user_id: UserId) -> Result<Option<String>, DbErr> {
    Ok(Entity::find_by_id(user_id.uuid()).one(conn).await?.map(|row| row.password_hash))
}

pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    password_hash: String,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        user_id: Set(user_id.uuid()),
        password_hash: Set(password_hash),
        created_at_ms: Set(now.ms()),
        changed_at_ms: Set(now.ms()),
    };
    Entity::insert(row).exec_without_returning(conn).await.map(|_| ())
}

/// Replaces a hash by another of the same password, unless the password was changed in the meantime.
pub(crate) async fn replace_hash(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    old: &str,
    new: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(new))
        .col_expr(Column::ChangedAtMs, Expr::value(now.ms()))
        .filter(Column::UserId.eq(user_id.uuid()))
        .filter(Column::PasswordHash.eq(old))
        .exec(conn)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Takes back the credential of a registration that was refused.
pub(crate) async fn delete(conn: &impl ConnectionTrait, user_id: UserId) -> Result<(), DbErr> {
    Entity::delete_by_id(user_id.uuid()).exec(conn).await.map(|_| ())
}
