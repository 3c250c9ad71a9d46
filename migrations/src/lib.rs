//! The schema of every module, as steps up and down. One migrator a module, each with its own table of applied steps.
//!
//! A step that was released never changes: changes expand first (a new step adds) and contract later (another removes).
//!
//! Processes may migrate at once. Who finds something to do takes the module's lock and looks again; everyone else
//! takes no lock. What is done under a lock is one transaction: all missing steps are applied, or none.

pub mod auth;
pub mod cart;
pub mod catalog;
pub mod inventory;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod users;

mod lock;

use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use sea_orm_migration::{MigrationStatus, MigrationTrait, MigratorTrait};

/// How long [`up`] and [`down`] wait for another process that migrates the same module, and each step for a table that
/// somebody uses.
pub const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! migrators {
    ($($module:ident => $migrator:ident),+ $(,)?) => {
        $(
            /// The steps of one module.
            pub struct $migrator;

            impl MigratorTrait for $migrator {
                fn migrations() -> Vec<Box<dyn MigrationTrait>> {
                    let mut steps = vec![platform::migration::plumbing()];
                    steps.extend($module::steps());
                    steps
                }
            }
        )+

        /// Every module that has a schema, in alphabetical order.
        pub const MODULES: &[&str] = &[$(stringify!($module)),+];

        /// Applies what is missing. Fails for an unknown module.
        pub async fn up(module: &str, connection: &DatabaseConnection) -> Result<(), DbErr> {
            up_within(PATIENCE, module, connection).await
        }

        /// [`up`] with another patience.
        pub async fn up_within(patience: Duration, module: &str, connection: &DatabaseConnection) -> Result<(), DbErr> {
            match module {
                $(stringify!($module) => apply::<$migrator>(patience, module, connection).await,)+
                other => Err(unknown(other)),
            }
        }

        /// Takes back the last steps, or all of them.
        pub async fn down(module: &str, connection: &DatabaseConnection, steps: Option<u32>) -> Result<(), DbErr> {
            match module {
                $(stringify!($module) => take_back::<$migrator>(module, connection, steps).await,)+
                other => Err(unknown(other)),
            }
        }

        /// Each step with whether it has been applied. Changes nothing.
        pub async fn status(module: &str, connection: &DatabaseConnection) -> Result<Vec<(String, bool)>, DbErr> {
            let steps = match module {
                $(stringify!($module) => $migrator::get_migration_with_status_read_only(connection).await?,)+
                other => return Err(unknown(other)),
            };
            Ok(steps.iter().map(|step| (step.name().to_owned(), step.status() == MigrationStatus::Applied)).collect())
        }
    };
}

migrators! {
    auth => Auth,
    cart => Cart,
    catalog => Catalog,
    inventory => Inventory,
    notifications => Notifications,
    orders => Orders,
    payments => Payments,
    users => Users,
}

async fn apply<M: MigratorTrait>(
    patience: Duration,
    module: &str,
    connection: &DatabaseConnection,
) -> Result<(), DbErr> {
    if M::get_pending_migrations_read_only(connection).await?.is_empty() {
        return Ok(());
    }
    let locked = lock::take(patience, module, connection).await?;
    M::up(&locked, None).await?;
    locked.commit().await
}

async fn take_back<M: MigratorTrait>(
    module: &str,
    connection: &DatabaseConnection,
    steps: Option<u32>,
) -> Result<(), DbErr> {
    if M::get_applied_migrations_read_only(connection).await?.is_empty() {
        return Ok(());
    }
    let locked = lock::take(PATIENCE, module, connection).await?;
    M::down(&locked, steps).await?;
    locked.commit().await
}

fn unknown(module: &str) -> DbErr {
    DbErr::Custom(format!("there is no module {module}"))
}
