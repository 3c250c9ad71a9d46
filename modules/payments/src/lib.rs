//! souk-payments.
