//! Takes a SKU out of the cart.

use kernel::Sku;

use crate::Context;
use crate::app::Shopper;
use crate::app::change::{Expected, change};
use crate::app::goods::Goods;
use crate::app::locate::{Located, locate};
use crate::error::CartError;
use crate::store::carts::For;

/// Nothing happens if it is not in. The others are asked first, as in [`crate::app::put_item`].
pub(crate) async fn remove_item(
    context: &Context,
    shopper: &Shopper,
    expected: &Expected,
    sku: &Sku,
) -> Result<(Located, Goods), CartError> {
    let mut skus = locate(context.db.reader(), shopper, For::Reading).await?.basket.skus();
    skus.retain(|held| held != sku);
    let mut goods = Goods::default();
    goods.ask(context, &skus).await?;
    let located = change(context, shopper, expected, |basket, _| {
        basket.remove(sku);
        Ok(())
    })
    .await?;
    Ok((located, goods))
}
