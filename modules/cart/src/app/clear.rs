//! Takes everything out of the cart.

use crate::Context;
use crate::app::Shopper;
use crate::app::change::{Expected, change};
use crate::app::locate::Located;
use crate::error::CartError;

/// The cart itself stays, so that its versions go on.
pub(crate) async fn clear(
    context: &Context,
    shopper: &Shopper,
    expected: &Expected,
) -> Result<Located, CartError> {
    change(context, shopper, expected, |basket, _| {
        basket.clear();
        Ok(())
    })
    .await
}
