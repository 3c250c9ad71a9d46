//! What the catalogue and the inventory say about the goods in a cart, now.

use std::collections::{HashMap, HashSet};

use contracts::catalog::CatalogProduct;
use contracts::port::{NoRefusal, PortError};
use futures_util::future::try_join;
use kernel::Sku;

use crate::Context;

/// Each port takes at most so many SKUs a call.
const SKUS_A_CALL: usize = 100;

/// What is known of some SKUs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Goods {
    asked: HashSet<Sku>,
    products: HashMap<Sku, CatalogProduct>,
    available: HashMap<Sku, i64>,
}

impl Goods {
    /// Asks both ports about those that were not asked about before. Either being silent is a failure: a price is never
    /// guessed, and "available" is not claimed in the dark.
    pub(crate) async fn ask(&mut self, context: &Context, skus: &[Sku]) -> Result<(), PortError<NoRefusal>> {
        let unasked: Vec<Sku> =
            skus.iter().filter(|sku| self.asked.insert((*sku).clone())).cloned().collect();
        for chunk in unasked.chunks(SKUS_A_CALL) {
            let (products, levels) =
                try_join(context.catalog.find(chunk), context.inventory.levels(chunk)).await?;
            self.products.extend(products.into_iter().map(|product| (product.sku.clone(), product)));
            self.available.extend(levels.into_iter().map(|level| (level.sku, level.available)));
        }
        Ok(())
    }

    /// The product, if the catalogue knows it; a retired one too.
    pub(crate) fn product(&self, sku: &Sku) -> Option<&CatalogProduct> {
        self.products.get(sku)
    }

    /// Whether so many pieces can be bought now.
    pub(crate) fn can_be_bought(&self, sku: &Sku, pieces: i64) -> bool {
        let is_sold = self.products.get(sku).is_some_and(|product| product.active);
        is_sold && self.available.get(sku).is_some_and(|available| *available >= pieces)
    }
}
