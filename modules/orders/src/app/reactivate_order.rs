//! Brings a cancelled order back: `cancelled → pending` takes the stock again.
//!
//! A small saga like [`crate::app::place_order`], along the table of [`crate::domain::reactivating`]; its memory is
//! `pending_reservation_id` on the order itself. Each reactivation reserves under an id of its own, because the id of the
//! round before is burnt.

use contracts::inventory::{ReserveRefusal, ReserveStock, StockLine};
use contracts::orders::{Order, OrderStatus};
use contracts::port::PortError;
use kernel::{OrderId, Quantity, ReservationId, Sku};
use platform::lease;
use sea_orm::DbErr;

use crate::Context;
use crate::app::change_status::{self, ChangeStatus, by_status, find_expected, record};
use crate::app::undo::{Intent, undo};
use crate::domain::reactivating::{Heard, Step, next};
use crate::domain::transitions::{self, TransitionRefusal};
use crate::error::OrdersError;
use crate::store::{lines, orders};

pub(super) async fn reactivate_order(
    context: &Context,
    request: ChangeStatus,
) -> Result<(Order, i64), OrdersError> {
    // Power fails before the intent is written: nothing happened. After it: the worker finds the pending id when it is
    // older than a lease, and abandons it.
    let reservation_id = intend(context, request).await?;
    let renew = || renew(context, request.order_id, reservation_id);
    lease::keep(renew, take_up(context, request, reservation_id)).await
}

/// What follows the intent.
async fn take_up(
    context: &Context,
    request: ChangeStatus,
    reservation_id: ReservationId,
) -> Result<(Order, i64), OrdersError> {
    let mut step = next(Step::Intend, Heard::Done);
    let mut end = Err(TransitionRefusal::BeingReactivated.into());
    loop {
        let heard = match step {
            // Power fails before, in or after it: the same. Released, the id is burnt for a call still on its way.
            Step::Reserve => match reserve(context, request.order_id, reservation_id).await {
                Ok(()) => Heard::Done,
                Err(error) => fail(&mut end, error),
            },
            // One transaction. Power fails before its commit: as above. After it: the order is pending again.
            Step::Confirm => match confirm(context, request, reservation_id).await {
                Ok(done) => {
                    end = Ok(done);
                    Heard::Done
                }
                Err(error) => fail(&mut end, error),
            },
            // If the commit happened though its answer was lost, the id is pending no more and nothing is abandoned.
            Step::Abandon => {
                match undo(context, Intent::Reactivation, reservation_id, request.order_id).await {
                    Ok(true) => Heard::Done,
                    Ok(false) => Heard::No,
                    Err(error) => {
                        tracing::warn!(order.id = %request.order_id, %error, "a reactivation is left to the worker");
                        Heard::Silent
                    }
                }
            }
            Step::Intend | Step::Answer | Step::Refuse => return end,
        };
        step = next(step, heard);
    }
}

/// The reactivation belongs to this request for a while longer, if it has not ended.
async fn renew(context: &Context, order_id: OrderId, reservation_id: ReservationId) -> Result<(), DbErr> {
    let (writer, now) = (context.db.writer(), context.db.system().now());
    orders::go_on_reactivating(writer, order_id, reservation_id, now).await
}

/// Keeps the cause for the client.
fn fail<T>(end: &mut Result<T, OrdersError>, error: OrdersError) -> Heard {
    let heard = match &error {
        OrdersError::Database(_) | OrdersError::Unavailable(_) => Heard::Silent,
        _ => Heard::No,
    };
    *end = Err(error);
    heard
}

async fn reserve(
    context: &Context,
    order_id: OrderId,
    reservation_id: ReservationId,
) -> Result<(), OrdersError> {
    let demand = demand(context, order_id, reservation_id).await?;
    context.inventory.reserve(demand).await.map_err(|error| match error {
        PortError::Refused(ReserveRefusal::Insufficient(shortages)) => {
            OrdersError::Insufficient { shortages, replayed: false }
        }
        // The worker gave this attempt up for dead while it still ran.
        PortError::Refused(ReserveRefusal::Released) => TransitionRefusal::BeingReactivated.into(),
        silent @ PortError::Unavailable { .. } => OrdersError::silent(silent),
    })
}

async fn intend(context: &Context, request: ChangeStatus) -> Result<ReservationId, OrdersError> {
    let tx = context.db.begin().await?;
    let before = find_expected(&tx, request).await?;
    transitions::check(before.status()?, request.to, before.payment()?.status, by_status(request.actor))?;
    if before.pending_reservation_id.is_some() {
        return Err(TransitionRefusal::BeingReactivated.into());
    }
    let now = tx.system().now();
    let reservation_id = tx.system().id();
    let mut after = before.clone();
    after.pending_reservation_id = Some(reservation_id);
    after.reactivating_since_ms = Some(now.ms());
    if orders::save(tx.conn(), &before, after, now).await?.is_none() {
        return Err(OrdersError::Changed { version: before.version });
    }
    tx.commit().await?;
    Ok(ReservationId(reservation_id))
}

/// What the order needs: its lines, which never change.
async fn demand(
    context: &Context,
    order_id: OrderId,
    reservation_id: ReservationId,
) -> Result<ReserveStock, OrdersError> {
    let rows = lines::of(context.db.reader(), order_id.uuid()).await?;
    let unreadable = |error: String| DbErr::Custom(format!("order {order_id}: {error}"));
    let lines = rows
        .iter()
        .map(|row| {
            Ok(StockLine {
                sku: Sku::parse(&row.sku).map_err(|error| unreadable(error.to_string()))?,
                quantity: Quantity::parse(row.quantity).map_err(|error| unreadable(error.to_string()))?,
            })
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    Ok(ReserveStock { reservation_id, order_id, lines })
}

/// The order is pending under its new reservation, and its payment window starts anew.
async fn confirm(
    context: &Context,
    request: ChangeStatus,
    reservation_id: ReservationId,
) -> Result<(Order, i64), OrdersError> {
    let mut tx = context.db.begin().await?;
    let found = orders::find_for_update(tx.conn(), request.order_id, request.actor).await?;
    let before = found.ok_or(OrdersError::NotFound)?;
    if before.pending_reservation_id != Some(reservation_id.uuid()) {
        return Err(TransitionRefusal::BeingReactivated.into());
    }
    transitions::check(before.status()?, request.to, before.payment()?.status, by_status(request.actor))?;
    let mut after = before.clone();
    after.status = OrderStatus::Pending.as_str().to_owned();
    after.reservation_id = Some(reservation_id.uuid());
    after.pending_reservation_id = None;
    after.reactivating_since_ms = None;
    after.payment_due_at_ms = Some(tx.system().now().plus(context.payment_window()).ms());
    let step = change_status::Step {
        to: request.to,
        actor_id: Some(request.actor.user_id),
        reason: Some("reactivated"),
    };
    let after = record(&mut tx, &before, after, step).await?;
    let order = after.order(&lines::of(tx.conn(), after.id).await?)?;
    tx.commit().await?;
    Ok((order, after.version))
}
