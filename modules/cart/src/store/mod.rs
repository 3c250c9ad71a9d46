//! Tables and their named queries. Queries run on the connection they are given and never commit.

pub(crate) mod cart_lines;
pub(crate) mod carts;
pub(crate) mod checkouts;
