//! Moves an order along its life: the one place where a status changes.

use std::sync::Arc;
use std::time::Duration;

use contracts::orders::{Order, OrderStatus, OrderStatusChanged};
use contracts::users::Actor;
use kernel::{OrderId, ReservationId, Timestamp, UserId};
use platform::db::Tx;
use sea_orm::DbErr;

use crate::Context;
use crate::app::reactivate_order::reactivate_order;
use crate::domain::transitions::{self, By};
use crate::error::OrdersError;
use crate::store::timeline::Entry;
use crate::store::{lines, orders, timeline};

/// How long an answer waits for stock and money to follow a status. A courtesy: they follow anyway.
pub(super) const SETTLE: Duration = Duration::from_millis(500);

/// What is to become of an order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeStatus {
    pub(crate) order_id: OrderId,
    pub(crate) to: OrderStatus,
    pub(crate) actor: Actor,
    /// The version the client read, if it said so with `If-Match`.
    pub(crate) expected_version: Option<i64>,
}

/// `PATCH /orders/{id}/status`: an admin sets any status that may follow; an owner cancels what is pending. Returns the order and its version.
pub(crate) async fn change_status(
    context: &Arc<Context>,
    request: ChangeStatus,
) -> Result<(Order, i64), OrdersError> {
    let working = context.clone();
    context
        .db
        .system()
        .to_the_end(async move {
            // Taking stock again is a saga of its own; every other change is one transaction.
            if request.to == OrderStatus::Pending {
                reactivate_order(&working, request).await
            } else {
                change(&working, request).await
            }
        })
        .await?
}

async fn change(context: &Context, request: ChangeStatus) -> Result<(Order, i64), OrdersError> {
    let mut tx = context.db.begin().await?;
    let before = find_expected(&tx, request).await?;
    let step = Step { to: request.to, actor_id: Some(request.actor.user_id), reason: None };
    let after = move_to(&mut tx, &before, step, by_status(request.actor)).await?;
    let order = after.order(&lines::of(tx.conn(), after.id).await?)?;
    let committed = tx.commit().await?;
    if matches!(request.to, OrderStatus::Cancelled | OrderStatus::Shipped) {
        committed.settle(SETTLE).await;
    }
    Ok((order, after.version))
}

/// Through this door an owner is held to stricter rules than through `POST /orders/{id}/cancel`.
pub(super) fn by_status(actor: Actor) -> By {
    if actor.is_admin() { By::Admin } else { By::OwnerByStatus }
}

/// The locked order, if the actor may see it and it is still what the client has read.
pub(super) async fn find_expected(tx: &Tx, request: ChangeStatus) -> Result<orders::Model, OrdersError> {
    let found = orders::find_for_update(tx.conn(), request.order_id, request.actor).await?;
    let row = found.ok_or(OrdersError::NotFound)?;
    match request.expected_version {
        Some(version) if version != row.version => Err(OrdersError::Changed { version: row.version }),
        _ => Ok(row),
    }
}

/// One step of an order's life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) to: OrderStatus,
    /// None for the shop itself.
    pub(super) actor_id: Option<UserId>,
    /// Why, if there is something to say.
    pub(super) reason: Option<&'static str>,
}

/// Takes one step within the caller's transaction: the conditional update, the timeline entry and the event belong
/// together. Stock and money follow the event.
pub(super) async fn move_to(
    tx: &mut Tx,
    before: &orders::Model,
    step: Step,
    by: By,
) -> Result<orders::Model, OrdersError> {
    let after = moved(before, step, by)?;
    record(tx, before, after, step).await
}

/// The order after a step that may follow.
pub(super) fn moved(before: &orders::Model, step: Step, by: By) -> Result<orders::Model, OrdersError> {
    transitions::check(before.status()?, step.to, before.payment()?.status, by)?;
    let mut after = before.clone();
    after.status = step.to.as_str().to_owned();
    if !transitions::holds_stock(step.to) {
        after.reservation_id = None;
    }
    Ok(after)
}

/// Writes a step that has been checked.
pub(super) async fn record(
    tx: &mut Tx,
    before: &orders::Model,
    after: orders::Model,
    step: Step,
) -> Result<orders::Model, OrdersError> {
    let now = tx.system().now();
    let Some(after) = orders::save(tx.conn(), before, after, now).await? else {
        return Err(OrdersError::Changed { version: before.version });
    };
    let (entry, event) = told(before, &after, step, now)?;
    timeline::append(tx.conn(), vec![entry]).await?;
    tx.emit(&event).await?;
    log(&event);
    Ok(after)
}

/// What is told of a step, in the timeline and to others.
pub(super) fn told(
    before: &orders::Model,
    after: &orders::Model,
    step: Step,
    now: Timestamp,
) -> Result<(Entry, OrderStatusChanged), DbErr> {
    let from = before.status()?;
    let entry = Entry {
        actor_id: step.actor_id,
        change: Some((from, step.to)),
        data: step.reason.map(|reason| serde_json::json!({"reason": reason})),
        ..Entry::new(after.order_id(), "status_changed", now)
    };
    // The event names the reservation that the order held until now, or has just taken.
    let reservation = before.reservation_id.or(after.reservation_id);
    let event = OrderStatusChanged {
        order_id: after.order_id(),
        number: after.number.clone(),
        user_id: after.user_id.map(UserId),
        from,
        to: step.to,
        total: after.total()?,
        reservation_id: reservation.map(ReservationId),
        actor_id: step.actor_id,
        reason: step.reason.map(str::to_owned),
    };
    Ok((entry, event))
}

/// For whoever reads the log.
pub(super) fn log(changed: &OrderStatusChanged) {
    tracing::info!(order.id = %changed.order_id, from = changed.from.as_str(), to = changed.to.as_str(),
        "changed the status of an order");
}
