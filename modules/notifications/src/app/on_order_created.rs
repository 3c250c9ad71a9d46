//! An order was placed: the customer gets its list.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::OrderCreated;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{WebhookEvent, recipient, record};
use crate::domain::letter::{LetterLine, order_created};

pub(crate) struct OnOrderCreated {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnOrderCreated {
    fn name(&self) -> &'static str {
        "notifications.on_order_created"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[OrderCreated::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<OrderCreated>().transpose()? else {
            return Ok(());
        };
        let order = &event.order;
        let lines: Vec<LetterLine> = order
            .items
            .iter()
            .map(|item| LetterLine {
                name: item.name.clone(),
                quantity: item.quantity,
                line_total: item.line_total,
            })
            .collect();
        let letter = recipient(&self.context, order.user_id).await?.map(|profile| {
            let letter = order_created(profile.name.as_deref(), &order.number, &lines, order.total);
            (profile, letter)
        });
        let webhook = WebhookEvent { name: "order.created", data: serde_json::to_value(order)? };
        record(&self.context, envelope, self.name(), letter, Some(webhook)).await
    }
}
