//! What each endpoint is to be told.

use kernel::{Cursor, CursorError, Limit, Page, WebhookId};
use platform::batch::Batch;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
};
use uuid::Uuid;

pub(crate) const PENDING: &str = "pending";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub webhook_id: Uuid,
    pub event_id: Uuid,
    pub event: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub payload: Json,
    pub status: String,
    pub attempts: i64,
    pub created_at_ms: i64,
    pub delivered_at_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) fn insert_all_in(batch: &mut Batch, rows: Vec<Model>) {
    if !rows.is_empty() {
        let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
        batch.insert(Entity::insert_many(rows).into_query());
    }
}

/// A page of one endpoint's deliveries, newest first.
pub(crate) async fn page_of(
    conn: &impl ConnectionTrait,
    webhook_id: WebhookId,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find()
        .filter(Column::WebhookId.eq(webhook_id.uuid()))
        .order_by_desc(Column::Id)
        .limit(limit.probe());
    if let Some(cursor) = cursor {
        match cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError)) {
            Ok(before) => query = query.filter(Column::Id.lt(before)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}

pub(crate) async fn find_of(
    conn: &impl ConnectionTrait,
    webhook_id: WebhookId,
    id: Uuid,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).filter(Column::WebhookId.eq(webhook_id.uuid())).one(conn).await
}

/// Puts a delivery that was made, or failed, back in line. False if it is in line already.
pub(crate) async fn put_back(conn: &impl ConnectionTrait, id: Uuid) -> Result<bool, DbErr> {
    let put_back = Entity::update_many()
        .col_expr(Column::Status, Expr::value(PENDING))
        .col_expr(Column::DeliveredAtMs, Expr::value(None::<i64>))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.ne(PENDING))
        .exec(conn)
        .await?;
    Ok(put_back.rows_affected == 1)
}
