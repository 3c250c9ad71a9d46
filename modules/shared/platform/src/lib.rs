//! souk-platform.
