//! Money was given back: revenue falls by it.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::payments::PaymentRefunded;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::payment_event::{announce, entry, ignore, open, record};

pub(crate) struct OnPaymentRefunded {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPaymentRefunded {
    fn name(&self) -> &'static str {
        "orders.on_payment_refunded"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PaymentRefunded::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PaymentRefunded>().transpose()? else {
            return Ok(());
        };
        let facts = &event.payment;
        let Some((mut tx, before)) = open(&self.context, envelope, self.name(), facts).await? else {
            return Ok(());
        };
        let (refunded, captured) = (facts.refunded.amount_minor, facts.captured.amount_minor);
        match before.payment()?.refund(facts.payment_id, refunded, captured) {
            Some(payment) => {
                // More than the total cannot be given back: the schema refuses it, and the event is set aside.
                let entry = entry(facts, "payment_refunded", event.amount, tx.system().now());
                let after = record(&self.context, &tx, &before, payment, false, entry).await?;
                announce(&mut tx, &after).await?;
            }
            None => ignore(&before, facts, self.name()),
        }
        tx.commit().await?;
        Ok(())
    }
}
