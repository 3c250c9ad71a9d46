//! Rules of stock; pure.

pub(crate) mod adjustment;
pub(crate) mod demand;
