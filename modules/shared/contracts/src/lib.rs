//! souk-contracts.
