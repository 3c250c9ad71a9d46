//! What was ordered leaves the cart.

use contracts::orders::Order;
use kernel::{CartId, UserId};
use platform::db::Tx;

use crate::Context;
use crate::app::Shopper;
use crate::app::change::save;
use crate::app::locate::Located;
use crate::domain::basket::Basket;
use crate::error::CartError;
use crate::store::cart_lines;
use crate::store::carts::{self, End, For};

/// Closes the cart that became an order, and carries over into a new one what was put in meanwhile: other SKUs, and
/// pieces beyond those ordered. Done once: a closed cart is left alone, so the checkout and the event may both come, in
/// any order.
pub(crate) async fn settle(context: &Context, cart_id: CartId, order: &Order) -> Result<(), CartError> {
    let tx = context.db.begin().await?;
    settle_in(&tx, cart_id, order).await?;
    tx.commit().await?;
    Ok(())
}

/// The same inside a transaction of the caller's.
pub(crate) async fn settle_in(tx: &Tx, cart_id: CartId, order: &Order) -> Result<(), CartError> {
    let Some(row) = carts::find(tx.conn(), cart_id, For::Update).await? else {
        // Closed and deleted long ago.
        return Ok(());
    };
    let customer = row.user_id.map(UserId);
    if !row.is_open() || customer.is_none() || customer != order.user_id {
        if row.order_id != Some(order.id.uuid()) {
            // `orders` makes at most one order of a cart, for the customer whose cart it is.
            tracing::error!(cart.id = %cart_id, order.id = %order.id, state = row.state, "an order does not fit its cart");
        }
        return Ok(());
    }
    let before = cart_lines::of(tx.conn(), row.id).await?;
    let left = before.without(&order.items);
    let now = tx.system().now();
    cart_lines::replace(tx.conn(), row.id, &before, &Basket::default()).await?;
    if !carts::close(tx.conn(), row.id, End::Ordered(order.id), now).await? {
        return Err(CartError::Busy);
    }
    tracing::info!(cart.id = %cart_id, order.id = %order.id, lines_left = left.lines().len(), "closed a cart");
    let (Some(customer), false) = (customer, left.is_empty()) else {
        return Ok(());
    };
    // Closing counted one version; the next cart counts on from there.
    let next =
        Located { row: None, basket: Basket::default(), version: row.version.saturating_add(1), token: None };
    save(tx, &Shopper::Customer(customer), next, left).await?.map(|_| ()).ok_or(CartError::Busy)
}
