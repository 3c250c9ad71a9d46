//! Hashes of refresh tokens that were used. One that comes again is a copy.

use kernel::{SessionId, Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Related, RelationDef, RelationTrait,
};
use sea_orm::sea_query::Query;
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

pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    token_hash: &[u8],
    session_id: SessionId,
    expires_at: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        token_hash: Set(token_hash.to_vec()),
        session_id: Set(session_id.uuid()),
        expires_at_ms: Set(expires_at.ms()),
    };
    Entity::insert(row).exec_without_returning(conn).await.map(|_| ())
}

/// The session that a spent token once continued, with its owner.
pub(crate) async fn session_of(
    conn: &impl ConnectionTrait,
    token_hash: &[u8],
) -> Result<Option<(UserId, SessionId)>, DbErr> {
    let found = Entity::find_by_id(token_hash.to_vec()).find_also_related(sessions::Entity).one(conn).await?;
    Ok(found.and_then(|(_, session)| session).map(|session| (UserId(session.user_id), SessionId(session.id))))
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
