//! The port, over the use cases of `app/`.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::orders::{
    BeginPaymentRefusal, OrdersPort, PayableOrder, PlaceOrder, PlaceRefusal, PlacedOrder,
};
use contracts::port::{NoRefusal, PortError};
use contracts::users::Actor;
use kernel::{OrderId, PaymentId};
use platform::failpoint;
use platform::idempotency::IdempotencyError;

use crate::Context;
use crate::app;
use crate::error::OrdersError;

pub(crate) struct LocalOrders {
    pub(crate) context: Arc<Context>,
}

fn unavailable<R: std::fmt::Display + std::fmt::Debug>(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PortError<R> {
    PortError::unavailable("orders", error)
}

#[async_trait]
impl OrdersPort for LocalOrders {
    async fn place(&self, request: PlaceOrder) -> Result<PlacedOrder, PortError<PlaceRefusal>> {
        failpoint::call("orders", "place", async {
            app::place_order::place_order(&self.context, request).await.map_err(|error| match error {
                OrdersError::Refused(refused) => PortError::Refused(refused.refusal),
                OrdersError::Insufficient { shortages, .. } => {
                    PortError::Refused(PlaceRefusal::InsufficientStock(shortages))
                }
                OrdersError::Idempotency(IdempotencyError::KeyReused) => {
                    PortError::Refused(PlaceRefusal::KeyReused)
                }
                OrdersError::Idempotency(IdempotencyError::InProgress | IdempotencyError::TakenOver) => {
                    PortError::Refused(PlaceRefusal::KeyInProgress)
                }
                other => unavailable(other),
            })
        })
        .await
    }

    async fn begin_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
        actor: Actor,
    ) -> Result<PayableOrder, PortError<BeginPaymentRefusal>> {
        failpoint::call("orders", "begin_payment", async {
            app::begin_payment::begin_payment(&self.context, order_id, payment_id, actor)
                .await
                .map_err(unavailable)?
                .map_err(PortError::Refused)
        })
        .await
    }

    async fn give_up_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
    ) -> Result<(), PortError<NoRefusal>> {
        failpoint::call("orders", "give_up_payment", async {
            app::give_up_payment::give_up_payment(&self.context, order_id, payment_id)
                .await
                .map_err(unavailable)
        })
        .await
    }
}
