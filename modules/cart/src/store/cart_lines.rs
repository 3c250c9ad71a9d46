//! What is in each cart.

use kernel::{Quantity, Sku, Timestamp};
use platform::batch::{Batch, Place};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Related, RelationDef, RelationTrait,
};
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, Set};
use uuid::Uuid;

use crate::domain::basket::{Basket, Line};
use crate::error::CartError;
use crate::store::carts;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cart_lines")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub cart_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub sku: String,
    pub quantity: i64,
    pub added_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(belongs_to = "carts::Entity", from = "Column::CartId", to = "carts::Column::Id")]
    Cart,
}

impl Related<carts::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Cart.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// The lines of a cart.
pub(crate) async fn of(conn: &impl ConnectionTrait, cart_id: Uuid) -> Result<Basket, CartError> {
    basket(Entity::find().filter(Column::CartId.eq(cart_id)).all(conn).await?)
}

/// What lines hold. Stored SKUs and quantities are valid: they came in through their `parse`.
pub(crate) fn basket(rows: Vec<Model>) -> Result<Basket, CartError> {
    let lines = rows.into_iter().map(|row| {
        Ok(Line {
            sku: Sku::parse(&row.sku).map_err(CartError::unreadable)?,
            quantity: Quantity::parse(row.quantity).map_err(CartError::unreadable)?,
            added_at: Timestamp::from_ms(row.added_at_ms),
        })
    });
    Ok(Basket::of(lines.collect::<Result<_, CartError>>()?))
}

/// Puts one line into a cart in a batch, after a statement of it.
pub(crate) fn put_in(batch: &mut Batch, cart_id: Uuid, line: &Line, after: Place) {
    let columns = [Column::CartId, Column::Sku, Column::Quantity, Column::AddedAtMs];
    let values = Query::select()
        .expr(Expr::value(cart_id))
        .expr(Expr::value(line.sku.as_str()))
        .expr(Expr::value(line.quantity.get()))
        .expr(Expr::value(line.added_at.ms()))
        .to_owned();
    let mut put = Query::insert();
    put.into_table(Entity).columns(columns).on_conflict(or_quantity());
    let place = batch.insert_from(put, values);
    batch.after(place, after);
}

/// A line that is there has another quantity from now on.
fn or_quantity() -> OnConflict {
    OnConflict::columns([Column::CartId, Column::Sku]).update_column(Column::Quantity).to_owned()
}

/// Turns the lines of a cart from one basket into another, touching only those that differ.
pub(crate) async fn replace(
    conn: &impl ConnectionTrait,
    cart_id: Uuid,
    before: &Basket,
    after: &Basket,
) -> Result<(), DbErr> {
    let gone: Vec<&str> = before
        .lines()
        .iter()
        .filter(|line| after.get(&line.sku).is_none())
        .map(|line| line.sku.as_str())
        .collect();
    if !gone.is_empty() {
        Entity::delete_many()
            .filter(Column::CartId.eq(cart_id))
            .filter(Column::Sku.is_in(gone))
            .exec(conn)
            .await?;
    }
    let changed: Vec<ActiveModel> = after
        .differing(before)
        .into_iter()
        .map(|line| ActiveModel {
            cart_id: Set(cart_id),
            sku: Set(line.sku.as_str().to_owned()),
            quantity: Set(line.quantity.get()),
            added_at_ms: Set(line.added_at.ms()),
        })
        .collect();
    if !changed.is_empty() {
        Entity::insert_many(changed).on_conflict(or_quantity()).exec_without_returning(conn).await?;
    }
    Ok(())
}
