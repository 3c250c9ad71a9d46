//! Holds stock for an order: every line or none.

use std::collections::BTreeMap;

use contracts::inventory::{ReserveStock, Shortage};
use kernel::Sku;
use platform::batch::{Batch, Ran};
use platform::group_commit::Shape;

use crate::Context;
use crate::app::announce_if_low;
use crate::domain::demand;
use crate::domain::reservation::{self, State};
use crate::error::InventoryError;
use crate::store::{reservation_lines, reservations, stock};

/// More SKUs than this are taken one by one: a statement for each number of them would be prepared and kept.
const MOST_AT_ONCE: usize = 8;

/// Idempotent by reservation id. A second call with it finds the id taken when it has waited for the first (PostgreSQL: for the stock's
/// row, and on the unique index; SQLite: for the writer); then its own holding is rolled back, and it sees what became of the first.
pub(crate) async fn reserve(context: &Context, request: ReserveStock) -> Result<(), InventoryError> {
    let demand = demand::by_sku(&request.lines);
    // Nearly always there is enough, of goods that do not run low by it, and nobody has come before.
    if demand.len() > MOST_AT_ONCE || !hold_at_once(context, &request, &demand).await? {
        hold_one_by_one(context, &request, &demand).await?;
    }
    tracing::info!(reservation.id = %request.reservation_id, order.id = %request.order_id, skus = demand.len(), "reserved stock");
    Ok(())
}

/// One batch for all; false if it was refused, and nothing has happened.
async fn hold_at_once(
    context: &Context,
    request: &ReserveStock,
    demand: &BTreeMap<Sku, i64>,
) -> Result<bool, InventoryError> {
    let now = context.db.system().now();
    let id = request.reservation_id;
    let mut batch = Batch::default();
    let mut held = None;
    for (sku, pieces) in demand {
        held = Some(stock::hold_in(&mut batch, sku, *pieces, now, held));
    }
    reservations::claim_held_in(&mut batch, id, request.order_id, now, held);
    for (sku, pieces) in demand {
        reservation_lines::insert_in(&mut batch, id, sku, *pieces, held);
    }
    let committed = match demand.keys().next() {
        // Most orders are of one SKU: those of different ones share the way to the database.
        Some(sku) if demand.len() == 1 => {
            batch.contends_for(sku.as_str());
            context.db.commit_with_others(Shape("inventory.hold_at_once", 1), batch).await?
        }
        _ => context.db.commit(batch).await?,
    };
    Ok(matches!(committed, Ran::Done(_)))
}

/// One statement after the other: it says what falls short, and announces what runs low.
async fn hold_one_by_one(
    context: &Context,
    request: &ReserveStock,
    demand: &BTreeMap<Sku, i64>,
) -> Result<(), InventoryError> {
    let now = context.db.system().now();
    let id = request.reservation_id;
    let mut tx = context.db.begin().await?;
    let mut lines = Vec::with_capacity(demand.len());
    for (sku, pieces) in demand {
        let Some(row) = stock::hold(tx.conn(), sku, *pieces, now).await? else {
            // Dropping the transaction gives the lines before this one back.
            tx.rollback().await?;
            // There may be too little because an earlier call with this id holds it.
            if let Some(known) = reservations::state(context.db.writer(), id).await? {
                return outcome_of(known);
            }
            return Err(InventoryError::Insufficient(shortages(context, demand).await?));
        };
        announce_if_low(&mut tx, row.available() + pieces, &row).await?;
        lines.push(reservation_lines::Model {
            reservation_id: id.uuid(),
            stock_id: row.id,
            quantity: *pieces,
        });
    }
    if !reservations::claim(tx.conn(), id, request.order_id, State::Held, now).await? {
        tx.rollback().await?;
        // Nobody deletes a reservation, so the one that was in the way is there.
        let known = reservations::state(context.db.writer(), id).await?;
        return known.map_or(Err(InventoryError::Released), outcome_of);
    }
    reservation_lines::insert_all(tx.conn(), lines).await?;
    tx.commit().await?;
    Ok(())
}

/// What a repeated call hears.
fn outcome_of(known: State) -> Result<(), InventoryError> {
    reservation::reserve(Some(known)).map(|_| ()).map_err(|_burnt| InventoryError::Released)
}

/// What falls short now. If stock came back between the refusal and this look, the list may be empty of true shortages; then
/// every line is listed with what there is, so that the caller can decide.
async fn shortages(context: &Context, demand: &BTreeMap<Sku, i64>) -> Result<Vec<Shortage>, InventoryError> {
    let skus: Vec<Sku> = demand.keys().cloned().collect();
    let rows = stock::find_all(context.db.reader(), &skus).await?;
    let all: Vec<Shortage> = demand
        .iter()
        .map(|(sku, requested)| Shortage {
            sku: sku.clone(),
            requested: *requested,
            available: rows.iter().find(|row| row.sku == sku.as_str()).map_or(0, stock::Model::available),
        })
        .collect();
    let short: Vec<Shortage> = all.iter().filter(|line| line.requested > line.available).cloned().collect();
    Ok(if short.is_empty() { all } else { short })
}
