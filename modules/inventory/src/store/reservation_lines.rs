//! What each reservation holds.

use kernel::{ReservationId, Sku};
use platform::batch::Batch;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Related, RelationDef, RelationTrait,
};
use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryOrder,
    QueryTrait,
};
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

/// Writes lines beside the claim of their reservation: those of an id that was known before are there already.
pub(crate) fn insert_all_in(batch: &mut Batch, rows: Vec<Model>) {
    let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
    batch.insert(Entity::insert_many(rows).into_query().on_conflict(unless_known()).to_owned());
}

/// Writes a line beside the claim of its reservation, for a SKU whose row need not be read for that.
pub(crate) fn insert_in(batch: &mut Batch, id: ReservationId, sku: &Sku, pieces: i64) {
    let columns = [Column::ReservationId, Column::StockId, Column::Quantity];
    let of_sku = Query::select()
        .expr(Expr::value(id.uuid()))
        .column(stock::Column::Id)
        .expr(Expr::value(pieces))
        .from(stock::Entity)
        .and_where(stock::Column::Sku.eq(sku.as_str()))
        .to_owned();
    let mut line = Query::insert();
    line.into_table(Entity).columns(columns);
    // As many values as columns.
    let _fits = line.select_from(of_sku);
    batch.insert(line.on_conflict(unless_known()).to_owned());
}

fn unless_known() -> OnConflict {
    OnConflict::columns([Column::ReservationId, Column::StockId]).do_nothing().to_owned()
}

/// The lines of a reservation in SKU order: the order in which stock rows are taken.
pub(crate) async fn of(conn: &impl ConnectionTrait, id: ReservationId) -> Result<Vec<Model>, DbErr> {
    let lines = Entity::find()
        .find_also_related(stock::Entity)
        .filter(Column::ReservationId.eq(id.uuid()))
        .order_by_asc(stock::Column::Sku)
        .all(conn)
        .await?;
    Ok(lines.into_iter().map(|(line, _)| line).collect())
}
