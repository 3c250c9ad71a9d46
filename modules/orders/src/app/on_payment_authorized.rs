//! The provider holds the money: the order will not expire.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::payments::PaymentAuthorized;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::payment_event::{announce, entry, ignore, open, record};

pub(crate) struct OnPaymentAuthorized {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPaymentAuthorized {
    fn name(&self) -> &'static str {
        "orders.on_payment_authorized"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PaymentAuthorized::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PaymentAuthorized>().transpose()? else {
            return Ok(());
        };
        let facts = &event.payment;
        let Some((mut tx, before)) = open(&self.context, envelope, self.name(), facts).await? else {
            return Ok(());
        };
        match before.payment()?.authorize(facts.payment_id) {
            Some(payment) => {
                let entry = entry(facts, "payment_authorized", facts.amount, tx.system().now());
                let after = record(&self.context, &tx, &before, payment, false, entry).await?;
                announce(&mut tx, &after).await?;
            }
            None => ignore(&before, facts, self.name()),
        }
        tx.commit().await?;
        Ok(())
    }
}
