//! Who runs here, and who calls whom: the one file that names modules.
//!
//! Every module is a Cargo feature. A module that is compiled runs in this process; a module that another one needs and
//! that is not here is an error at start, which names it.

use std::path::Path;
use std::sync::Arc;

use contracts::auth::AuthPort;
use contracts::catalog::CatalogPort;
use contracts::inventory::InventoryPort;
use contracts::orders::OrdersPort;
use contracts::users::UsersPort;
use kernel::Currency;
use platform::access::{FollowRevocations, TokenVerifier};
use platform::bus::{EventHandler, LocalBus};
use platform::db::Db;
use platform::module::{AnyError, Module};
use platform::system::System;
use serde::Serialize;
use thiserror::Error;

use crate::settings::{self, Settings, SettingsError, below};

/// The names of all modules, whether compiled or not.
pub const MODULE_NAMES: &[&str] = migrations::MODULES;

/// The settings of the modules that are compiled.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModuleSettings {
    #[cfg(feature = "auth")]
    pub auth: auth::Settings,
    #[cfg(feature = "users")]
    pub users: users::Settings,
    #[cfg(feature = "catalog")]
    pub catalog: catalog::Settings,
    #[cfg(feature = "cart")]
    pub cart: cart::Settings,
    #[cfg(feature = "inventory")]
    pub inventory: inventory::Settings,
    #[cfg(feature = "orders")]
    pub orders: orders::Settings,
    #[cfg(feature = "payments")]
    pub payments: payments::Settings,
    #[cfg(feature = "notifications")]
    pub notifications: notifications::Settings,
}

impl ModuleSettings {
    /// Reads each module's section; what the shop has in common is set where a section does not say otherwise.
    pub fn read(config: &config::Config, currency: Currency, data_dir: &Path) -> Result<Self, SettingsError> {
        let mut shared = config::Config::builder();
        for key in ["catalog.currency", "cart.currency", "orders.currency"] {
            shared = shared.set_default(key, currency.as_str())?;
        }
        let outgoing = below(data_dir, "outgoing").display().to_string();
        shared = shared.set_default("notifications.outgoing_folder", outgoing)?;
        if let Ok(urls) = std::env::var("WEBHOOK_URLS") {
            let urls: Vec<String> =
                urls.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
            shared = shared.set_default("notifications.webhook_urls", urls)?;
        }
        let config = shared.add_source(config.clone()).build()?;
        let _ = &config;
        Ok(Self {
            #[cfg(feature = "auth")]
            auth: section(&config, "auth")?,
            #[cfg(feature = "users")]
            users: section(&config, "users")?,
            #[cfg(feature = "catalog")]
            catalog: section(&config, "catalog")?,
            #[cfg(feature = "cart")]
            cart: section(&config, "cart")?,
            #[cfg(feature = "inventory")]
            inventory: section(&config, "inventory")?,
            #[cfg(feature = "orders")]
            orders: section(&config, "orders")?,
            #[cfg(feature = "payments")]
            payments: section(&config, "payments")?,
            #[cfg(feature = "notifications")]
            notifications: section(&config, "notifications")?,
        })
    }

    /// The first setting that still holds a secret which everyone knows.
    pub fn default_secret(&self) -> Option<&'static str> {
        #[cfg(feature = "auth")]
        if self.auth.pepper == auth::Settings::default().pepper {
            return Some("auth.pepper");
        }
        #[cfg(feature = "payments")]
        if self.payments.webhook_secret == payments::Settings::default().webhook_secret {
            return Some("payments.webhook_secret");
        }
        None
    }
}

/// A module without a section in any layer takes its own defaults.
fn section<T: Default + serde::de::DeserializeOwned>(
    config: &config::Config,
    name: &str,
) -> Result<T, SettingsError> {
    match settings::section(config, name) {
        Err(SettingsError::Read(config::ConfigError::NotFound(_))) => Ok(T::default()),
        read => read,
    }
}

