//! Money was taken: the customer gets a receipt.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::payments::PaymentCaptured;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{WebhookEvent, recipient, record};
use crate::domain::letter::payment_captured;

pub(crate) struct OnPaymentCaptured {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPaymentCaptured {
    fn name(&self) -> &'static str {
        "notifications.on_payment_captured"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PaymentCaptured::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PaymentCaptured>().transpose()? else {
            return Ok(());
        };
        let letter = recipient(&self.context, Some(event.payment.user_id)).await?.map(|profile| {
            let letter = payment_captured(profile.name.as_deref(), event.payment.captured);
            (profile, letter)
        });
        let webhook = WebhookEvent { name: "payment.captured", data: serde_json::to_value(&event)? };
        record(&self.context, envelope, self.name(), letter, Some(webhook)).await
    }
}
