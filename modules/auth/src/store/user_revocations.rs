//! Until when the tokens of a user are void, kept as long as such a token could be presented.

use contracts::auth::UserSessionsEnded;
use kernel::{Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QueryOrder, Set};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_revocations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Tokens that are true as of this instant or an earlier one are void.
    pub issued_until_ms: i64,
    /// From then on none of those tokens can be valid anyway.
    pub tokens_expire_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn ended(&self) -> UserSessionsEnded {
        UserSessionsEnded {
            user_id: UserId(self.user_id),
            issued_until: Timestamp::from_ms(self.issued_until_ms),
            tokens_expire_at: Timestamp::from_ms(self.tokens_expire_at_ms),
        }
    }
}

/// The latest instant whose tokens are void.
pub(crate) async fn issued_until(
    conn: &impl ConnectionTrait,
    user_id: UserId,
) -> Result<Option<Timestamp>, DbErr> {
    let row = Entity::find_by_id(user_id.uuid()).one(conn).await?;
    Ok(row.map(|row| Timestamp::from_ms(row.issued_until_ms)))
}

/// Moves the instant forward, never back.
pub(crate) async fn extend(conn: &impl ConnectionTrait, ended: &UserSessionsEnded) -> Result<(), DbErr> {
    let row = ActiveModel {
        user_id: Set(ended.user_id.uuid()),
        issued_until_ms: Set(ended.issued_until.ms()),
        tokens_expire_at_ms: Set(ended.tokens_expire_at.ms()),
    };
    let forward = Expr::col((Entity, Column::IssuedUntilMs)).lt(ended.issued_until.ms());
    Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::UserId)
                .update_columns([Column::IssuedUntilMs, Column::TokensExpireAtMs])
                .action_and_where(forward)
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

/// Revocations that still matter.
pub(crate) async fn live(conn: &impl ConnectionTrait, now: Timestamp) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::TokensExpireAtMs.gt(now.ms()))
        .order_by_asc(Column::TokensExpireAtMs)
        .all(conn)
        .await
}

/// Deletes what no longer matters, at most `batch` rows. How many went.
pub(crate) async fn purge(conn: &impl ConnectionTrait, now: Timestamp, batch: u64) -> Result<u64, DbErr> {
    let some = Query::select()
        .column(Column::UserId)
        .from(Entity)
        .and_where(Column::TokensExpireAtMs.lte(now.ms()))
        .limit(batch)
        .to_owned();
    Ok(Entity::delete_many().filter(Column::UserId.in_subquery(some)).exec(conn).await?.rows_affected)
}
