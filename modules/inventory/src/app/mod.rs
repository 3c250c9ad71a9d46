//! One use case a file: one transaction, and the events in it.

pub(crate) mod adjust;
pub(crate) mod forget_refused;
pub(crate) mod on_order_status_changed;
pub(crate) mod open;
pub(crate) mod release;
pub(crate) mod reserve;
pub(crate) mod set_level;
pub(crate) mod ship;
pub(crate) mod transfer_stock;

use contracts::inventory::StockRanLow;
use platform::db::Tx;
use sea_orm::DbErr;

use crate::store::stock;

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
