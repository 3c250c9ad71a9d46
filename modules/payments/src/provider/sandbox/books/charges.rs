//! Money of customers that the bank holds, took or gave back.

use platform::batch::Batch;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryTrait,
};
use uuid::Uuid;

use crate::provider::sandbox::books::operations;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_charges")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub currency: String,
    pub amount_minor: i64,
    pub held_minor: i64,
    pub taken_minor: i64,
    pub returned_minor: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// The new charge of an operation in a batch, held or taken.
pub(crate) fn open_in(batch: &mut Batch, operation: &operations::Model, is_taken: bool) {
    let Some(id) = operation.charge_id else { return };
    let amount_minor = operation.amount_minor;
    let row = Model {
        id,
        currency: operation.currency.clone(),
        amount_minor,
        held_minor: if is_taken { 0 } else { amount_minor },
        taken_minor: if is_taken { amount_minor } else { 0 },
        returned_minor: 0,
    };
    batch.insert(Entity::insert(row.into_active_model().reset_all()).into_query());
}

/// Takes part of what is held and lets the rest go. False if so much is not held.
pub(crate) async fn take(
    conn: &impl ConnectionTrait,
    id: Uuid,
    amount_minor: i64,
    currency: &str,
) -> Result<bool, DbErr> {
    let taken = Entity::update_many()
        .col_expr(Column::HeldMinor, Expr::value(0_i64))
        .col_expr(Column::TakenMinor, Expr::value(amount_minor))
        .filter(Column::Id.eq(id))
        .filter(Column::Currency.eq(currency))
        .filter(Column::HeldMinor.gte(amount_minor))
        .filter(Expr::value(amount_minor).gt(0_i64))
        .exec(conn)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Lets go what is held. False if nothing is.
pub(crate) async fn let_go(conn: &impl ConnectionTrait, id: Uuid) -> Result<bool, DbErr> {
    let gone = Entity::update_many()
        .col_expr(Column::HeldMinor, Expr::value(0_i64))
        .filter(Column::Id.eq(id))
        .filter(Column::HeldMinor.gt(0_i64))
        .exec(conn)
        .await?;
    Ok(gone.rows_affected == 1)
}

/// Gives back what was taken. False if so much is not left.
pub(crate) async fn give_back(
    conn: &impl ConnectionTrait,
    id: Uuid,
    amount_minor: i64,
    currency: &str,
) -> Result<bool, DbErr> {
    let returned = || Expr::col(Column::ReturnedMinor).add(amount_minor);
    let gone = Entity::update_many()
        .col_expr(Column::ReturnedMinor, returned())
        .filter(Column::Id.eq(id))
        .filter(Column::Currency.eq(currency))
        .filter(returned().lte(Expr::col(Column::TakenMinor)))
        .filter(Expr::value(amount_minor).gt(0_i64))
        .exec(conn)
        .await?;
    Ok(gone.rows_affected == 1)
}
