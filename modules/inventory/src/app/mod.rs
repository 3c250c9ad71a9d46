//! One use case a file: one transaction, and the events in it.

pub(crate) mod adjust;
pub(crate) mod forget_refused;
pub(crate) mod levels;
pub(crate) mod on_order_status_changed;
pub(crate) mod open;
pub(crate) mod release;
pub(crate) mod reserve;
pub(crate) mod set_level;
pub(crate) mod ship;
pub(crate) mod transfer_stock;

use contracts::audit::By;
use contracts::inventory::{StockAdjusted, StockRanLow};
use kernel::Sku;
use platform::db::Tx;
use sea_orm::DbErr;

use crate::store::{movements, stock};

/// Publishes who changed how many pieces there are.
async fn announce_adjusted(tx: &mut Tx, sku: &Sku, movement: &movements::Model, by: By) -> Result<(), DbErr> {
    tx.emit(&StockAdjusted {
        stock_id: movement.stock_id,
        sku: sku.clone(),
        change: movement.change,
        on_hand: movement.on_hand_after,
        reason: movement.reason.clone(),
        by,
    })
    .await
}

/// Publishes that a SKU ran low, if it did so just now.
async fn announce_if_low(tx: &mut Tx, available_before: i64, now: &stock::Model) -> Result<(), DbErr> {
    if available_before <= now.low_stock_threshold || !now.is_low() {
        return Ok(());
    }
    let level = now.level()?;
    tx.emit(&StockRanLow {
        stock_id: now.id,
        sku: level.sku,
        available: level.available,
        low_stock_threshold: level.low_stock_threshold,
    })
    .await
}
