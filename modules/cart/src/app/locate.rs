//! Where a shopper's cart is.

use sea_orm::ConnectionTrait;

use crate::app::Shopper;
use crate::domain::basket::Basket;
use crate::domain::token::CartToken;
use crate::error::CartError;
use crate::store::cart_lines;
use crate::store::carts::{self, For};

/// A shopper's cart as it is, which may be nowhere yet.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// The row, open; none as long as nothing was ever put in.
    pub(crate) row: Option<carts::Model>,
    pub(crate) basket: Basket,
    /// The row's version; without a row that of the customer's last cart, from which the next one counts on.
    pub(crate) version: i64,
    /// By which a guest will know the cart again; none for customers.
    pub(crate) token: Option<CartToken>,
}

/// Finds it; never writes. The row is read before its lines, or with them, so that a version is never newer than the lines beside it: the worst
/// that can come of it is a needless 412.
pub(crate) async fn locate(
    conn: &impl ConnectionTrait,
    shopper: &Shopper,
    purpose: For,
) -> Result<Located, CartError> {
    let (row, version, token) = match shopper {
        Shopper::Customer(customer) if purpose == For::Reading => {
            match carts::open_with_lines(conn, *customer).await? {
                Some((row, lines)) => {
                    let (version, basket) = (row.version, cart_lines::basket(lines)?);
                    return Ok(Located { row: Some(row), basket, version, token: None });
                }
                None => (None, carts::last_version_of(conn, *customer).await?, None),
            }
        }
        Shopper::Customer(customer) => match carts::open_of(conn, *customer, purpose).await? {
            Some(row) => (Some(row), 0, None),
            None => (None, carts::last_version_of(conn, *customer).await?, None),
        },
        Shopper::Guest(None) => (None, 0, Some(fresh_token())),
        Shopper::Guest(Some(token)) => match carts::of_token(conn, &token.hash(), purpose).await? {
            Some(row) if row.is_open() => (Some(row), 0, Some(token.clone())),
            // Its cart is a customer's now: the guest starts anew.
            Some(_merged) => (None, 0, Some(fresh_token())),
            None => (None, 0, Some(token.clone())),
        },
    };
    let basket = match &row {
        Some(row) => cart_lines::of(conn, row.id).await?,
        None => Basket::default(),
    };
    let version = row.as_ref().map_or(version, |row| row.version);
    Ok(Located { row, basket, version, token })
}

fn fresh_token() -> CartToken {
    CartToken::from_random(rand::random())
}
