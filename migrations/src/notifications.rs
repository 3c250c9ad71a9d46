//! The schema of `notifications`.

use sea_orm_migration::MigrationTrait;

/// In the order in which they are applied.
pub(crate) fn steps() -> Vec<Box<dyn MigrationTrait>> {
    Vec::new()
}
