//! Says how many pieces of a SKU the cart holds.

use kernel::{Quantity, Sku};
use platform::rate_limit::{Allowance, Rule};

use crate::Context;
use crate::app::Shopper;
use crate::app::change::{Expected, change, change_at_once};
use crate::app::goods::Goods;
use crate::app::locate::{Located, locate};
use crate::app::remove_item::remove_item;
use crate::domain::basket::Basket;
use crate::error::CartError;
use crate::store::carts::For;

/// 0 takes the SKU out. Any other number needs a product that is sold; whether there is enough of it is only shown, as
/// stock comes and goes until the checkout. A guest's first product makes a cart, of which an address may make only so
/// many. Returns what was learnt of the goods on the way.
pub(crate) async fn put_item(
    context: &Context,
    shopper: &Shopper,
    allowance: &Allowance,
    expected: &Expected,
    sku: &Sku,
    number: i64,
) -> Result<(Located, Goods), CartError> {
    if number == 0 {
        return remove_item(context, shopper, expected, sku).await;
    }
    let quantity = Quantity::parse(number).map_err(|error| CartError::QuantityOutOfRange(error.0))?;
    // The others are asked before the transaction, about everything that the answer will show: a call inside it would
    // hold the database up, and one after it could fail although the change was made.
    let found = locate(context.db.reader(), shopper, For::Reading).await?;
    let mut skus = found.basket.skus();
    skus.push(sku.clone());
    let mut goods = Goods::default();
    goods.ask(context, &skus).await?;
    let product = goods.product(sku).ok_or_else(|| CartError::UnknownProduct(sku.clone()))?;
    if !product.active {
        return Err(CartError::RetiredProduct(sku.clone()));
    }
    if found.row.is_none() && matches!(shopper, Shopper::Guest(_)) {
        allowance.spend(Rule::GuestCart).await?;
    }
    let edit = |basket: &mut Basket, now| basket.put(sku, quantity, now);
    let located = match change_at_once(context, expected, found, edit).await? {
        Some(changed) => changed,
        None => change(context, shopper, expected, edit).await?,
    };
    Ok((located, goods))
}
