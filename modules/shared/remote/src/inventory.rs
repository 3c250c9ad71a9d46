//! The port of `inventory`, far away.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use async_trait::async_trait;
use contracts::inventory::{
    AdjustRefusal, AdjustStock, InventoryPort, OpeningStock, ReleaseRefusal, ReserveRefusal, ReserveStock,
    StockLevel,
};
use contracts::port::{NoRefusal, PortError};
use kernel::{OrderId, ReservationId, Sku};
use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::peer::Peer;
use crate::routes::Routes;

#[derive(Debug, Serialize, Deserialize)]
struct Release {
    reservation_id: ReservationId,
    order_id: OrderId,
}

#[derive(Debug, Serialize, Deserialize)]
struct Levels {
    skus: Vec<Sku>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    lines: Vec<OpeningStock>,
}

/// The reservation id makes a second one the same.
const RESERVE: Operation<ReserveStock, (), ReserveRefusal> = Operation::idempotent("inventory", "reserve");
/// A released reservation stays released.
const RELEASE: Operation<Release, (), ReleaseRefusal> = Operation::idempotent("inventory", "release");
/// A read, and one that decorates pages: they can do without it sooner than they can wait for it.
const LEVELS: Operation<Levels, Vec<StockLevel>, NoRefusal> =
    Operation::idempotent("inventory", "levels").within(Duration::from_secs(2));
/// The movement id makes a second one the same.
const ADJUST: Operation<AdjustStock, StockLevel, AdjustRefusal> =
    Operation::idempotent("inventory", "adjust");
/// Known SKUs are left as they are, so a second one changes nothing; only its number of new ones is then smaller.
const OPEN: Operation<Open, u64, NoRefusal> = Operation::idempotent("inventory", "open");

struct RemoteInventory(Peer);

/// The port, asked over HTTP.
pub fn client(peer: Peer) -> Arc<dyn InventoryPort> {
    Arc::new(RemoteInventory(peer))
}

#[async_trait]
impl InventoryPort for RemoteInventory {
    async fn reserve(&self, request: ReserveStock) -> Result<(), PortError<ReserveRefusal>> {
        self.0.call(&RESERVE, &request).await
    }

    async fn release(
        &self,
        reservation_id: ReservationId,
        order_id: OrderId,
    ) -> Result<(), PortError<ReleaseRefusal>> {
        self.0.call(&RELEASE, &Release { reservation_id, order_id }).await
    }

    async fn levels(&self, skus: &[Sku]) -> Result<Vec<StockLevel>, PortError<NoRefusal>> {
        self.0.call(&LEVELS, &Levels { skus: skus.to_vec() }).await
    }

    async fn adjust(&self, request: AdjustStock) -> Result<StockLevel, PortError<AdjustRefusal>> {
        self.0.call(&ADJUST, &request).await
    }

    async fn open(&self, lines: Vec<OpeningStock>) -> Result<u64, PortError<NoRefusal>> {
        self.0.call(&OPEN, &Open { lines }).await
    }
}

/// The internal routes of the port.
pub fn routes(config: &mut web::ServiceConfig, port: Arc<dyn InventoryPort>) {
    Routes::new(config, port)
        .serve(RESERVE, |inventory, request| async move { inventory.reserve(request).await })
        .serve(RELEASE, |inventory, asked| async move {
            inventory.release(asked.reservation_id, asked.order_id).await
        })
        .serve(LEVELS, |inventory, asked| async move { inventory.levels(&asked.skus).await })
        .serve(ADJUST, |inventory, request| async move { inventory.adjust(request).await })
        .serve(OPEN, |inventory, asked| async move { inventory.open(asked.lines).await });
}
