//! The ledger: every change of `on_hand`, never updated, never deleted.

use kernel::{Cursor, CursorError, Limit, Page};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "movements")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub stock_id: Uuid,
    /// `opening`, `set`, `adjusted` or `shipped`.
    pub kind: String,
    pub change: i64,
    pub on_hand_after: i64,
    pub reason: String,
    pub order_id: Option<Uuid>,
    pub actor_id: Option<Uuid>,
    pub at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn append(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
    Entity::insert_many(rows).exec_without_returning(conn).await.map(|_| ())
}

pub(crate) async fn exists(conn: &impl ConnectionTrait, id: Uuid) -> Result<bool, DbErr> {
    Ok(Entity::find_by_id(id).one(conn).await?.is_some())
}

/// A page of one SKU's ledger, newest first.
pub(crate) async fn page_of(
    conn: &impl ConnectionTrait,
    stock_id: Uuid,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query =
        Entity::find().filter(Column::StockId.eq(stock_id)).order_by_desc(Column::Id).limit(limit.probe());
    if let Some(cursor) = cursor {
        let before = cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError));
        match before {
            Ok(before) => query = query.filter(Column::Id.lt(before)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}
