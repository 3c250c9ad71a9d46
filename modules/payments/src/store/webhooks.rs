//! The webhooks that came, so that one that comes again does nothing.

use kernel::Timestamp;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks_seen")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub webhook_id: String,
    pub at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Remembers a webhook. False if it came before.
pub(crate) async fn first_time(
    conn: &impl ConnectionTrait,
    provider: &str,
    webhook_id: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let row = Model { provider: provider.to_owned(), webhook_id: webhook_id.to_owned(), at_ms: now.ms() };
    let inserted = Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::columns([Column::Provider, Column::WebhookId]).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted > 0)
}

/// Whether there is any older than that.
pub(crate) async fn any_before(conn: &impl ConnectionTrait, before: Timestamp) -> Result<bool, DbErr> {
    Ok(Entity::find().filter(Column::AtMs.lt(before.ms())).one(conn).await?.is_some())
}

/// Forgets those older than that.
pub(crate) async fn purge(conn: &impl ConnectionTrait, before: Timestamp) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::AtMs.lt(before.ms())).exec(conn).await.map(|_| ())
}
