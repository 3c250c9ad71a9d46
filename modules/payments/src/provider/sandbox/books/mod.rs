//! The bank's tables.

pub(super) mod charges;
pub(super) mod operations;
