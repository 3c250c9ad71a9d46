//! The net under the checkout: if the process died after the order was placed and before its cart was closed, the
//! order's own event closes it.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::OrderCreated;
use platform::bus::{EventHandler, HandleError};
use platform::inbox;

use crate::Context;
use crate::app::settle::settle_in;

pub(crate) struct OnOrderCreated {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnOrderCreated {
    fn name(&self) -> &'static str {
        "cart.on_order_created"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[OrderCreated::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<OrderCreated>().transpose()? else {
            return Ok(());
        };
        let Some(cart_id) = event.cart_id else {
            return Ok(());
        };
        let tx = self.context.db.begin().await?;
        if !inbox::first_delivery(&tx, envelope, self.name()).await? {
            return Ok(());
        }
        settle_in(&tx, cart_id, &event.order).await.map_err(HandleError::other)?;
        tx.commit().await?;
        Ok(())
    }
}
