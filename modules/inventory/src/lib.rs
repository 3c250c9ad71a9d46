//! souk-inventory.
