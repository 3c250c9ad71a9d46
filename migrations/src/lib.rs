//! souk-migrations.
