//! A cancelled order gives its stock back; a shipped one takes it out of the house.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::{OrderStatus, OrderStatusChanged};
use platform::bus::{EventHandler, HandleError};
use platform::inbox;

use crate::Context;
use crate::app::release::release_in;
use crate::app::ship::ship_in;

pub(crate) struct OnOrderStatusChanged {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnOrderStatusChanged {
    fn name(&self) -> &'static str {
        "inventory.on_order_status_changed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[OrderStatusChanged::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<OrderStatusChanged>().transpose()? else {
            return Ok(());
        };
        let (OrderStatus::Cancelled | OrderStatus::Shipped, Some(id)) = (event.to, event.reservation_id)
        else {
            return Ok(());
        };
        let mut tx = self.context.db.begin().await?;
        if !inbox::first_delivery(&tx, envelope, self.name()).await? {
            return Ok(());
        }
        if event.to == OrderStatus::Cancelled {
            release_in(&mut tx, id, event.order_id).await.map_err(HandleError::other)?;
        } else if !ship_in(&mut tx, id, event.order_id).await.map_err(HandleError::other)? {
            // An order cannot be shipped without its stock; `souk doctor` of both modules would show the rest.
            tracing::error!(order.id = %event.order_id, reservation.id = %id, "shipped an order that holds no stock");
        }
        tx.commit().await?;
        Ok(())
    }
}
