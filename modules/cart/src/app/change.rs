//! Every change of what is in a cart.

use kernel::Timestamp;
use platform::batch::{Batch, Ran};
use platform::db::Tx;

use crate::Context;
use crate::app::locate::{Located, locate};
use crate::app::{ATTEMPTS, Shopper};
use crate::domain::basket::{Basket, TooManyLines};
use crate::error::CartError;
use crate::store::cart_lines;
use crate::store::carts::{self, For};

/// The versions that the client takes the cart to have; none if any will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected(pub(crate) Option<Vec<i64>>);

impl Expected {
    fn check(&self, version: i64) -> Result<(), CartError> {
        match &self.0 {
            Some(versions) if !versions.contains(&version) => Err(CartError::Changed { version }),
            _ => Ok(()),
        }
    }
}

/// Edits the basket under the cart's lock, so that of two changes at once both survive. An edit that changes nothing
/// writes nothing.
pub(crate) async fn change(
    context: &Context,
    shopper: &Shopper,
    expected: &Expected,
    edit: impl Fn(&mut Basket, Timestamp) -> Result<(), TooManyLines>,
) -> Result<Located, CartError> {
    for _attempt in 0..ATTEMPTS {
        let now = context.db.system().now();
        let tx = context.db.begin().await?;
        let found = locate(tx.conn(), shopper, For::Update).await?;
        expected.check(found.version)?;
        let mut after = found.basket.clone();
        edit(&mut after, now)?;
        if after == found.basket {
            tx.rollback().await?;
            return Ok(found);
        }
        if let Some(saved) = save(&tx, shopper, found, after).await? {
            tx.commit().await?;
            return Ok(saved);
        }
        // Another request created or closed the cart since: the next round sees what it did.
        tx.rollback().await?;
    }
    Err(CartError::Busy)
}

/// The same in one statement, of a cart that was read before and is as it was then. `None` if it is not, or if it takes more than that: then
/// nothing has happened.
pub(crate) async fn change_at_once(
    context: &Context,
    expected: &Expected,
    found: Located,
    edit: impl Fn(&mut Basket, Timestamp) -> Result<(), TooManyLines>,
) -> Result<Option<Located>, CartError> {
    let Some(row) = found.row.clone().filter(|_| expected.check(found.version).is_ok()) else {
        return Ok(None);
    };
    let now = context.db.system().now();
    let mut after = found.basket.clone();
    if edit(&mut after, now).is_err() {
        return Ok(None);
    }
    let keeps_all = found.basket.lines().iter().all(|line| after.get(&line.sku).is_some());
    let [line] = after.differing(&found.basket)[..] else { return Ok(None) };
    if !keeps_all {
        return Ok(None);
    }
    let mut batch = Batch::default();
    let counted = carts::bump_in(&mut batch, row.id, found.version, now);
    cart_lines::put_in(&mut batch, row.id, line, counted);
    match context.db.commit(batch).await? {
        Ran::Refused(_) => Ok(None),
        Ran::Done(_) => {
            let version = found.version.saturating_add(1);
            let row = carts::Model { version, touched_at_ms: now.ms(), ..row };
            Ok(Some(Located { row: Some(row), basket: after, version, token: found.token }))
        }
    }
}

/// Writes a basket into a cart, which is created if there is none. `None` if another request was faster: then the
/// transaction must not commit.
pub(crate) async fn save(
    tx: &Tx,
    shopper: &Shopper,
    found: Located,
    after: Basket,
) -> Result<Option<Located>, CartError> {
    let now = tx.system().now();
    let row = match found.row.clone() {
        Some(row) => row,
        None => {
            let row = new_row(tx, shopper, &found);
            if !carts::create(tx.conn(), row.clone()).await? {
                return Ok(None);
            }
            row
        }
    };
    if !carts::bump(tx.conn(), row.id, found.version, now).await? {
        return Ok(None);
    }
    cart_lines::replace(tx.conn(), row.id, &found.basket, &after).await?;
    let version = found.version.saturating_add(1);
    let row = carts::Model { version, touched_at_ms: now.ms(), ..row };
    Ok(Some(Located { row: Some(row), basket: after, version, token: found.token }))
}

fn new_row(tx: &Tx, shopper: &Shopper, found: &Located) -> carts::Model {
    let now_ms = tx.system().now().ms();
    let user_id = match shopper {
        Shopper::Customer(customer) => Some(customer.uuid()),
        Shopper::Guest(_) => None,
    };
    carts::Model {
        id: tx.system().id(),
        user_id,
        token_hash: found.token.as_ref().map(crate::domain::token::CartToken::hash),
        state: carts::OPEN.to_owned(),
        version: found.version,
        order_id: None,
        merged_into: None,
        created_at_ms: now_ms,
        touched_at_ms: now_ms,
        closed_at_ms: None,
    }
}