/// Why a shop cannot be put together.
#[derive(Debug, Error)]
pub enum WiringError {
    /// One module needs another that is not in this binary.
    #[error("{by} needs {module}, which is not compiled into this binary: build with `--features {module}`")]
    Missing { module: &'static str, by: &'static str },
    #[error("the database of {module} cannot be opened")]
    Database {
        module: &'static str,
        #[source]
        source: sea_orm::DbErr,
    },
    #[error("{module} cannot start")]
    Module {
        module: &'static str,
        #[source]
        source: AnyError,
    },
    #[error("the keys of access tokens cannot be read")]
    Keys(#[source] AnyError),
}

/// The databases of the modules that run here.
pub struct Databases(Vec<Db>);

impl Databases {
    /// Opens one database a compiled module.
    pub async fn open(settings: &Settings, system: &System) -> Result<Self, WiringError> {
        let options = settings.database_options();
        let opened = compiled().into_iter().map(|module| {
            let (options, system) = (&options, system.clone());
            async move {
                Db::open(module, options, system)
                    .await
                    .map_err(|source| WiringError::Database { module, source })
            }
        });
        Ok(Self(futures_util::future::try_join_all(opened).await?))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Db> {
        self.0.iter()
    }

    fn of(&self, module: &'static str) -> Result<Db, WiringError> {
        let missing = WiringError::Missing { module, by: "souk" };
        self.0.iter().find(|db| db.module() == module).cloned().ok_or(missing)
    }
}

/// The modules that are in this binary.
pub fn compiled() -> Vec<&'static str> {
    let here = [
        ("auth", cfg!(feature = "auth")),
        ("cart", cfg!(feature = "cart")),
        ("catalog", cfg!(feature = "catalog")),
        ("inventory", cfg!(feature = "inventory")),
        ("notifications", cfg!(feature = "notifications")),
        ("orders", cfg!(feature = "orders")),
        ("payments", cfg!(feature = "payments")),
        ("users", cfg!(feature = "users")),
    ];
    here.into_iter().filter(|(_, compiled)| *compiled).map(|(name, _)| name).collect()
}

/// Modules that call one another, put together.
pub struct Shop {
    /// In alphabetical order.
    pub modules: Vec<Arc<dyn Module>>,
    /// What every request is authenticated with.
    pub verifier: Arc<TokenVerifier>,
    pub system: System,
    #[cfg(feature = "auth")]
    auth: auth::Auth,
    #[cfg(feature = "notifications")]
    notifications: notifications::Notifications,
}

/// The ports of the modules that run here.
#[derive(Default)]
struct Ports {
    auth: Option<Arc<dyn AuthPort>>,
    catalog: Option<Arc<dyn CatalogPort>>,
    inventory: Option<Arc<dyn InventoryPort>>,
    orders: Option<Arc<dyn OrdersPort>>,
    users: Option<Arc<dyn UsersPort>>,
}

fn need<P: Clone>(port: &Option<P>, module: &'static str, by: &'static str) -> Result<P, WiringError> {
    port.clone().ok_or(WiringError::Missing { module, by })
}

impl Shop {
    /// Puts the modules together, those that are called before those that call.
    pub async fn assemble(
        settings: &Settings,
        databases: &Databases,
        system: System,
    ) -> Result<Self, WiringError> {
        let verifier = Arc::new(TokenVerifier::new(system.clock.clone()));
        let sections = &settings.modules;
        let _ = (sections, databases);
        let mut ports = Ports::default();
        let mut modules: Vec<Arc<dyn Module>> = Vec::new();

        #[cfg(feature = "inventory")]
        {
            let deps =
                inventory::Deps { db: databases.of("inventory")?, settings: sections.inventory.clone() };
            let module = inventory::Inventory::new(deps);
            ports.inventory = Some(module.port());
            modules.push(Arc::new(module));
        }
        #[cfg(feature = "catalog")]
        {
            let module = catalog::Catalog::new(catalog::Deps {
                db: databases.of("catalog")?,
                settings: sections.catalog.clone(),
                inventory: need(&ports.inventory, "inventory", "catalog")?,
            });
            ports.catalog = Some(module.port());
            modules.push(Arc::new(module));
        }
        #[cfg(feature = "orders")]
        {
            let module = orders::Orders::new(orders::Deps {
                db: databases.of("orders")?,
                settings: sections.orders.clone(),
                catalog: need(&ports.catalog, "catalog", "orders")?,
                inventory: need(&ports.inventory, "inventory", "orders")?,
            });
            ports.orders = Some(module.port());
            modules.push(Arc::new(module));
        }
        #[cfg(feature = "cart")]
        modules.push(Arc::new(cart::Cart::new(cart::Deps {
            db: databases.of("cart")?,
            settings: sections.cart.clone(),
            catalog: need(&ports.catalog, "catalog", "cart")?,
            inventory: need(&ports.inventory, "inventory", "cart")?,
            orders: need(&ports.orders, "orders", "cart")?,
        })));
        #[cfg(feature = "payments")]
        modules.push(Arc::new(payments::Payments::new(payments::Deps {
            db: databases.of("payments")?,
            settings: sections.payments.clone(),
            orders: need(&ports.orders, "orders", "payments")?,
        })));
        #[cfg(feature = "users")]
        {
            let deps = users::Deps { db: databases.of("users")?, settings: sections.users.clone() };
            let module = users::Users::new(deps);
            ports.users = Some(module.port());
            modules.push(Arc::new(module));
        }
        #[cfg(feature = "notifications")]
        let notifications = notifications::Notifications::new(notifications::Deps {
            db: databases.of("notifications")?,
            settings: sections.notifications.clone(),
            users: need(&ports.users, "users", "notifications")?,
        });
        #[cfg(feature = "notifications")]
        modules.push(Arc::new(notifications.clone()));
        #[cfg(feature = "auth")]
        let auth = {
            let module = auth::Auth::open(auth::Deps {
                db: databases.of("auth")?,
                settings: sections.auth.clone(),
                users: need(&ports.users, "users", "auth")?,
                verifier: verifier.clone(),
            })
            .await
            .map_err(|source| WiringError::Module { module: "auth", source })?;
            ports.auth = Some(module.port());
            modules.push(Arc::new(module.clone()));
            module
        };
        let keys = need(&ports.auth, "auth", "every module")?;
        verifier.load(keys.as_ref()).await.map_err(|error| WiringError::Keys(error.into()))?;
        modules.sort_by_key(|module| module.name());
        Ok(Self {
            modules,
            verifier,
            system,
            #[cfg(feature = "auth")]
            auth,
            #[cfg(feature = "notifications")]
            notifications,
        })
    }

