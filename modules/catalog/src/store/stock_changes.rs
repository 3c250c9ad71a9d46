//! Stock changes that inventory was asked for under an `Idempotency-Key`, until their outcome is known.

use contracts::audit::By;
use contracts::inventory::AdjustStock;
use kernel::{ApiKeyId, Sku, Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbErr, IntoActiveModel};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stock_changes")]
pub(crate) struct Model {
    /// What the key stands for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub movement_id: Uuid,
    pub sku: String,
    pub change: i64,
    pub reason: String,
    pub actor_id: Option<Uuid>,
    /// Of a machine, its key.
    pub api_key_id: Option<Uuid>,
    pub created_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What to ask inventory for.
    pub(crate) fn asked(self) -> Result<AdjustStock, DbErr> {
        let unreadable = |error| DbErr::Custom(format!("stock change {}: {error}", self.movement_id));
        Ok(AdjustStock {
            movement_id: self.movement_id,
            sku: Sku::parse(&self.sku).map_err(unreadable)?,
            change: self.change,
            reason: self.reason,
            by: By::known(self.actor_id.map(UserId), self.api_key_id.map(ApiKeyId)),
        })
    }
}

pub(crate) async fn find(conn: &impl ConnectionTrait, movement_id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(movement_id).one(conn).await
}

/// Writes down what is about to be asked. An earlier request with the key may have done so: what that one asked for stays.
pub(crate) async fn write_down(
    conn: &impl ConnectionTrait,
    asked: &AdjustStock,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = Model {
        movement_id: asked.movement_id,
        sku: asked.sku.as_str().to_owned(),
        change: asked.change,
        reason: asked.reason.clone(),
        actor_id: asked.by.user_id().map(UserId::uuid),
        api_key_id: asked.by.api_key_id().map(ApiKeyId::uuid),
        created_at_ms: now.ms(),
    };
    Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::column(Column::MovementId).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

pub(crate) async fn forget(conn: &impl ConnectionTrait, movement_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_by_id(movement_id).exec(conn).await.map(|_| ())
}
