//! One use case a file: one transaction, and what it must see around it.

pub(crate) mod change;
pub(crate) mod checkout;
pub(crate) mod clear;
pub(crate) mod goods;
pub(crate) mod locate;
pub(crate) mod merge;
pub(crate) mod on_order_created;
pub(crate) mod purge;
pub(crate) mod put_item;
pub(crate) mod read;
pub(crate) mod remove_item;
pub(crate) mod settle;

use kernel::UserId;

use crate::domain::token::CartToken;

/// Whose cart it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shopper {
    Customer(UserId),
    /// With the token that came, if one did and it could be read.
    Guest(Option<CartToken>),
}

/// How often a change that others overtook is tried before the client is asked to come back.
const ATTEMPTS: u32 = 5;
