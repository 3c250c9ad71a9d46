//! Rules of carts; pure.

pub(crate) mod basket;
pub(crate) mod token;
