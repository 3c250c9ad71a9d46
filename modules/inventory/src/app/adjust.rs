//! Adds pieces, or takes some away, with a reason.

use contracts::inventory::{AdjustRefusal, AdjustStock};
use platform::db::Tx;
use uuid::Uuid;

use crate::Context;
use crate::app::{announce_adjusted, announce_if_low};
use crate::domain::adjustment::{Change, MAX_ON_HAND, Reason};
use crate::error::InventoryError;
use crate::store::{movements, refused_movements, stock};

/// Idempotent by movement id, refusals for want of stock included: what was refused is not made later. With an expected version,
/// only that version is changed. With `create`, a SKU that has no record gets one, unless something is to be taken.
pub(crate) async fn adjust(
    context: &Context,
    request: AdjustStock,
    expected_version: Option<i64>,
    create: bool,
) -> Result<stock::Model, InventoryError> {
    let change = Change::parse(request.change)?;
    let reason = Reason::parse(&request.reason)?;
    let sku = &request.sku;
    let system = context.db.system();
    let now = system.now();
    let mut tx = context.db.begin().await?;
    if create && change.get() > 0 {
        let empty = stock::Model {
            id: system.id(),
            sku: sku.as_str().to_owned(),
            on_hand: 0,
            reserved: 0,
            low_stock_threshold: context.settings.low_stock_threshold,
            version: 1,
            updated_at_ms: now.ms(),
        };
        stock::create_missing(tx.conn(), vec![empty]).await?;
    }
    let Some(before) = stock::find_for_update(tx.conn(), sku).await? else {
        let without_a_record = AdjustRefusal::Insufficient { sku: sku.clone(), available: 0 };
        return match create {
            true => refuse(tx, request.movement_id, without_a_record).await,
            false => Err(InventoryError::NotFound(sku.clone())),
        };
    };
    if movements::exists(tx.conn(), request.movement_id).await? {
        return Ok(before);
    }
    let refusal = if before.on_hand.saturating_add(change.get()) > MAX_ON_HAND {
        AdjustRefusal::InvalidChange
    } else {
        AdjustRefusal::Insufficient { sku: sku.clone(), available: before.available() }
    };
    if refused_movements::exists(tx.conn(), request.movement_id).await? {
        return Err(refusal.into());
    }
    if expected_version.is_some_and(|version| version != before.version) {
        return Err(InventoryError::Changed { version: before.version });
    }
    let Some(row) = stock::change(tx.conn(), sku, change.get(), None, now).await? else {
        return refuse(tx, request.movement_id, refusal).await;
    };
    let movement = movements::Model {
        id: request.movement_id,
        stock_id: row.id,
        kind: "adjusted".to_owned(),
        change: change.get(),
        on_hand_after: row.on_hand,
        reason: reason.into_text(),
        order_id: None,
        actor_id: request.by.user_id().map(kernel::UserId::uuid),
        at_ms: now.ms(),
    };
    announce_adjusted(&mut tx, sku, &movement, request.by).await?;
    movements::append(tx.conn(), vec![movement]).await?;
    announce_if_low(&mut tx, before.available(), &row).await?;
    tx.commit().await?;
    tracing::info!(%sku, change = change.get(), on_hand = row.on_hand, "adjusted stock");
    Ok(row)
}

/// Whoever asked is told no for good. Power fails before the commit: nothing was said, and the same may be asked again.
async fn refuse<T>(tx: Tx, movement_id: Uuid, refusal: AdjustRefusal) -> Result<T, InventoryError> {
    refused_movements::remember(tx.conn(), movement_id, tx.system().now()).await?;
    tx.commit().await?;
    Err(refusal.into())
}
