//! Hashes of tokens that were mailed: one a user and purpose, so that a later one makes it void.

use kernel::{Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, Set};
use uuid::Uuid;

/// What a mailed token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    PasswordReset,
    EmailVerification,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::PasswordReset => "password_reset",
            Purpose::EmailVerification => "email_verification",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mailed_tokens")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// [`Purpose`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub purpose: String,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    pub expires_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Stores a token in place of an older one.
pub(crate) async fn put(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    purpose: Purpose,
    token_hash: Vec<u8>,
    expires_at: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        user_id: Set(user_id.uuid()),
        purpose: Set(purpose.as_str().to_owned()),
        token_hash: Set(token_hash),
        expires_at_ms: Set(expires_at.ms()),
    };
    Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Column::UserId, Column::Purpose])
                .update_columns([Column::TokenHash, Column::ExpiresAtMs])
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

/// Whose token this is, if it is still good.
pub(crate) async fn owner_of(
    conn: &impl ConnectionTrait,
    purpose: Purpose,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<UserId>, DbErr> {
    let row = Entity::find()
        .filter(Column::TokenHash.eq(token_hash.to_vec()))
        .filter(Column::Purpose.eq(purpose.as_str()))
        .filter(Column::ExpiresAtMs.gt(now.ms()))
        .one(conn)
        .await?;
    Ok(row.map(|row| UserId(row.user_id)))
}

/// Uses a token up. False if it is no longer good; of several uses at once one succeeds.
pub(crate) async fn take(
    conn: &impl ConnectionTrait,
    purpose: Purpose,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, DbErr> {
    let deleted = Entity::delete_many()
        .filter(Column::TokenHash.eq(token_hash.to_vec()))
        .filter(Column::Purpose.eq(purpose.as_str()))
        .filter(Column::ExpiresAtMs.gt(now.ms()))
        .exec(conn)
        .await?;
    Ok(deleted.rows_affected == 1)
}

/// Makes a user's token void.
pub(crate) async fn drop_of(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    purpose: Purpose,
) -> Result<(), DbErr> {
    Entity::delete_by_id((user_id.uuid(), purpose.as_str().to_owned())).exec(conn).await.map(|_| ())
}

/// Deletes expired tokens, at most `batch`. How many went.
pub(crate) async fn purge(conn: &impl ConnectionTrait, now: Timestamp, batch: u64) -> Result<u64, DbErr> {
    let some = Query::select()
        .column(Column::TokenHash)
        .from(Entity)
        .and_where(Column::ExpiresAtMs.lte(now.ms()))
        .limit(batch)
        .to_owned();
    Ok(Entity::delete_many().filter(Column::TokenHash.in_subquery(some)).exec(conn).await?.rows_affected)
}
