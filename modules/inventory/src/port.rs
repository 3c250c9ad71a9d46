//! The port, over the use cases of `app/`.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::inventory::{
    AdjustRefusal, AdjustStock, InventoryPort, OpeningStock, ReleaseRefusal, ReserveRefusal, ReserveStock,
    StockLevel,
};
use contracts::port::{NoRefusal, PortError};
use kernel::{OrderId, ReservationId, Sku};
use platform::failpoint;

use crate::Context;
use crate::app;
use crate::error::InventoryError;
use crate::store::stock;

pub(crate) struct LocalInventory {
    pub(crate) context: Arc<Context>,
}

fn unavailable<R: std::fmt::Display + std::fmt::Debug>(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PortError<R> {
    PortError::unavailable("inventory", error)
}

#[async_trait]
impl InventoryPort for LocalInventory {
    async fn reserve(&self, request: ReserveStock) -> Result<(), PortError<ReserveRefusal>> {
        failpoint::call("inventory", "reserve", async {
            app::reserve::reserve(&self.context, request).await.map_err(|error| match error {
                InventoryError::Insufficient(short) => {
                    PortError::Refused(ReserveRefusal::Insufficient(short))
                }
                InventoryError::Released => PortError::Refused(ReserveRefusal::Released),
                other => unavailable(other),
            })
        })
        .await
    }

    async fn release(&self, id: ReservationId, order_id: OrderId) -> Result<(), PortError<ReleaseRefusal>> {
        failpoint::call("inventory", "release", async {
            app::release::release(&self.context, id, order_id).await.map_err(|error| match error {
                InventoryError::Release(refusal) => PortError::Refused(refusal),
                other => unavailable(other),
            })
        })
        .await
    }

    async fn levels(&self, skus: &[Sku]) -> Result<Vec<StockLevel>, PortError<NoRefusal>> {
        failpoint::call("inventory", "levels", async {
            let rows = self.context.levels.of(skus).await.map_err(unavailable)?;
            rows.iter().map(stock::Model::level).collect::<Result<_, _>>().map_err(unavailable)
        })
        .await
    }

    async fn adjust(&self, request: AdjustStock) -> Result<StockLevel, PortError<AdjustRefusal>> {
        failpoint::call("inventory", "adjust", async {
            let row =
                app::adjust::adjust(&self.context, request, None, true).await.map_err(
                    |error| match error {
                        InventoryError::Adjust(refusal) => PortError::Refused(refusal),
                        other => unavailable(other),
                    },
                )?;
            row.level().map_err(unavailable)
        })
        .await
    }

    async fn open(&self, lines: Vec<OpeningStock>) -> Result<u64, PortError<NoRefusal>> {
        failpoint::call("inventory", "open", async {
            app::open::open(&self.context, lines).await.map_err(unavailable)
        })
        .await
    }
}
