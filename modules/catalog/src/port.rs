//! The port, over the use cases of `app/`.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::catalog::{CatalogPort, CatalogProduct, ProductRef, QuoteRefusal};
use contracts::port::{NoRefusal, PortError};
use kernel::Sku;
use platform::failpoint;

use crate::Context;
use crate::app;
use crate::error::CatalogError;

pub(crate) struct LocalCatalog {
    pub(crate) context: Arc<Context>,
}

fn unavailable<R: std::fmt::Display + std::fmt::Debug>(error: CatalogError) -> PortError<R> {
    PortError::unavailable("catalog", error)
}

#[async_trait]
impl CatalogPort for LocalCatalog {
    async fn quote(&self, products: &[ProductRef]) -> Result<Vec<CatalogProduct>, PortError<QuoteRefusal>> {
        failpoint::call("catalog", "quote", async {
            app::quote::quote(&self.context, products).await.map_err(unavailable)?.map_err(PortError::Refused)
        })
        .await
    }

    async fn find(&self, skus: &[Sku]) -> Result<Vec<CatalogProduct>, PortError<NoRefusal>> {
        failpoint::call("catalog", "find", async {
            app::find::find(&self.context, skus).await.map_err(unavailable)
        })
        .await
    }
}
