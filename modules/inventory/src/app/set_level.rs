//! Sets the stock to a counted number, by writing the difference as a movement.

use contracts::audit::By;
use contracts::inventory::AdjustRefusal;
use kernel::{Sku, UserId};
use platform::db::Tx;

use crate::Context;
use crate::app::{announce_adjusted, announce_if_low};
use crate::domain::adjustment::MAX_ON_HAND;
use crate::error::InventoryError;
use crate::store::{movements, stock};

/// What a shopkeeper counted.
pub(crate) struct SetLevel {
    pub(crate) sku: Sku,
    pub(crate) on_hand: i64,
    /// Left as it is if `None`.
    pub(crate) low_stock_threshold: Option<i64>,
    pub(crate) by: By,
    /// The version the client read, if it said so with `If-Match`.
    pub(crate) expected_version: Option<i64>,
}

/// What setting it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Created,
    Updated,
    Unchanged,
}

pub(crate) async fn set_level(
    context: &Context,
    request: SetLevel,
) -> Result<(stock::Model, Effect), InventoryError> {
    let mut tx = context.db.begin().await?;
    let done = set_level_in(context, &mut tx, &request).await?;
    tx.commit().await?;
    tracing::info!(sku = %request.sku, on_hand = request.on_hand, "set stock");
    Ok(done)
}

/// The same inside a transaction of the caller's, for imports.
pub(crate) async fn set_level_in(
    context: &Context,
    tx: &mut Tx,
    request: &SetLevel,
) -> Result<(stock::Model, Effect), InventoryError> {
    let threshold_fits =
        request.low_stock_threshold.is_none_or(|threshold| (0..=MAX_ON_HAND).contains(&threshold));
    if !(0..=MAX_ON_HAND).contains(&request.on_hand) || !threshold_fits {
        return Err(AdjustRefusal::InvalidChange.into());
    }
    let system = tx.system().clone();
    let now = system.now();
    let mut movement = movements::Model {
        id: system.id(),
        stock_id: system.id(),
        kind: "set".to_owned(),
        change: 0,
        on_hand_after: request.on_hand,
        reason: "counted".to_owned(),
        order_id: None,
        actor_id: request.by.user_id().map(UserId::uuid),
        at_ms: now.ms(),
    };
    let Some(before) = stock::find_for_update(tx.conn(), &request.sku).await? else {
        if request.expected_version.is_some() {
            return Err(InventoryError::Changed { version: 0 });
        }
        let row = stock::Model {
            id: movement.stock_id,
            sku: request.sku.as_str().to_owned(),
            on_hand: request.on_hand,
            reserved: 0,
            low_stock_threshold: request.low_stock_threshold.unwrap_or(context.settings.low_stock_threshold),
            version: 1,
            updated_at_ms: now.ms(),
        };
        let created = stock::create_missing(tx.conn(), vec![row.clone()]).await?;
        if created.is_empty() {
            // Someone else created it since; the client may try again.
            return Err(InventoryError::Changed { version: 1 });
        }
        movement.kind = "opening".to_owned();
        movement.change = request.on_hand;
        announce_adjusted(tx, &request.sku, &movement, request.by).await?;
        movements::append(tx.conn(), vec![movement]).await?;
        return Ok((row, Effect::Created));
    };
    if request.expected_version.is_some_and(|version| version != before.version) {
        return Err(InventoryError::Changed { version: before.version });
    }
    let change = request.on_hand - before.on_hand;
    let threshold = request.low_stock_threshold.filter(|threshold| *threshold != before.low_stock_threshold);
    if change == 0 && threshold.is_none() {
        return Ok((before, Effect::Unchanged));
    }
    let Some(row) = stock::change(tx.conn(), &request.sku, change, threshold, now).await? else {
        return Err(
            AdjustRefusal::Insufficient { sku: request.sku.clone(), available: before.available() }.into()
        );
    };
    if change != 0 {
        movement.stock_id = row.id;
        movement.change = change;
        announce_adjusted(tx, &request.sku, &movement, request.by).await?;
        movements::append(tx.conn(), vec![movement]).await?;
    }
    announce_if_low(tx, before.available(), &row).await?;
    Ok((row, Effect::Updated))
}
