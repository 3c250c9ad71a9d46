//! Tables, and the questions asked of them.

pub(crate) mod products;
pub(crate) mod search;
pub(crate) mod stock_changes;
