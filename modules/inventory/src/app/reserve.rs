//! Holds stock for an order: every line or none.

use std::collections::BTreeMap;

use contracts::inventory::{ReserveStock, Shortage};
use kernel::Sku;
use platform::batch::Batch;

use crate::Context;
use crate::app::announce_if_low;
use crate::domain::demand;
use crate::domain::reservation::{self, State};
use crate::error::InventoryError;
use crate::store::{reservation_lines, reservations, stock};

/// Idempotent by reservation id. A second call with it finds the id taken when it has waited for the first (PostgreSQL: for the stock's
/// row, and on the unique index; SQLite: for the writer); then its own holding is rolled back, and it sees what became of the first.
pub(crate) async fn reserve(context: &Context, request: ReserveStock) -> Result<(), InventoryError> {
    let now = context.db.system().now();
    let mut tx = context.db.begin().await?;
    let id = request.reservation_id;
    let demand = demand::by_sku(&request.lines);
    let mut lines = Vec::with_capacity(demand.len());
    for (sku, pieces) in &demand {
        let Some(row) = stock::hold(tx.conn(), sku, *pieces, now).await? else {
            // Dropping the transaction gives the lines before this one back.
            tx.rollback().await?;
            // There may be too little because an earlier call with this id holds it.
            if let Some(known) = reservations::state(context.db.writer(), id).await? {
                return outcome_of(known);
            }
            return Err(InventoryError::Insufficient(shortages(context, &demand).await?));
        };
        announce_if_low(&mut tx, row.available() + pieces, &row).await?;
        lines.push(reservation_lines::Model {
            reservation_id: id.uuid(),
            stock_id: row.id,
            quantity: *pieces,
        });
    }
    let mut batch = Batch::default();
    let claim = reservations::claim_in(&mut batch, id, request.order_id, State::Held, now);
    reservation_lines::insert_all_in(&mut batch, lines);
    if batch.run(tx.conn()).await?.of(claim) == 0 {
        tx.rollback().await?;
        // Nobody deletes a reservation, so the one that was in the way is there.
        let known = reservations::state(context.db.writer(), id).await?;
        return known.map_or(Err(InventoryError::Released), outcome_of);
    }
    tx.commit().await?;
    tracing::info!(reservation.id = %id, order.id = %request.order_id, skus = demand.len(), "reserved stock");
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
