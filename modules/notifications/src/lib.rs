//! souk-notifications.
