//! Endpoints of other programs.

use kernel::{Cursor, CursorError, Limit, Page, WebhookId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub url: String,
    /// Names of events, separated by a space.
    pub events: String,
    pub secret: String,
    /// From the settings, not from an admin.
    pub configured: bool,
    pub created_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn wants(&self, event: &str) -> bool {
        self.events.split(' ').any(|wanted| wanted == event)
    }
}

pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(conn).await.map(|_| ())
}

/// Adds an endpoint of the settings, unless it is there.
pub(crate) async fn insert_unless_configured(conn: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

pub(crate) async fn find(conn: &impl ConnectionTrait, id: WebhookId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).one(conn).await
}

pub(crate) async fn count(conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().count(conn).await
}

/// All of them; their number is bounded when they are created.
pub(crate) async fn all(conn: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::Id).all(conn).await
}

/// A page, oldest first.
pub(crate) async fn page(
    conn: &impl ConnectionTrait,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find().order_by_asc(Column::Id).limit(limit.probe());
    if let Some(cursor) = cursor {
        match cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError)) {
            Ok(after) => query = query.filter(Column::Id.gt(after)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}

/// Removes an endpoint with its deliveries. False if there is none.
pub(crate) async fn delete(conn: &impl ConnectionTrait, id: WebhookId) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id(id.uuid()).exec(conn).await?.rows_affected == 1)
}
