//! An order went on, or was called off.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::OrderStatusChanged;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{WebhookEvent, recipient, record};
use crate::domain::letter::order_status;

pub(crate) struct OnOrderStatusChanged {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnOrderStatusChanged {
    fn name(&self) -> &'static str {
        "notifications.on_order_status_changed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[OrderStatusChanged::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<OrderStatusChanged>().transpose()? else {
            return Ok(());
        };
        let letter = recipient(&self.context, event.user_id).await?.and_then(|profile| {
            let letter = order_status(profile.name.as_deref(), &event.number, event.to)?;
            Some((profile, letter))
        });
        let data = serde_json::json!({
            "order_id": event.order_id,
            "number": event.number,
            "user_id": event.user_id,
            "from": event.from,
            "to": event.to,
            "total": event.total,
            "reason": event.reason,
        });
        let webhook = WebhookEvent { name: "order.status_changed", data };
        record(&self.context, envelope, self.name(), letter, Some(webhook)).await
    }
}
