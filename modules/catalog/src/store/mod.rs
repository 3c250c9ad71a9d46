//! Tables, and the questions asked of them.

pub(crate) mod products;
pub(crate) mod stock_changes;
