//! Money went back: the customer is told how much.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::payments::PaymentRefunded;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{WebhookEvent, recipient, record};
use crate::domain::letter::payment_refunded;

pub(crate) struct OnPaymentRefunded {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPaymentRefunded {
    fn name(&self) -> &'static str {
        "notifications.on_payment_refunded"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PaymentRefunded::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PaymentRefunded>().transpose()? else {
            return Ok(());
        };
        let letter = recipient(&self.context, Some(event.payment.user_id)).await?.map(|profile| {
            let letter = payment_refunded(profile.name.as_deref(), event.amount);
            (profile, letter)
        });
        let webhook = WebhookEvent { name: "payment.refunded", data: serde_json::to_value(&event)? };
        record(&self.context, envelope, self.name(), letter, Some(webhook)).await
    }
}
