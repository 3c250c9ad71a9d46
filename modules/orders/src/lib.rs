//! souk-orders.
