//! One row a SKU.

use contracts::inventory::StockLevel;
use kernel::{Cursor, CursorError, Limit, Page, Sku, Timestamp};
use platform::batch::{Batch, Place};
use platform::key_list::padded;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set, UpdateMany,
};
use uuid::Uuid;

use crate::domain::adjustment::MAX_ON_HAND;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stock")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub sku: String,
    pub on_hand: i64,
    pub reserved: i64,
    pub low_stock_threshold: i64,
    pub version: i64,
    pub updated_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn available(&self) -> i64 {
        self.on_hand - self.reserved
    }

    pub(crate) fn is_low(&self) -> bool {
        self.available() <= self.low_stock_threshold
    }

    /// The published form. Stored SKUs are valid: they came in through [`Sku::parse`].
    pub(crate) fn level(&self) -> Result<StockLevel, DbErr> {
        Ok(StockLevel {
            sku: Sku::parse(&self.sku)
                .map_err(|error| DbErr::Custom(format!("stock {}: {error}", self.id)))?,
            on_hand: self.on_hand,
            reserved: self.reserved,
            available: self.available(),
            low_stock_threshold: self.low_stock_threshold,
            updated_at: Timestamp::from_ms(self.updated_at_ms),
        })
    }
}

pub(crate) async fn find(conn: &impl ConnectionTrait, sku: &Sku) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Sku.eq(sku.as_str())).one(conn).await
}

/// The row, locked until the transaction ends (SQLite: the whole database is).
pub(crate) async fn find_for_update(conn: &impl ConnectionTrait, sku: &Sku) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Sku.eq(sku.as_str())).lock_exclusive().one(conn).await
}

pub(crate) async fn find_all(conn: &impl ConnectionTrait, skus: &[Sku]) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Sku.is_in(padded(skus.iter().map(Sku::as_str))))
        .order_by_asc(Column::Sku)
        .all(conn)
        .await
}

/// A page in SKU order; only low stock if asked.
pub(crate) async fn page(
    conn: &impl ConnectionTrait,
    only_low: Option<bool>,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find().order_by_asc(Column::Sku).limit(limit.probe());
    let is_low = available().lte(Expr::col(Column::LowStockThreshold));
    query = match only_low {
        Some(true) => query.filter(is_low),
        Some(false) => query.filter(is_low.not()),
        None => query,
    };
    if let Some(cursor) = cursor {
        match cursor.unpack::<1>() {
            Ok([after]) => query = query.filter(Column::Sku.gt(after)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.sku]))))
}

/// Creates rows for SKUs that have none; returns those that were created.
pub(crate) async fn create_missing(
    conn: &impl ConnectionTrait,
    rows: Vec<Model>,
) -> Result<Vec<Model>, DbErr> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    Entity::insert_many(rows.into_iter().map(|row| ActiveModel {
        id: Set(row.id),
        sku: Set(row.sku),
        on_hand: Set(row.on_hand),
        reserved: Set(row.reserved),
        low_stock_threshold: Set(row.low_stock_threshold),
        version: Set(row.version),
        updated_at_ms: Set(row.updated_at_ms),
    }))
    .on_conflict(OnConflict::column(Column::Sku).do_nothing().to_owned())
    .exec_with_returning(conn)
    .await
}

/// Holds pieces if that many are available; the new row, or `None` if they are not.
pub(crate) async fn hold(
    conn: &impl ConnectionTrait,
    sku: &Sku,
    pieces: i64,
    now: Timestamp,
) -> Result<Option<Model>, DbErr> {
    Ok(holding(sku, pieces, now).exec_with_returning(conn).await?.into_iter().next())
}

/// The same in a batch, which is refused if they are not, and also if the SKU would run low: that is an event, and the event needs
/// the row. Rows of several SKUs are taken one `after` the other; whatever else is in the batch comes after the last.
pub(crate) fn hold_in(
    batch: &mut Batch,
    sku: &Sku,
    pieces: i64,
    now: Timestamp,
    after: Option<Place>,
) -> Place {
    let threshold = || Expr::col(Column::LowStockThreshold);
    let stays = available().sub(pieces).gt(threshold()).or(available().lte(threshold()));
    let place = batch.update(holding(sku, pieces, now).filter(stays).into_query());
    match after {
        None => batch.gate(place),
        Some(earlier) => {
            batch.after(place, earlier);
            batch.must(place)
        }
    }
}

fn holding(sku: &Sku, pieces: i64, now: Timestamp) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::Reserved, Expr::col(Column::Reserved).add(pieces))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAtMs, Expr::value(now.ms()))
        .filter(Column::Sku.eq(sku.as_str()))
        .filter(available().gte(pieces))
}

fn available() -> Expr {
    Expr::col(Column::OnHand).sub(Expr::col(Column::Reserved))
}

/// Gives held pieces back; with `take_out` they also leave the house. The new row.
pub(crate) async fn unhold(
    conn: &impl ConnectionTrait,
    stock_id: Uuid,
    pieces: i64,
    take_out: bool,
    now: Timestamp,
) -> Result<Option<Model>, DbErr> {
    let leaving = if take_out { pieces } else { 0 };
    let changed = Entity::update_many()
        .col_expr(Column::Reserved, Expr::col(Column::Reserved).sub(pieces))
        .col_expr(Column::OnHand, Expr::col(Column::OnHand).sub(leaving))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAtMs, Expr::value(now.ms()))
        .filter(Column::Id.eq(stock_id))
        .exec_with_returning(conn)
        .await?;
    Ok(changed.into_iter().next())
}

/// Adds pieces (or takes them, if negative) as long as what orders hold stays covered; `None` if it would not.
pub(crate) async fn change(
    conn: &impl ConnectionTrait,
    sku: &Sku,
    change: i64,
    low_stock_threshold: Option<i64>,
    now: Timestamp,
) -> Result<Option<Model>, DbErr> {
    let after = || Expr::col(Column::OnHand).add(change);
    let mut update = Entity::update_many()
        .col_expr(Column::OnHand, after())
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAtMs, Expr::value(now.ms()))
        .filter(Column::Sku.eq(sku.as_str()))
        .filter(after().gte(Expr::col(Column::Reserved)))
        .filter(after().lte(MAX_ON_HAND));
    if let Some(threshold) = low_stock_threshold {
        update = update.col_expr(Column::LowStockThreshold, Expr::value(threshold));
    }
    Ok(update.exec_with_returning(conn).await?.into_iter().next())
}
