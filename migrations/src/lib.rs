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

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

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
        pub async fn status(module: &str, connection: &impl ConnectionTrait) -> Result<Vec<(String, bool)>, DbErr> {
            match module {
                $(stringify!($module) => status_of::<$migrator>(connection).await,)+
                other => Err(unknown(other)),
            }
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

/// Not sea-orm's own: that needs a pool of its kind, and readiness asks again and again.
async fn status_of<M: MigratorTrait>(
    connection: &impl ConnectionTrait,
) -> Result<Vec<(String, bool)>, DbErr> {
    let backend = connection.get_database_backend();
    let is_there = match backend {
        DbBackend::Sqlite => {
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations') AS is_there"
        }
        _ => "SELECT to_regclass('seaql_migrations') IS NOT NULL AS is_there",
    };
    let row = connection.query_one_raw(Statement::from_string(backend, is_there)).await?;
    let has_table: bool = row.map_or(Ok(false), |row| row.try_get("", "is_there"))?;
    let mut applied = BTreeSet::new();
    if has_table {
        let versions = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
        for row in connection.query_all_raw(versions).await? {
            applied.insert(row.try_get::<String>("", "version")?);
        }
    }
    let steps: Vec<_> =
        M::migrations().iter().map(|step| (step.name().to_owned(), applied.remove(step.name()))).collect();
    match applied.first() {
        Some(unknown) => {
            Err(DbErr::Custom(format!("the step {unknown} was applied, and this program does not know it")))
        }
        None => Ok(steps),
    }
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
