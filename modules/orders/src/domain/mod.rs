//! Rules of orders; pure.

pub(crate) mod number;
pub(crate) mod past_order;
pub(crate) mod payment;
pub(crate) mod placement;
pub(crate) mod total;
pub(crate) mod transitions;
