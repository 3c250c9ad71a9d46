//! The hold on the money was lifted: the order is unpaid again.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::OrderStatus;
use contracts::payments::PaymentVoided;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::payment_event::{announce, entry, ignore, open, record};
use crate::store::ended_payments;

pub(crate) struct OnPaymentVoided {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPaymentVoided {
    fn name(&self) -> &'static str {
        "orders.on_payment_voided"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PaymentVoided::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PaymentVoided>().transpose()? else {
            return Ok(());
        };
        let facts = &event.payment;
        let Some((mut tx, before)) = open(&self.context, envelope, self.name(), facts).await? else {
            return Ok(());
        };
        match before.payment()?.void(facts.payment_id) {
            Some(payment) => {
                // Nothing was declined: the customer gets the full time to pay in another way.
                let restart_window = before.status()? == OrderStatus::Pending;
                ended_payments::remember(tx.conn(), facts.payment_id, facts.order_id, tx.system().now())
                    .await?;
                let entry = entry(facts, "payment_voided", facts.amount, tx.system().now());
                let after = record(&self.context, &tx, &before, payment, restart_window, entry).await?;
                announce(&mut tx, &after).await?;
            }
            None => ignore(&before, facts, self.name()),
        }
        tx.commit().await?;
        Ok(())
    }
}
