//! Stock that may be held for an order that will never be: remembered until inventory has taken it back.

use kernel::{OrderId, ReservationId, Timestamp};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QueryOrder, QuerySelect, Set};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "abandoned_reservations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub reservation_id: Uuid,
    pub order_id: Uuid,
    pub since_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn remember(
    conn: &impl ConnectionTrait,
    reservation_id: ReservationId,
    order_id: OrderId,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        reservation_id: Set(reservation_id.uuid()),
        order_id: Set(order_id.uuid()),
        since_ms: Set(now.ms()),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::ReservationId).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

pub(crate) async fn forget(conn: &impl ConnectionTrait, reservation_id: ReservationId) -> Result<(), DbErr> {
    Entity::delete_by_id(reservation_id.uuid()).exec(conn).await.map(|_| ())
}

/// The oldest ones.
pub(crate) async fn oldest(conn: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::SinceMs).limit(limit).all(conn).await
}

/// Those that are older than an instant: nobody manages to give them back.
pub(crate) async fn before(
    conn: &impl ConnectionTrait,
    at: Timestamp,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::SinceMs.lt(at.ms()))
        .order_by_asc(Column::SinceMs)
        .limit(limit)
        .all(conn)
        .await
}
