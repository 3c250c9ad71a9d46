//! Rules of orders; pure. What is public is what the model check (`tests/model`) walks.

pub(crate) mod number;
pub(crate) mod past_order;
pub mod payment;
pub(crate) mod placement;
pub mod placing;
pub mod reactivating;
pub(crate) mod total;
pub mod transitions;
pub mod undoing;
