//! A payment was declined or given up. Payments says so through the port too; this is the net.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::payments::PaymentFailed;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::give_up_payment::give_up_in;
use crate::app::payment_event::{entry, open};
use crate::store::timeline;

pub(crate) struct OnPaymentFailed {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPaymentFailed {
    fn name(&self) -> &'static str {
        "orders.on_payment_failed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PaymentFailed::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PaymentFailed>().transpose()? else {
            return Ok(());
        };
        let facts = &event.payment;
        let Some((tx, before)) = open(&self.context, envelope, self.name(), facts).await? else {
            return Ok(());
        };
        give_up_in(&tx, &before, facts.payment_id).await?;
        timeline::append(tx.conn(), vec![entry(facts, "payment_failed", facts.amount, tx.system().now())])
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
