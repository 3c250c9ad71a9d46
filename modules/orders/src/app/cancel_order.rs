//! Calls an order off. Inventory releases its stock and payments gives the money back when they hear of it.

use std::sync::Arc;

use contracts::orders::{Order, OrderStatus};
use contracts::users::Actor;
use kernel::OrderId;
use platform::http::Answer;
use platform::idempotency::{self, Begin, KeyedRequest, Ticket};

use crate::Context;
use crate::app::change_status::{SETTLE, Step, move_to};
use crate::domain::transitions::By;
use crate::error::OrdersError;
use crate::store::{lines, orders};

/// `POST /orders/{id}/cancel`: an owner may cancel what is pending or confirmed, an admin also what is being packed.
pub(crate) async fn cancel_order(
    context: &Arc<Context>,
    order_id: OrderId,
    actor: Actor,
    key: Option<KeyedRequest>,
) -> Result<Answer<Order>, OrdersError> {
    let working = context.clone();
    context.db.system().to_the_end(async move { cancel(&working, order_id, actor, key).await }).await?
}

async fn cancel(
    context: &Context,
    order_id: OrderId,
    actor: Actor,
    key: Option<KeyedRequest>,
) -> Result<Answer<Order>, OrdersError> {
    // A key that a crash left open has no effect behind it, as the work is one transaction: it is simply done again.
    let ticket = match idempotency::begin::<Order>(&context.db, key).await? {
        Begin::Replay(order) => return Ok(Answer::replayed(order)),
        Begin::Work(ticket) => ticket,
    };
    match work(context, order_id, actor, &ticket).await {
        Ok(order) => Ok(Answer::fresh(order)),
        Err(error) => {
            // Refused, or failed and rolled back. If the commit happened and its answer was lost, the key is done:
            // withdrawing leaves it so, and a retry hears the outcome.
            ticket.withdraw(&context.db).await?;
            Err(error)
        }
    }
}

async fn work(
    context: &Context,
    order_id: OrderId,
    actor: Actor,
    ticket: &Ticket,
) -> Result<Order, OrdersError> {
    let mut tx = context.db.begin().await?;
    let Some(before) = orders::find_for_update(tx.conn(), order_id, actor).await? else {
        return Err(OrdersError::NotFound);
    };
    let by = if actor.is_admin() { By::Admin } else { By::OwnerByCancel };
    let step = Step { to: OrderStatus::Cancelled, actor_id: Some(actor.user_id), reason: None };
    let after = move_to(&mut tx, &before, step, by).await?;
    let order = after.order(&lines::of(tx.conn(), after.id).await?)?;
    ticket.complete(&tx, &order).await?;
    tx.commit().await?.settle(SETTLE).await;
    Ok(order)
}
