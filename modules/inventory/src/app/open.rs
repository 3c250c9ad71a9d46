//! The first stock of SKUs that have none.

use contracts::inventory::OpeningStock;

use crate::Context;
use crate::domain::adjustment::MAX_ON_HAND;
use crate::error::InventoryError;
use crate::store::{movements, stock};

/// SKUs that have a record are left as they are: an import of products must never undo what was sold since. Returns
/// how many were new.
pub(crate) async fn open(context: &Context, lines: Vec<OpeningStock>) -> Result<u64, InventoryError> {
    let system = context.db.system();
    let now = system.now();
    let rows = lines
        .into_iter()
        .map(|line| stock::Model {
            id: system.id(),
            sku: line.sku.as_str().to_owned(),
            on_hand: line.on_hand.clamp(0, MAX_ON_HAND),
            reserved: 0,
            low_stock_threshold: context.settings.low_stock_threshold,
            version: 1,
            updated_at_ms: now.ms(),
        })
        .collect();
    let tx = context.db.begin().await?;
    let created = stock::create_missing(tx.conn(), rows).await?;
    let ledger = created.iter().map(|row| movements::Model {
        id: system.id(),
        stock_id: row.id,
        kind: "opening".to_owned(),
        change: row.on_hand,
        on_hand_after: row.on_hand,
        reason: "opening stock".to_owned(),
        order_id: None,
        actor_id: None,
        at_ms: now.ms(),
    });
    movements::append(tx.conn(), ledger.collect()).await?;
    tx.commit().await?;
    Ok(u64::try_from(created.len()).unwrap_or(u64::MAX))
}
