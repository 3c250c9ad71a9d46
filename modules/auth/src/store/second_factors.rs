//! The authenticator app of a user: a sealed secret, in force once the user has shown a code of it.

use kernel::{Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, Set};
use uuid::Uuid;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "second_factors")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub sealed_secret: Vec<u8>,
    /// Since when it is in force; null while it is being set up.
    pub confirmed_at_ms: Option<i64>,
    /// The step of the last code that was accepted: that code and those before it are spent.
    pub last_step: i64,
    pub created_at_ms: i64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactor").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The factor of a user that is in force.
pub(crate) async fn confirmed(conn: &impl ConnectionTrait, user_id: UserId) -> Result<Option<Model>, DbErr> {
    Ok(Entity::find_by_id(user_id.uuid()).one(conn).await?.filter(|row| row.confirmed_at_ms.is_some()))
}

/// The factor of a user that is being set up.
pub(crate) async fn unconfirmed(
    conn: &impl ConnectionTrait,
    user_id: UserId,
) -> Result<Option<Model>, DbErr> {
    Ok(Entity::find_by_id(user_id.uuid()).one(conn).await?.filter(|row| row.confirmed_at_ms.is_none()))
}

/// Begins to set one up, from anew if that was begun before. False if one is in force.
pub(crate) async fn begin(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    sealed_secret: Vec<u8>,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        user_id: Set(user_id.uuid()),
        sealed_secret: Set(sealed_secret),
        confirmed_at_ms: Set(None),
        last_step: Set(0),
        created_at_ms: Set(now.ms()),
    };
    let is_unconfirmed = Expr::col((Entity, Column::ConfirmedAtMs)).is_null();
    let begun = Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::UserId)
                .update_columns([Column::SealedSecret, Column::LastStep, Column::CreatedAtMs])
                .action_and_where(is_unconfirmed)
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await?;
    Ok(begun > 0)
}

/// Puts it into force, if it is still the one whose code was shown. Of several at once, one succeeds.
pub(crate) async fn confirm(
    conn: &impl ConnectionTrait,
    shown: &Model,
    step: i64,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::ConfirmedAtMs, Expr::value(Some(now.ms())))
        .col_expr(Column::LastStep, Expr::value(step))
        .filter(Column::UserId.eq(shown.user_id))
        .filter(Column::SealedSecret.eq(shown.sealed_secret.clone()))
        .filter(Column::ConfirmedAtMs.is_null())
        .exec(conn)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Spends the code of a step. False if it, or a later one, was spent before.
pub(crate) async fn spend_step(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    step: i64,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::LastStep, Expr::value(step))
        .filter(Column::UserId.eq(user_id.uuid()))
        .filter(Column::ConfirmedAtMs.is_not_null())
        .filter(Column::LastStep.lt(step))
        .exec(conn)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Takes away the one that is in force, with its recovery codes. False if there is none, or no longer.
pub(crate) async fn delete(conn: &impl ConnectionTrait, user_id: UserId) -> Result<bool, DbErr> {
    let deleted = Entity::delete_many()
        .filter(Column::UserId.eq(user_id.uuid()))
        .filter(Column::ConfirmedAtMs.is_not_null())
        .exec(conn)
        .await?;
    Ok(deleted.rows_affected == 1)
}
