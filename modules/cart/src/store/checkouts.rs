//! What each checkout asked for, by the customer's `Idempotency-Key`: a retry must ask for the same again.

use kernel::{CartId, Quantity, Sku, Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::basket::Basket;
use crate::error::CartError;

/// An order may have come of it, or may still.
pub(crate) const UNKNOWN: &str = "unknown";
/// Nothing came of it and nothing was stored: a retry takes the cart as it is then.
pub(crate) const REFUSED: &str = "refused";
/// `orders` gave its final word for this key: a retry gets it again.
pub(crate) const DECLINED: &str = "declined";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "checkouts")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub idempotency_key: String,
    pub request_hash: String,
    /// A key is bound to one cart for good, so that a late retry can never order the next cart as well.
    pub cart_id: Uuid,
    #[sea_orm(column_type = "JsonBinary")]
    pub lines: Json,
    /// `unknown`, `refused` or `declined`.
    pub outcome: String,
    pub created_at_ms: i64,
    /// The last attempt.
    pub touched_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One line of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AskedLine {
    pub(crate) sku: Sku,
    pub(crate) quantity: Quantity,
}

/// A basket as it is written down.
pub(crate) fn written(basket: &Basket) -> Result<Json, CartError> {
    let lines: Vec<AskedLine> = basket
        .lines()
        .iter()
        .map(|line| AskedLine { sku: line.sku.clone(), quantity: line.quantity })
        .collect();
    serde_json::to_value(lines).map_err(CartError::unreadable)
}

impl Model {
    /// What was asked for.
    pub(crate) fn asked(&self) -> Result<Vec<AskedLine>, CartError> {
        serde_json::from_value(self.lines.clone()).map_err(CartError::unreadable)
    }

    pub(crate) fn cart_id(&self) -> CartId {
        CartId(self.cart_id)
    }
}

pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    customer: UserId,
    key: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((customer.uuid(), key.to_owned())).one(conn).await
}

/// Writes a checkout down. False if its key has been written down since.
pub(crate) async fn create(conn: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    let inserted = Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::columns([Column::UserId, Column::IdempotencyKey]).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted > 0)
}

/// Another attempt at the same lines.
pub(crate) async fn touch(conn: &impl ConnectionTrait, row: &Model, now: Timestamp) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::TouchedAtMs, Expr::value(now.ms()))
        .filter(Column::UserId.eq(row.user_id))
        .filter(Column::IdempotencyKey.eq(&row.idempotency_key))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Another attempt, at other lines, after a refusal. False if another request has begun one since.
pub(crate) async fn ask_anew(
    conn: &impl ConnectionTrait,
    row: &Model,
    lines: &Json,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::Lines, Expr::value(lines.clone()))
        .col_expr(Column::Outcome, Expr::value(UNKNOWN))
        .col_expr(Column::TouchedAtMs, Expr::value(now.ms()))
        .filter(Column::UserId.eq(row.user_id))
        .filter(Column::IdempotencyKey.eq(&row.idempotency_key))
        .filter(Column::Outcome.eq(REFUSED))
        .exec(conn)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Writes down how an attempt ended without an order.
pub(crate) async fn conclude(conn: &impl ConnectionTrait, row: &Model, outcome: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(outcome))
        .filter(Column::UserId.eq(row.user_id))
        .filter(Column::IdempotencyKey.eq(&row.idempotency_key))
        .filter(Column::Outcome.eq(UNKNOWN))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Deletes at most `limit` checkouts whose last attempt was before `before`.
pub(crate) async fn delete_old(
    conn: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<u64, DbErr> {
    let before_ms = before.ms();
    let sql = format!(
        "DELETE FROM checkouts WHERE touched_at_ms < {before_ms} AND (user_id, idempotency_key) IN (
            SELECT user_id, idempotency_key FROM checkouts WHERE touched_at_ms < {before_ms} LIMIT {limit})"
    );
    Ok(conn.execute_unprepared(&sql).await?.rows_affected())
}
