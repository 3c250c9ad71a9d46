//! Hashes of refresh tokens that were used. One that comes again is a repetition, for a moment, and then a copy.

use kernel::{SessionId, Timestamp};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Related, RelationDef, RelationTrait,
};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, Set};
use uuid::Uuid;

use crate::store::sessions;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "spent_refresh_tokens")]
pub(crate) struct Model {
    /// SHA-256 of the token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_hash: Vec<u8>,
    pub session_id: Uuid,
    /// When the token would have expired: from then on it is refused without further ado.
    pub expires_at_ms: i64,
    pub spent_at_ms: i64,
    /// What its successor was derived with, until that one is spent too.
    pub successor_nonce: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(belongs_to = "sessions::Entity", from = "Column::SessionId", to = "sessions::Column::Id")]
    Session,
}

impl Related<sessions::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Session.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// A token that is being spent.
pub(crate) struct Spent<'a> {
    pub(crate) token_hash: &'a [u8],
    pub(crate) session_id: SessionId,
    pub(crate) expires_at: Timestamp,
    pub(crate) successor_nonce: Vec<u8>,
}

/// Notes that a token was spent. The one before it in its session can no longer be answered again: its successor, this one,
/// was used.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    spent: Spent<'_>,
    now: Timestamp,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::SuccessorNonce, Expr::value(None::<Vec<u8>>))
        .filter(Column::SessionId.eq(spent.session_id.uuid()))
        .filter(Column::SuccessorNonce.is_not_null())
        .exec(conn)
        .await?;
    let row = ActiveModel {
        token_hash: Set(spent.token_hash.to_vec()),
        session_id: Set(spent.session_id.uuid()),
        expires_at_ms: Set(spent.expires_at.ms()),
        spent_at_ms: Set(now.ms()),
        successor_nonce: Set(Some(spent.successor_nonce)),
    };
    Entity::insert(row).exec_without_returning(conn).await.map(|_| ())
}

/// A spent token with the session that it once continued.
pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    token_hash: &[u8],
) -> Result<Option<(Model, sessions::Model)>, DbErr> {
    let found = Entity::find_by_id(token_hash.to_vec()).find_also_related(sessions::Entity).one(conn).await?;
    Ok(found.and_then(|(spent, session)| Some((spent, session?))))
}

/// Deletes hashes of expired tokens, at most `batch`. How many went.
pub(crate) async fn purge(conn: &impl ConnectionTrait, now: Timestamp, batch: u64) -> Result<u64, DbErr> {
    let some = Query::select()
        .column(Column::TokenHash)
        .from(Entity)
        .and_where(Column::ExpiresAtMs.lte(now.ms()))
        .limit(batch)
        .to_owned();
    Ok(Entity::delete_many().filter(Column::TokenHash.in_subquery(some)).exec(conn).await?.rows_affected)
}
