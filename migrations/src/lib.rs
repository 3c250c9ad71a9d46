//! The schema of every module, as steps up and down. One migrator a module, each with its own table of applied steps.
//!
//! A step that was released never changes: changes expand first (a new step adds) and contract later (another removes).

pub mod auth;
pub mod cart;
pub mod catalog;
pub mod inventory;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod users;

use sea_orm::{DatabaseConnection, DbErr};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

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
            match module {
                $(stringify!($module) => $migrator::up(connection, None).await,)+
                other => Err(unknown(other)),
            }
        }

        /// Takes back the last steps, or all of them.
        pub async fn down(module: &str, connection: &DatabaseConnection, steps: Option<u32>) -> Result<(), DbErr> {
            match module {
                $(stringify!($module) => $migrator::down(connection, steps).await,)+
                other => Err(unknown(other)),
            }
        }

        /// Each step with whether it has been applied.
        pub async fn status(module: &str, connection: &DatabaseConnection) -> Result<Vec<(String, bool)>, DbErr> {
            use sea_orm_migration::MigrationStatus;
            let steps = match module {
                $(stringify!($module) => $migrator::get_migration_with_status(connection).await?,)+
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

fn unknown(module: &str) -> DbErr {
    DbErr::Custom(format!("there is no module {module}"))
}
