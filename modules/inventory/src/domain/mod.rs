//! Rules of stock; pure. What is public is what the model check (`tests/model`) walks.

pub(crate) mod adjustment;
pub(crate) mod demand;
pub mod reservation;
