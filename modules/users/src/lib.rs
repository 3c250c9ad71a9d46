//! souk-users.
