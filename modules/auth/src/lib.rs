//! souk-auth.
