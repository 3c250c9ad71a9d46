//! Stock held for orders.

use kernel::{OrderId, ReservationId, Timestamp};
use platform::batch::{Batch, Place};
use platform::word::IsWord;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, Insert, QueryFilter, Set};
use uuid::Uuid;

use crate::domain::reservation::State;

/// What the state of a held reservation is called.
pub(crate) const HELD: &str = State::Held.as_str();

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub order_id: Uuid,
    pub state: String,
    pub created_at_ms: i64,
    pub ended_at_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What is known of an id.
pub(crate) async fn state(conn: &impl ConnectionTrait, id: ReservationId) -> Result<Option<State>, DbErr> {
    let Some(row) = Entity::find_by_id(id.uuid()).one(conn).await? else {
        return Ok(None);
    };
    let unreadable = || DbErr::Custom(format!("reservation {}: its state cannot be read", row.id));
    State::parse(&row.state).ok_or_else(unreadable).map(Some)
}

/// Takes the id, held or already ended. False if the id is known.
pub(crate) async fn claim(
    conn: &impl ConnectionTrait,
    id: ReservationId,
    order_id: OrderId,
    state: State,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let claimed = claiming(id, order_id, state, now).exec_without_returning(conn).await?;
    Ok(claimed > 0)
}

/// Takes the id for stock that the same batch holds, which is refused if the id is known.
pub(crate) fn claim_held_in(
    batch: &mut Batch,
    id: ReservationId,
    order_id: OrderId,
    now: Timestamp,
    after: Option<Place>,
) {
    let columns = [Column::Id, Column::OrderId, Column::State, Column::CreatedAtMs];
    let values = Query::select()
        .expr(Expr::value(id.uuid()))
        .expr(Expr::value(order_id.uuid()))
        .expr(Expr::value(HELD))
        .expr(Expr::value(now.ms()))
        .to_owned();
    let mut claim = Query::insert();
    claim.into_table(Entity).columns(columns).on_conflict(unless_known());
    let place = batch.insert_from(claim, values);
    if let Some(earlier) = after {
        batch.after(place, earlier);
    }
    batch.must(place);
}

fn unless_known() -> OnConflict {
    OnConflict::column(Column::Id).do_nothing().to_owned()
}

fn claiming(id: ReservationId, order_id: OrderId, state: State, now: Timestamp) -> Insert<ActiveModel> {
    let row = ActiveModel {
        id: Set(id.uuid()),
        order_id: Set(order_id.uuid()),
        state: Set(state.as_str().to_owned()),
        created_at_ms: Set(now.ms()),
        ended_at_ms: Set((state != State::Held).then_some(now.ms())),
    };
    Entity::insert(row).on_conflict(unless_known())
}

/// Ends a held reservation. False if it is not held.
pub(crate) async fn end(
    conn: &impl ConnectionTrait,
    id: ReservationId,
    state: State,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let ended = Entity::update_many()
        .col_expr(Column::State, Expr::value(state.as_str()))
        .col_expr(Column::EndedAtMs, Expr::value(Some(now.ms())))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::State.is_word(HELD))
        .exec(conn)
        .await?;
    Ok(ended.rows_affected == 1)
}
