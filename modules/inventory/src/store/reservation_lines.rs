//! What each reservation holds.

use kernel::{ReservationId, Sku};
use platform::batch::{Batch, Place};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Related, RelationDef, RelationTrait,
};
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use crate::store::stock;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservation_lines")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub reservation_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub stock_id: Uuid,
    pub quantity: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(belongs_to = "stock::Entity", from = "Column::StockId", to = "stock::Column::Id")]
    Stock,
}

impl Related<stock::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Stock.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// Writes the lines of a reservation that was claimed.
pub(crate) async fn insert_all(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
    Entity::insert_many(rows).exec_without_returning(conn).await.map(|_| ())
}

/// Writes a line in the batch that holds its stock, for a SKU whose row need not be read for that.
pub(crate) fn insert_in(batch: &mut Batch, id: ReservationId, sku: &Sku, pieces: i64, after: Option<Place>) {
    let columns = [Column::ReservationId, Column::StockId, Column::Quantity];
    let of_sku = Query::select()
        .expr(Expr::value(id.uuid()))
        .column(stock::Column::Id)
        .expr(Expr::value(pieces))
        .from(stock::Entity)
        .and_where(stock::Column::Sku.eq(sku.as_str()))
        .to_owned();
    let mut line = Query::insert();
    // That the id was known before refuses the batch at its claim, not here.
    let unless_known = OnConflict::columns([Column::ReservationId, Column::StockId]).do_nothing().to_owned();
    line.into_table(Entity).columns(columns).on_conflict(unless_known);
    let place = batch.insert_from(line, of_sku);
    if let Some(earlier) = after {
        batch.after(place, earlier);
    }
}

/// The lines of a reservation in SKU order, byte by byte as in the program and not as the database sorts: the order in which stock rows are
/// taken.
pub(crate) async fn of(conn: &impl ConnectionTrait, id: ReservationId) -> Result<Vec<Model>, DbErr> {
    let mut lines = Entity::find()
        .find_also_related(stock::Entity)
        .filter(Column::ReservationId.eq(id.uuid()))
        .all(conn)
        .await?;
    lines.sort_by(|(_, one), (_, other)| {
        one.as_ref().map(|stock| &stock.sku).cmp(&other.as_ref().map(|stock| &stock.sku))
    });
    Ok(lines.into_iter().map(|(line, _)| line).collect())
}
