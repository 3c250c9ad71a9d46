//! souk-catalog.
