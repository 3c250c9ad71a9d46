//! The port of `catalog`, far away. Both calls are reads.

use std::sync::Arc;

use actix_web::web;
use async_trait::async_trait;
use contracts::catalog::{CatalogPort, CatalogProduct, ProductRef, QuoteRefusal};
use contracts::port::{NoRefusal, PortError};
use kernel::Sku;
use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::peer::Peer;
use crate::routes::Routes;

#[derive(Debug, Serialize, Deserialize)]
struct Quote {
    products: Vec<ProductRef>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Find {
    skus: Vec<Sku>,
}

const QUOTE: Operation<Quote, Vec<CatalogProduct>, QuoteRefusal> = Operation::idempotent("catalog", "quote");
const FIND: Operation<Find, Vec<CatalogProduct>, NoRefusal> = Operation::idempotent("catalog", "find");

struct RemoteCatalog(Peer);

/// The port, asked over HTTP.
pub fn client(peer: Peer) -> Arc<dyn CatalogPort> {
    Arc::new(RemoteCatalog(peer))
}

#[async_trait]
impl CatalogPort for RemoteCatalog {
    async fn quote(&self, products: &[ProductRef]) -> Result<Vec<CatalogProduct>, PortError<QuoteRefusal>> {
        self.0.call(&QUOTE, &Quote { products: products.to_vec() }).await
    }

    async fn find(&self, skus: &[Sku]) -> Result<Vec<CatalogProduct>, PortError<NoRefusal>> {
        self.0.call(&FIND, &Find { skus: skus.to_vec() }).await
    }
}

/// The internal routes of the port.
pub fn routes(config: &mut web::ServiceConfig, port: Arc<dyn CatalogPort>) {
    Routes::new(config, port)
        .serve(QUOTE, |catalog, asked| async move { catalog.quote(&asked.products).await })
        .serve(FIND, |catalog, asked| async move { catalog.find(&asked.skus).await });
}
