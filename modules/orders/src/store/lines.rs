//! What each order holds, with the names and prices of its day.

use std::collections::HashMap;

use contracts::orders::OrderItem;
use kernel::{Currency, Money, ProductId, Sku};
use platform::batch::Batch;
use platform::cells::Cells;
use platform::key_list::padded;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryOrder,
    QueryResult, QueryTrait,
};
use uuid::Uuid;

use crate::store::LINES_OF_ONE_INSERT;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_lines")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Uuid,
    /// Counts from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub line_no: i64,
    pub sku: String,
    /// None if the product was never in the catalogue.
    pub product_id: Option<Uuid>,
    pub name: String,
    pub quantity: i64,
    pub unit_price_minor: i64,
    pub line_total_minor: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The published form. Stored SKUs are valid: they came in through [`Sku::parse`].
    pub(crate) fn item(&self, currency: Currency) -> Result<OrderItem, DbErr> {
        Ok(OrderItem {
            sku: Sku::parse(&self.sku).map_err(|error| {
                DbErr::Custom(format!("line {} of order {}: {error}", self.line_no, self.order_id))
            })?,
            product_id: self.product_id.map(ProductId),
            name: self.name.clone(),
            quantity: self.quantity,
            unit_price: Money::new(self.unit_price_minor, currency),
            line_total: Money::new(self.line_total_minor, currency),
        })
    }
}

pub(crate) async fn insert_all(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    for some in in_parts(rows) {
        Entity::insert_many(some).exec_without_returning(conn).await?;
    }
    Ok(())
}

/// The same in a batch.
pub(crate) fn insert_all_in(batch: &mut Batch, rows: Vec<Model>) {
    for some in in_parts(rows) {
        batch.insert(Entity::insert_many(some).into_query());
    }
}

fn in_parts(rows: Vec<Model>) -> impl Iterator<Item = Vec<ActiveModel>> {
    let mut rows = rows.into_iter().map(|row| row.into_active_model().reset_all()).peekable();
    std::iter::from_fn(move || {
        rows.peek()?;
        Some(rows.by_ref().take(LINES_OF_ONE_INSERT).collect())
    })
}

/// The lines of one order.
pub(crate) async fn of(conn: &impl ConnectionTrait, order_id: Uuid) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::OrderId.eq(order_id)).order_by_asc(Column::LineNo).all(conn).await
}

/// The lines of several orders, in one query.
pub(crate) async fn of_all(
    conn: &impl ConnectionTrait,
    order_ids: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Vec<Model>>, DbErr> {
    let query = Entity::find()
        .filter(Column::OrderId.is_in(padded(order_ids)))
        .order_by_asc(Column::OrderId)
        .order_by_asc(Column::LineNo)
        .into_query();
    let mut by_order: HashMap<Uuid, Vec<Model>> = HashMap::new();
    for row in conn.query_all(&query).await?.iter().map(read) {
        let row = row?;
        by_order.entry(row.order_id).or_default().push(row);
    }
    Ok(by_order)
}

/// The columns in the order in which [`Model`] has them, as sea-orm asks for them.
fn read(row: &QueryResult) -> Result<Model, DbErr> {
    let cells = Cells::of(row)?;
    Ok(Model {
        order_id: cells.get(0)?,
        line_no: cells.get(1)?,
        sku: cells.get(2)?,
        product_id: cells.get(3)?,
        name: cells.get(4)?,
        quantity: cells.get(5)?,
        unit_price_minor: cells.get(6)?,
        line_total_minor: cells.get(7)?,
    })
}

/// Forgets the lines of an imported order that is written anew.
pub(crate) async fn delete_of(conn: &impl ConnectionTrait, order_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::OrderId.eq(order_id)).exec(conn).await.map(|_| ())
}
