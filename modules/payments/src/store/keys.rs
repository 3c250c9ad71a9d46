//! Idempotency keys by the id of what they create: a worker that ends an attempt answers for the client too, and has no
//! ticket for it.

use platform::idempotency::{Column, Entity, IdempotencyError};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use serde::Serialize;
use uuid::Uuid;

use kernel::Timestamp;

/// Ties the work that this transaction begins to its key: the key is open, and stays so, because its lease is new. An
/// error means that the key was dropped meanwhile; without it the work could be begun twice, so it must not begin.
pub(crate) async fn hold(
    conn: &impl ConnectionTrait,
    resource_id: Uuid,
    lease_until: Timestamp,
) -> Result<(), IdempotencyError> {
    let held = Entity::update_many()
        .col_expr(Column::LeaseUntilMs, Expr::value(lease_until.ms()))
        .filter(Column::ResourceId.eq(resource_id))
        .filter(Column::State.eq("open"))
        .exec(conn)
        .await?;
    if held.rows_affected == 1 { Ok(()) } else { Err(IdempotencyError::TakenOver) }
}

/// Stores the outcome. Movements that no client asked for have no key; then nothing happens.
pub(crate) async fn complete(
    conn: &impl ConnectionTrait,
    resource_id: Uuid,
    outcome: &impl Serialize,
) -> Result<(), IdempotencyError> {
    let outcome = serde_json::to_value(outcome)?;
    Entity::update_many()
        .col_expr(Column::State, Expr::value("done"))
        .col_expr(Column::Outcome, Expr::value(Some(outcome)))
        .filter(Column::ResourceId.eq(resource_id))
        .filter(Column::State.eq("open"))
        .exec(conn)
        .await?;
    Ok(())
}

/// Forgets an open key, with the work that came to nothing.
pub(crate) async fn withdraw(conn: &impl ConnectionTrait, resource_id: Uuid) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::ResourceId.eq(resource_id))
        .filter(Column::State.eq("open"))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Forgets an open key that nobody has held since its lease was read. By its lease and not by the time: between the look
/// and this statement somebody may have begun work under it whose own lease has run out again.
pub(crate) async fn withdraw_unheld(
    conn: &impl ConnectionTrait,
    resource_id: Uuid,
    seen_lease_until_ms: i64,
) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::ResourceId.eq(resource_id))
        .filter(Column::State.eq("open"))
        .filter(Column::LeaseUntilMs.eq(seen_lease_until_ms))
        .exec(conn)
        .await
        .map(|_| ())
}
