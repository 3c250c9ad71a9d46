//! Takes the pieces of a reservation out of the house.

use kernel::{OrderId, ReservationId};
use platform::db::Tx;

use crate::domain::reservation::State;
use crate::error::InventoryError;
use crate::store::{movements, reservation_lines, reservations, stock};

/// Ends the reservation and writes a movement for each line. False if it is not held: then nothing leaves.
pub(crate) async fn ship_in(
    tx: &mut Tx,
    id: ReservationId,
    order_id: OrderId,
) -> Result<bool, InventoryError> {
    let system = tx.system().clone();
    let now = system.now();
    if !reservations::end(tx.conn(), id, State::Shipped, now).await? {
        return Ok(false);
    }
    let mut ledger = Vec::new();
    for line in reservation_lines::of(tx.conn(), id).await? {
        let row = stock::unhold(tx.conn(), line.stock_id, line.quantity, true, now).await?;
        ledger.extend(row.map(|row| movements::Model {
            id: system.id(),
            stock_id: row.id,
            kind: "shipped".to_owned(),
            change: -line.quantity,
            on_hand_after: row.on_hand,
            reason: "shipped".to_owned(),
            order_id: Some(order_id.uuid()),
            actor_id: None,
            at_ms: now.ms(),
        }));
    }
    movements::append(tx.conn(), ledger).await?;
    Ok(true)
}
