//! Idempotency keys by the id of what they create: a worker that ends an attempt answers for the client too, and has no
//! ticket for it.

use platform::batch::Batch;
use platform::idempotency::{Column, DONE, Entity, IdempotencyError, Model, OPEN};
pub(crate) use platform::idempotency::{hold, let_go, withdraw_in as withdraw};
use platform::lease;
use platform::word::IsWord;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    UpdateMany,
};
use serde::Serialize;
use uuid::Uuid;

use kernel::Timestamp;

/// Stores the outcome. Movements that no client asked for have no key; then nothing happens.
pub(crate) async fn complete(
    conn: &impl ConnectionTrait,
    resource_id: Uuid,
    outcome: &impl Serialize,
) -> Result<(), IdempotencyError> {
    completing(resource_id, outcome)?.exec(conn).await?;
    Ok(())
}

/// The same in a batch.
pub(crate) fn complete_in(
    batch: &mut Batch,
    resource_id: Uuid,
    outcome: &impl Serialize,
) -> Result<(), IdempotencyError> {
    batch.update(completing(resource_id, outcome)?.into_query());
    Ok(())
}

fn completing(resource_id: Uuid, outcome: &impl Serialize) -> Result<UpdateMany<Entity>, IdempotencyError> {
    let outcome = serde_json::to_value(outcome)?;
    Ok(Entity::update_many()
        .col_expr(Column::State, Expr::value(DONE))
        .col_expr(Column::Outcome, Expr::value(Some(outcome)))
        .filter(Column::ResourceId.eq(resource_id))
        .filter(Column::State.is_word(OPEN)))
}

/// Open keys that stand for nothing but themselves (see `domain::intent::key_is_alone`) and that nobody is expected to go on with.
pub(crate) async fn alone(
    conn: &impl ConnectionTrait,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.is_word(OPEN))
        .filter(Column::LeaseUntilMs.lte(lease::left_behind(now).ms()))
        .filter(Column::Route.starts_with("POST /payments"))
        .filter(Expr::cust(
            "NOT EXISTS (SELECT 1 FROM intents WHERE intents.id = idempotency_keys.resource_id)",
        ))
        .filter(Expr::cust(
            "NOT EXISTS (SELECT 1 FROM payments WHERE payments.id = idempotency_keys.resource_id)",
        ))
        .filter(Expr::cust(
            "NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.id = idempotency_keys.resource_id)",
        ))
        .order_by_asc(Column::LeaseUntilMs)
        .limit(limit)
        .all(conn)
        .await
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
        .filter(Column::State.is_word(OPEN))
        .filter(Column::LeaseUntilMs.eq(seen_lease_until_ms))
        .exec(conn)
        .await
        .map(|_| ())
}
