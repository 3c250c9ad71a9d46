//! The port of `orders`, far away.

use std::sync::Arc;

use actix_web::web;
use async_trait::async_trait;
use contracts::orders::{
    BeginPaymentRefusal, OrdersPort, PayableOrder, PlaceOrder, PlaceRefusal, PlacedOrder,
};
use contracts::port::{NoRefusal, PortError};
use contracts::users::Actor;
use kernel::{OrderId, PaymentId};
use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::peer::Peer;
use crate::routes::Routes;

#[derive(Debug, Serialize, Deserialize)]
struct BeginPayment {
    order_id: OrderId,
    payment_id: PaymentId,
    actor: Actor,
}

#[derive(Debug, Serialize, Deserialize)]
struct GiveUpPayment {
    order_id: OrderId,
    payment_id: PaymentId,
}

/// The key in the request makes a second one the same: while the first still runs, the second waits for it.
const PLACE: Operation<PlaceOrder, PlacedOrder, PlaceRefusal> = Operation::idempotent("orders", "place");
/// The payment id makes a second one the same.
const BEGIN_PAYMENT: Operation<BeginPayment, PayableOrder, BeginPaymentRefusal> =
    Operation::idempotent("orders", "begin_payment");
/// Once given up, the payment no longer holds the order, and a second one does nothing.
const GIVE_UP_PAYMENT: Operation<GiveUpPayment, (), NoRefusal> =
    Operation::idempotent("orders", "give_up_payment");

struct RemoteOrders(Peer);

/// The port, asked over HTTP.
pub fn client(peer: Peer) -> Arc<dyn OrdersPort> {
    Arc::new(RemoteOrders(peer))
}

#[async_trait]
impl OrdersPort for RemoteOrders {
    async fn place(&self, request: PlaceOrder) -> Result<PlacedOrder, PortError<PlaceRefusal>> {
        self.0.call(&PLACE, &request).await
    }

    async fn begin_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
        actor: Actor,
    ) -> Result<PayableOrder, PortError<BeginPaymentRefusal>> {
        self.0.call(&BEGIN_PAYMENT, &BeginPayment { order_id, payment_id, actor }).await
    }

    async fn give_up_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
    ) -> Result<(), PortError<NoRefusal>> {
        self.0.call(&GIVE_UP_PAYMENT, &GiveUpPayment { order_id, payment_id }).await
    }
}

/// The internal routes of the port.
pub fn routes(config: &mut web::ServiceConfig, port: Arc<dyn OrdersPort>) {
    Routes::new(config, port)
        .serve(PLACE, |orders, request| async move { orders.place(request).await })
        .serve(BEGIN_PAYMENT, |orders, asked| async move {
            orders.begin_payment(asked.order_id, asked.payment_id, asked.actor).await
        })
        .serve(GIVE_UP_PAYMENT, |orders, asked| async move {
            orders.give_up_payment(asked.order_id, asked.payment_id).await
        });
}
