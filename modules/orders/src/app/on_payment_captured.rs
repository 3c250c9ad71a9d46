//! The money was taken: a pending order is confirmed.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::OrderStatus;
use contracts::payments::PaymentCaptured;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::change_status::{Step, move_to};
use crate::app::payment_event::{announce, entry, ignore, open, record};
use crate::domain::transitions::By;

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
        let Some((mut tx, before)) = open(&self.context, envelope, self.name(), facts).await? else {
            return Ok(());
        };
        let Some(payment) = before.payment()?.capture(facts.payment_id) else {
            ignore(&before, facts, self.name());
            tx.commit().await?;
            return Ok(());
        };
        let captured = entry(&tx, facts, "payment_captured", facts.captured);
        let mut row = record(&self.context, &tx, &before, payment, false, captured).await?;
        // An admin may have moved it on by hand, or cancelled it; then only the money is noted.
        if row.status()? == OrderStatus::Pending {
            let step = Step { to: OrderStatus::Confirmed, actor_id: None, reason: Some("payment_captured") };
            row = move_to(&mut tx, &row, step, By::Shop).await.map_err(HandleError::other)?;
        }
        announce(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(())
    }
}
