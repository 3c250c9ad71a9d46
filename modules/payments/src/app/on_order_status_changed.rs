//! A cancelled order gets its money back: what was captured is refunded, what is only held is let go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::orders::{OrderStatus, OrderStatusChanged};
use kernel::PaymentId;
use platform::bus::{EventHandler, HandleError};
use platform::inbox;
use platform::problem::chain;

use crate::Context;
use crate::app::{call_off, recover};
use crate::store::{attempts, intents, payments};

/// How long the delivery of the event waits for the refund that it began; the refund itself does not depend on it.
const COURTESY: Duration = Duration::from_secs(1);

pub(crate) struct OnOrderStatusChanged {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnOrderStatusChanged {
    fn name(&self) -> &'static str {
        "payments.on_order_status_changed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[OrderStatusChanged::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<OrderStatusChanged>().transpose()? else {
            return Ok(());
        };
        if event.to != OrderStatus::Cancelled {
            return Ok(());
        }
        let planned = self.plan(envelope, &event).await?;
        // Power fails here: the attempts are written and nobody's; the worker carries them out.
        for attempt in planned {
            let context = self.context.clone();
            let work = async move { recover::take_and_drive(&context, attempt).await };
            let driven = tokio::time::timeout(COURTESY, self.context.db.system().to_the_end(work)).await;
            if let Ok(Ok(Err(error))) = driven {
                tracing::warn!(order.id = %event.order_id, cause = %chain(&error), "the refund is left to the worker");
            }
        }
        Ok(())
    }
}

impl OnOrderStatusChanged {
    /// The wish to give the money back, in the transaction of the inbox; nobody is called in it.
    ///
    /// Only payments that were begun before the order was cancelled: an order that was taken up again and paid anew,
    /// before this event came, keeps its new payment.
    async fn plan(
        &self,
        envelope: &Envelope,
        event: &OrderStatusChanged,
    ) -> Result<Vec<attempts::Model>, HandleError> {
        let mut tx = self.context.db.begin().await?;
        if !inbox::first_delivery(&tx, envelope, self.name()).await? {
            return Ok(Vec::new());
        }
        let now = tx.system().now();
        intents::end_all_of(tx.conn(), event.order_id, envelope.occurred_at).await?;
        let live = payments::live_of_for_update(tx.conn(), event.order_id, envelope.occurred_at).await?;
        let planned = match live {
            Some(payment) => {
                payments::call_off(tx.conn(), PaymentId(payment.id), now).await?;
                let called_off = payments::Model { called_off_at_ms: Some(now.ms()), ..payment };
                call_off::plan(&mut tx, &called_off, now).await.map_err(HandleError::other)?
            }
            None => Vec::new(),
        };
        tx.commit().await?;
        Ok(planned)
    }
}
