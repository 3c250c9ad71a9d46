//! Shows a cart: its lines with the names, prices and availability of now.

use kernel::{CartId, Money, MoneyError, Sku};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app::Shopper;
use crate::app::goods::Goods;
use crate::app::locate::{Located, locate};
use crate::error::CartError;
use crate::store::carts::For;

/// One line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CartItem {
    pub(crate) sku: Sku,
    /// The catalogue's name; the SKU where the catalogue does not know it (any more).
    #[schema(example = "Blue mug")]
    pub(crate) name: String,
    /// Pieces, 1 to 10,000.
    #[schema(minimum = 1, maximum = 10_000, example = 2)]
    pub(crate) quantity: i64,
    /// The catalogue's price of now; null where the catalogue does not know the SKU.
    #[schema(required = true)]
    pub(crate) unit_price: Option<Money>,
    /// `quantity * unit_price`.
    #[schema(required = true)]
    pub(crate) line_total: Option<Money>,
    /// Whether this many can be bought now: the product is sold, and there is enough of it.
    pub(crate) available: bool,
}

/// A cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Cart)]
pub(crate) struct CartView {
    /// Null as long as nothing was ever put in.
    #[schema(required = true)]
    pub(crate) id: Option<CartId>,
    /// In the order in which they came.
    pub(crate) items: Vec<CartItem>,
    /// The sum of the lines.
    pub(crate) total: Money,
    /// Grows with every change.
    #[schema(example = 3)]
    pub(crate) version: i64,
    /// Only for guests: send it as `X-Cart-Token` from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "q1Zk0dM2n6vXv2b7b0m4oT3s8yQWcE5uJr9aHfLxPgI")]
    pub(crate) cart_token: Option<String>,
}

/// The cart of a shopper.
pub(crate) async fn read(context: &Context, shopper: &Shopper) -> Result<CartView, CartError> {
    let located = locate(context.db.reader(), shopper, For::Reading).await?;
    show(context, &located, Goods::default()).await
}

/// Puts together what the client sees, asking about those goods that are not known yet.
pub(crate) async fn show(
    context: &Context,
    located: &Located,
    mut goods: Goods,
) -> Result<CartView, CartError> {
    goods.ask(context, &located.basket.skus()).await?;
    let items = items(located, &goods)?;
    let mut line_totals = items.iter().filter_map(|item| item.line_total);
    let first = line_totals.next().unwrap_or_else(|| Money::zero(context.settings.currency));
    let total = line_totals.try_fold(first, Money::checked_add)?;
    Ok(CartView {
        id: located.row.as_ref().map(|row| CartId(row.id)),
        items,
        total,
        version: located.version,
        cart_token: located.token.as_ref().map(crate::domain::token::CartToken::to_text),
    })
}

fn items(located: &Located, goods: &Goods) -> Result<Vec<CartItem>, MoneyError> {
    let items = located.basket.lines().iter().map(|line| {
        let quantity = line.quantity.get();
        let product = goods.product(&line.sku);
        let unit_price = product.map(|product| product.unit_price);
        Ok(CartItem {
            sku: line.sku.clone(),
            name: product.map_or_else(|| line.sku.to_string(), |product| product.name.clone()),
            quantity,
            unit_price,
            line_total: unit_price.map(|price| price.checked_mul(quantity)).transpose()?,
            available: goods.can_be_bought(&line.sku, quantity),
        })
    });
    items.collect()
}
