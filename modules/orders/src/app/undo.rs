//! Gives back what a placement or reactivation that came to nothing may hold, step by step along the table of
//! [`crate::domain::undoing`], which says what is left when the power fails, and why the intent is closed first.

use contracts::inventory::ReleaseRefusal;
use contracts::port::PortError;
use kernel::{OrderId, ReservationId};
use platform::db::Tx;
use platform::idempotency;
use sea_orm::DbErr;

use crate::Context;
use crate::domain::undoing::{Heard, Step, next};
use crate::store::{abandoned_reservations, orders};

/// What is given up. Both know their reservation by an id that nobody else has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Intent {
    /// The open key of a placement. Its order has the id of the reservation.
    Placement,
    /// The pending reservation of a cancelled order.
    Reactivation,
}

/// Undoes a placement or reactivation that has not ended. False if it has: the order was written, or someone else has
/// undone it; then nothing happens.
pub(super) async fn undo(
    context: &Context,
    intent: Intent,
    reservation_id: ReservationId,
    order_id: OrderId,
) -> Result<bool, DbErr> {
    let undoing = Undoing { context, intent, reservation_id, order_id };
    undoing.run(Step::CloseIntent).await
}

/// Releases a reservation that is on the list of abandoned ones; it stays there if inventory does not answer.
pub(super) async fn release_abandoned(
    context: &Context,
    reservation_id: ReservationId,
    order_id: OrderId,
) -> Result<bool, DbErr> {
    let undoing = Undoing { context, intent: Intent::Placement, reservation_id, order_id };
    undoing.run(Step::Release).await
}

struct Undoing<'a> {
    context: &'a Context,
    intent: Intent,
    reservation_id: ReservationId,
    order_id: OrderId,
}

impl Undoing<'_> {
    async fn run(&self, first: Step) -> Result<bool, DbErr> {
        let mut step = first;
        let mut failure = None;
        loop {
            let heard = match step {
                // One transaction. Power fails before its commit: the intent is still open, its lease runs out, and
                // the worker comes.
                Step::CloseIntent => match self.close().await {
                    Ok(true) => Heard::Done,
                    Ok(false) => Heard::NotOpen,
                    Err(error) => {
                        failure = Some(error);
                        Heard::Silent
                    }
                },
                // Power fails before or in it, or inventory is out of reach: the reservation is on the list, and the
                // worker releases it again, which is idempotent. The id is burnt for a call still on its way.
                Step::Release => self.release().await,
                // Power fails before: released once more, to no effect.
                Step::Forget => {
                    let forgotten =
                        abandoned_reservations::forget(self.context.db.writer(), self.reservation_id).await;
                    if forgotten.is_ok() { Heard::Done } else { Heard::Silent }
                }
                Step::Undone => return Ok(true),
                Step::NotOpen => return Ok(false),
                Step::Unknown => return Err(failure.unwrap_or_else(|| self.unknown())),
            };
            step = next(step, heard);
        }
    }

    /// Closes the intent, if it is still open, and remembers in the same transaction that its stock is to be released.
    async fn close(&self) -> Result<bool, DbErr> {
        let tx = self.context.db.begin().await?;
        let closed = match self.intent {
            Intent::Placement => self.close_key(&tx).await?,
            Intent::Reactivation => self.close_reactivation(&tx).await?,
        };
        if !closed {
            tx.rollback().await?;
            return Ok(false);
        }
        let now = tx.system().now();
        abandoned_reservations::remember(tx.conn(), self.reservation_id, self.order_id, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn close_key(&self, tx: &Tx) -> Result<bool, DbErr> {
        idempotency::withdraw_in(tx.conn(), self.reservation_id.uuid()).await
    }

    async fn close_reactivation(&self, tx: &Tx) -> Result<bool, DbErr> {
        let Some(before) = orders::lock_for_shop(tx.conn(), self.order_id).await? else {
            return Ok(false);
        };
        if before.pending_reservation_id != Some(self.reservation_id.uuid()) {
            return Ok(false);
        }
        let mut after = before.clone();
        after.pending_reservation_id = None;
        after.reactivating_since_ms = None;
        Ok(orders::save(tx.conn(), &before, after, tx.system().now()).await?.is_some())
    }

    async fn release(&self) -> Heard {
        match self.context.inventory.release(self.reservation_id, self.order_id).await {
            Ok(()) => Heard::Done,
            Err(PortError::Refused(ReleaseRefusal::Shipped)) => {
                tracing::error!(reservation.id = %self.reservation_id, "an abandoned reservation was shipped");
                Heard::No
            }
            Err(PortError::Unavailable { .. }) => {
                tracing::warn!(reservation.id = %self.reservation_id, order.id = %self.order_id,
                    "stock is not released yet");
                Heard::Silent
            }
        }
    }

    fn unknown(&self) -> DbErr {
        DbErr::Custom(format!("whether reservation {} is undone is unknown", self.reservation_id))
    }
}
