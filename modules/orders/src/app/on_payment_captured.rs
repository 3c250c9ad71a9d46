//! The money was taken: a pending order is confirmed.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::{OrderStatus, OrderUpdated};
use contracts::payments::{PaymentCaptured, PaymentFacts};
use platform::batch::{Batch, Ran};
use platform::bus::{EventHandler, HandleError};
use platform::inbox;

use crate::Context;
use crate::app::change_status::{Step, log, move_to, moved, told};
use crate::app::payment_event::{announce, entry, ignore, open, record};
use crate::domain::transitions::By;
use crate::store::{lines, orders, timeline};

/// What the timeline says of the money, and of the status that follows it.
const CAPTURED: &str = "payment_captured";
const CONFIRMED: Step = Step { to: OrderStatus::Confirmed, actor_id: None, reason: Some(CAPTURED) };

pub(crate) struct OnPaymentCaptured {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPaymentCaptured {
    fn name(&self) -> &'static str {
        "orders.on_payment_captured"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PaymentCaptured::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PaymentCaptured>().transpose()? else {
            return Ok(());
        };
        let facts = &event.payment;
        if self.confirm_at_once(envelope, facts).await? {
            return Ok(());
        }
        let Some((mut tx, before)) = open(&self.context, envelope, self.name(), facts).await? else {
            return Ok(());
        };
        let Some(payment) = before.payment()?.capture(facts.payment_id) else {
            ignore(&before, facts, self.name());
            tx.commit().await?;
            return Ok(());
        };
        let captured = entry(facts, CAPTURED, facts.captured, tx.system().now());
        let mut row = record(&self.context, &tx, &before, payment, false, captured).await?;
        // An admin may have moved it on by hand, or cancelled it; then only the money is noted.
        if row.status()? == OrderStatus::Pending {
            row = move_to(&mut tx, &row, CONFIRMED, By::Shop).await.map_err(HandleError::other)?;
        }
        announce(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl OnPaymentCaptured {
    /// The usual case in one statement: the order waits for this payment, and is the same when that is written, with its confirmation. False if it
    /// is not that; then nothing was changed. Whoever changes an order counts its version, so its events are in the order of its changes
    /// although its row is not locked first.
    async fn confirm_at_once(&self, envelope: &Envelope, facts: &PaymentFacts) -> Result<bool, HandleError> {
        let db = &self.context.db;
        let Some(before) = orders::find_for_shop(db.reader(), facts.order_id).await? else {
            return Ok(false);
        };
        let Some(payment) = before.payment()?.capture(facts.payment_id) else { return Ok(false) };
        let (system, now) = (db.system(), db.system().now());
        let mut paid = before.clone();
        paid.set_payment(payment, now);
        let Ok(confirmed) = moved(&paid, CONFIRMED, By::Shop) else { return Ok(false) };
        let lines = lines::of(db.reader(), before.id).await?;

        let mut batch = Batch::default();
        let is_new = inbox::first_delivery_in(&mut batch, envelope, self.name(), system);
        let (saved, after) = orders::save_in(&mut batch, &before, confirmed, now);
        batch.must(saved);
        let captured = entry(facts, CAPTURED, facts.captured, now);
        let (confirmation, changed) = told(&paid, &after, CONFIRMED, now)?;
        timeline::append_all_in(&mut batch, [captured, confirmation]);
        batch.emit(system, &changed)?;
        batch.emit(system, &OrderUpdated { order: after.order(&lines)? })?;
        Ok(match db.commit(batch).await? {
            Ran::Done(_) => {
                log(&changed);
                true
            }
            // Dealt with before.
            Ran::Refused(refused) => refused == is_new,
        })
    }
}
