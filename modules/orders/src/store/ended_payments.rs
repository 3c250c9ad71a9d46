//! Payments that were refused or came to nothing. A call to begin one of them that was slow on its way would make an
//! order wait for a payment that nobody carries out; so its id is remembered for longer than any call is on its way.

use kernel::{OrderId, PaymentId, Timestamp};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, QueryFilter, QuerySelect, QueryTrait, Set};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ended_payments")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: Uuid,
    pub order_id: Uuid,
    pub at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// From now on this payment never begins; false if that was known. Call it in the transaction that has locked the order. If that was not known,
/// the transaction changes the order, its version at least, as a payment begins by what was read of the order without a lock, and
/// [`unless_ended`]. (Not where the order cannot be paid: whoever takes it for payable has read another version.)
pub(crate) async fn remember(
    conn: &impl ConnectionTrait,
    payment_id: PaymentId,
    order_id: OrderId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        payment_id: Set(payment_id.uuid()),
        order_id: Set(order_id.uuid()),
        at_ms: Set(now.ms()),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::PaymentId).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|inserted| inserted > 0)
}

/// Whether it must not begin. Read it after the order was locked: only then is the answer final.
pub(crate) async fn is_ended(conn: &impl ConnectionTrait, payment_id: PaymentId) -> Result<bool, DbErr> {
    Ok(Entity::find_by_id(payment_id.uuid()).one(conn).await?.is_some())
}

/// The same as a condition of the statement in which it begins.
pub(crate) fn unless_ended(payment_id: PaymentId) -> Condition {
    let ended = Entity::find()
        .select_only()
        .column(Column::PaymentId)
        .filter(Column::PaymentId.eq(payment_id.uuid()))
        .into_query();
    Condition::all().add(Expr::exists(ended).not())
}

/// Some of those from before that time.
pub(crate) async fn before(
    conn: &impl ConnectionTrait,
    at: Timestamp,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let old = Entity::find().select_only().column(Column::PaymentId).filter(Column::AtMs.lt(at.ms()));
    old.limit(limit).into_tuple().all(conn).await
}

/// Forgets some.
pub(crate) async fn forget(conn: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::PaymentId.is_in(ids)).exec(conn).await.map(|_| ())
}
