//! souk-cart.