    /// Makes the webhook endpoints those of the settings. For a server alone: a command, whose settings may be others,
    /// would delete the endpoints of the shop that runs beside it.
    #[cfg(feature = "notifications")]
    pub async fn sync_configured_webhooks(&self) -> Result<(), WiringError> {
        self.notifications
            .sync_configured_webhooks()
            .await
            .map_err(|source| WiringError::Module { module: "notifications", source })
    }

    /// There are no endpoints in this binary.
    #[cfg(not(feature = "notifications"))]
    pub async fn sync_configured_webhooks(&self) -> Result<(), WiringError> {
        Ok(())
    }

    /// The bus of this process: every module's handlers, and the revocations of its own verifier.
    pub fn bus(&self) -> LocalBus {
        let revocations: Arc<dyn EventHandler> = Arc::new(FollowRevocations(self.verifier.clone()));
        let handlers = self.modules.iter().flat_map(|module| module.handlers());
        LocalBus::new(handlers.chain(std::iter::once(revocations)))
    }

    /// Creates an account; `Ok(false)` if the email or username is taken.
    #[cfg(feature = "auth")]
    pub async fn create_account(&self, account: NewAccount) -> Result<bool, AnyError> {
        match self.auth.create_account(account).await {
            Ok(_) => Ok(true),
            Err(auth::AccountError::EmailTaken | auth::AccountError::UsernameTaken) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates an account; this binary cannot.
    #[cfg(not(feature = "auth"))]
    pub async fn create_account(&self, _: NewAccount) -> Result<bool, AnyError> {
        Err(WiringError::Missing { module: "auth", by: "souk user create" }.into())
    }
}

#[cfg(feature = "auth")]
pub use auth::NewAccount;

/// An account that this binary cannot create.
#[cfg(not(feature = "auth"))]
pub struct NewAccount {
    pub email: kernel::EmailAddress,
    pub username: Option<String>,
    pub name: Option<String>,
    pub password: String,
    pub role: contracts::users::Role,
}
