//! Rules of products; pure.

pub(crate) mod product;
pub(crate) mod search;
pub(crate) mod slug;
pub(crate) mod sort;
