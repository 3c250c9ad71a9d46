//! From which clients a login name was let in before. Neither is kept, only a hash of both.

use kernel::Timestamp;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, Set};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "known_clients")]
pub(crate) struct Model {
    /// SHA-256 of the name's hash and the address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client_hash: Vec<u8>,
    pub seen_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// When a client was let in last.
pub(crate) async fn seen_at(
    conn: &impl ConnectionTrait,
    client_hash: &[u8],
) -> Result<Option<Timestamp>, DbErr> {
    let row = Entity::find_by_id(client_hash.to_vec()).one(conn).await?;
    Ok(row.map(|row| Timestamp::from_ms(row.seen_at_ms)))
}

/// Notes that a client was let in.
pub(crate) async fn put(
    conn: &impl ConnectionTrait,
    client_hash: Vec<u8>,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel { client_hash: Set(client_hash), seen_at_ms: Set(now.ms()) };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::ClientHash).update_column(Column::SeenAtMs).to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

/// Forgets clients that were not let in since, at most `batch`. How many went.
pub(crate) async fn purge(conn: &impl ConnectionTrait, before: Timestamp, batch: u64) -> Result<u64, DbErr> {
    let some = Query::select()
        .column(Column::ClientHash)
        .from(Entity)
        .and_where(Column::SeenAtMs.lt(before.ms()))
        .limit(batch)
        .to_owned();
    Ok(Entity::delete_many().filter(Column::ClientHash.in_subquery(some)).exec(conn).await?.rows_affected)
}
