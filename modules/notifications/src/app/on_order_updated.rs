//! Something else about an order changed: only other programs care.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::OrderUpdated;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{WebhookEvent, record};

pub(crate) struct OnOrderUpdated {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnOrderUpdated {
    fn name(&self) -> &'static str {
        "notifications.on_order_updated"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[OrderUpdated::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<OrderUpdated>().transpose()? else {
            return Ok(());
        };
        let webhook = WebhookEvent { name: "order.updated", data: serde_json::to_value(&event.order)? };
        record(&self.context, envelope, self.name(), None, Some(webhook)).await
    }
}
