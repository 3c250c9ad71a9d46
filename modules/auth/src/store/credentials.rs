//! One row a user who can log in: the hash of the password.

use kernel::{Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QuerySelect, Set};
use uuid::Uuid;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credentials")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub password_hash: String,
    pub created_at_ms: i64,
    pub changed_at_ms: i64,
    /// Counts the passwords of this user, not the hashes of one.
    pub password_version: i64,
    /// When the password was replaced by another one; never: null.
    pub password_changed_at_ms: Option<i64>,
}

/// The version of the password that an account begins with.
pub(crate) const FIRST_PASSWORD: i64 = 1;

/// A hash is no password, but nothing to read in a log either.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn of(conn: &impl ConnectionTrait, user_id: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(user_id.uuid()).one(conn).await
}

/// Whether a version of the password is the current one. Until the transaction ends, it stays so.
pub(crate) async fn hold(tx: &impl ConnectionTrait, user_id: UserId, version: i64) -> Result<bool, DbErr> {
    let row = Entity::find_by_id(user_id.uuid()).lock_shared().one(tx).await?;
    Ok(row.is_some_and(|row| row.password_version == version))
}

/// The same for whoever is about to replace the password: two at once wait for each other.
pub(crate) async fn hold_alone(
    tx: &impl ConnectionTrait,
    user_id: UserId,
    version: i64,
) -> Result<bool, DbErr> {
    let row = Entity::find_by_id(user_id.uuid()).lock_exclusive().one(tx).await?;
    Ok(row.is_some_and(|row| row.password_version == version))
}

/// Stores another password; for an imported user, who has none, the first one.
pub(crate) async fn replace_password(
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
        password_version: Set(FIRST_PASSWORD),
        password_changed_at_ms: Set(Some(now.ms())),
    };
    let next_version = Expr::col((Entity, Column::PasswordVersion)).add(1);
    Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::UserId)
                .update_columns([Column::PasswordHash, Column::ChangedAtMs, Column::PasswordChangedAtMs])
                .value(Column::PasswordVersion, next_version)
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await
        .map(|_| ())
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
        password_version: Set(FIRST_PASSWORD),
        password_changed_at_ms: Set(None),
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
