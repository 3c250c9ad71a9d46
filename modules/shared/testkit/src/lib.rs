//! souk-testkit.
