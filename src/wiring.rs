//! Who runs here, and who calls whom: the one file that names modules.
//!
//! Every module is a Cargo feature, and `only` chooses from those that are compiled. A module that runs here is called in
//! process; any other through [`remote`] at `peers.<module>.url`. A module that another one needs and that is neither here
//! nor has an address is an error at start, which names the setting.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::ServiceConfig;
use contracts::auth::AuthPort;
use contracts::catalog::{CatalogPort, CatalogProduct};
use contracts::inventory::InventoryPort;
use contracts::orders::OrdersPort;
use contracts::users::UsersPort;
use kernel::{Currency, EmailAddress, Sku};
use platform::access::{FollowRevocations, TokenVerifier};
use platform::bus::{EventHandler, LocalBus};
use platform::db::{Db, DbOptions};
use platform::module::{AnyError, Module};
use platform::problem::ErrorCode;
use platform::rabbit::{self, ModuleHere, RabbitBus};
use platform::shared_store::SharedStore;
use platform::system::System;
use serde::Serialize;
use thiserror::Error;

use crate::doctor::{Books, ModuleData};
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

    /// The secrets of the modules that run here.
    pub fn secrets(&self, here: &[&str]) -> Vec<Secret<'_>> {
        let all: Vec<Secret<'_>> = vec![
            #[cfg(feature = "auth")]
            Secret {
                setting: "auth.pepper",
                value: &self.auth.pepper,
                known: auth::Settings::default().pepper,
            },
            #[cfg(feature = "payments")]
            Secret {
                setting: "payments.webhook_secret",
                value: &self.payments.webhook_secret,
                known: payments::Settings::default().webhook_secret,
            },
        ];
        let of_a_module_here = |secret: &Secret<'_>| {
            secret.setting.split('.').next().is_some_and(|module| here.contains(&module))
        };
        all.into_iter().filter(of_a_module_here).collect()
    }
}

/// A setting that nobody else may know.
pub struct Secret<'a> {
    pub setting: &'static str,
    pub value: &'a str,
    /// The value of a shop that is only tried out. It stands in the source.
    pub known: String,
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
    /// One module needs another that does not run here and has no address.
    #[error(
        "{by} needs {module}, which does not run in this process: set peers.{module}.url \
         (SOUK__PEERS__{}__URL) to where it runs, or let it run here", module.to_uppercase()
    )]
    Missing { module: &'static str, by: &'static str },
    /// A command works on a module that does not run here.
    #[error("{by} needs {module}, which does not run in this process")]
    NotHere { module: &'static str, by: &'static str },
    #[error("peers.{module}.url cannot be used")]
    Peer {
        module: &'static str,
        #[source]
        source: AnyError,
    },
    #[error("calls to other processes cannot be made")]
    Remote(#[source] AnyError),
    #[error(transparent)]
    SharedStore(#[from] platform::shared_store::AddressError),
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

/// The module that is read a hundred times for each time that it is written.
const MOSTLY_READ: &str = "catalog";

/// The databases of the modules that run here.
pub struct Databases(Vec<Db>);

impl Databases {
    /// Opens one database a module that runs here.
    pub async fn open(settings: &Settings, system: &System) -> Result<Self, WiringError> {
        let opened = settings.only.iter().copied().map(|module| {
            let options = settings.database_options(module);
            let system = if module == MOSTLY_READ { system.for_reads() } else { system.clone() };
            async move {
                Db::open(module, &options, system)
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
        let missing = WiringError::NotHere { module, by: "souk" };
        self.0.iter().find(|db| db.module() == module).cloned().ok_or(missing)
    }
}

/// Opens a module's data for the doctor, so that nothing can be written.
pub async fn module_data(
    settings: &Settings,
    module: &'static str,
    options: &DbOptions,
    system: &System,
) -> Result<ModuleData, WiringError> {
    let db = Db::open_read_only(module, options, system.clone())
        .await
        .map_err(|source| WiringError::Database { module, source })?;
    let _ = settings;
    let none = Books::default();
    let (examiner, books) = match module {
        #[cfg(feature = "auth")]
        "auth" => (auth::examiner(db), none),
        #[cfg(feature = "cart")]
        "cart" => (cart::examiner(db.clone()), Books { carts: Some(cart::book(db)), ..none }),
        #[cfg(feature = "catalog")]
        "catalog" => (catalog::examiner(db, settings.modules.catalog.currency), none),
        #[cfg(feature = "inventory")]
        "inventory" => (inventory::examiner(db.clone()), Books { stock: Some(inventory::book(db)), ..none }),
        #[cfg(feature = "notifications")]
        "notifications" => (notifications::examiner(db), none),
        #[cfg(feature = "orders")]
        "orders" => (orders::examiner(db.clone()), Books { orders: Some(orders::book(db)), ..none }),
        #[cfg(feature = "payments")]
        "payments" => (payments::examiner(db.clone()), Books { payments: Some(payments::book(db)), ..none }),
        #[cfg(feature = "users")]
        "users" => (users::examiner(db), none),
        _ => return Err(WiringError::NotHere { module, by: "souk doctor" }),
    };
    Ok(ModuleData { examiner, books })
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

/// The error codes of the modules that are in this binary, whether they run here or not: any process of a split shop explains the
/// errors of all, unless its binary is a slim one.
pub fn error_codes() -> Vec<ErrorCode> {
    let modules: &[&[ErrorCode]] = &[
        #[cfg(feature = "auth")]
        auth::ERROR_CODES,
        #[cfg(feature = "cart")]
        cart::ERROR_CODES,
        #[cfg(feature = "catalog")]
        catalog::ERROR_CODES,
        #[cfg(feature = "inventory")]
        inventory::ERROR_CODES,
        #[cfg(feature = "notifications")]
        notifications::ERROR_CODES,
        #[cfg(feature = "orders")]
        orders::ERROR_CODES,
        #[cfg(feature = "payments")]
        payments::ERROR_CODES,
        #[cfg(feature = "users")]
        users::ERROR_CODES,
    ];
    modules.concat()
}

/// Modules that call one another, put together.
pub struct Shop {
    /// In alphabetical order.
    pub modules: Vec<Arc<dyn Module>>,
    /// What every request is authenticated with.
    pub verifier: Arc<TokenVerifier>,
    /// Where the keys of access tokens and the ended sessions come from.
    pub keys: Arc<dyn AuthPort>,
    pub system: System,
    /// What the replicas share; none without Redis.
    pub shared: Option<SharedStore>,
    /// The ports of the modules that run here, for those that run elsewhere.
    local: Ports,
    #[cfg(feature = "auth")]
    auth: Option<auth::Auth>,
    #[cfg(feature = "catalog")]
    catalog: Option<catalog::Catalog>,
    #[cfg(feature = "notifications")]
    notifications: Option<notifications::Notifications>,
}

/// Ports of some modules.
#[derive(Clone, Default)]
struct Ports {
    auth: Option<Arc<dyn AuthPort>>,
    catalog: Option<Arc<dyn CatalogPort>>,
    inventory: Option<Arc<dyn InventoryPort>>,
    orders: Option<Arc<dyn OrdersPort>>,
    users: Option<Arc<dyn UsersPort>>,
}

/// The ports of modules elsewhere, made when one is needed.
struct Elsewhere<'a> {
    settings: &'a Settings,
    /// None if the whole shop runs here.
    caller: Option<Arc<remote::Caller>>,
}

impl<'a> Elsewhere<'a> {
    fn new(settings: &'a Settings, system: &System) -> Result<Self, WiringError> {
        if !settings.is_split() {
            return Ok(Self { settings, caller: None });
        }
        let options = remote::Options {
            secret: settings.internal.secret.clone(),
            caller: settings.only.join(","),
            deadline: Duration::from_millis(settings.internal.deadline_ms),
            ..remote::Options::default()
        };
        let caller = remote::Caller::new(options, system.clock.clone());
        Ok(Self { settings, caller: Some(caller.map_err(|error| WiringError::Remote(error.into()))?) })
    }

    /// The port of this process if the module runs here, otherwise one to its address.
    fn port<P>(
        &self,
        here: &Option<P>,
        module: &'static str,
        by: &'static str,
        client: impl FnOnce(remote::Peer) -> P,
    ) -> Result<P, WiringError>
    where
        P: Clone,
    {
        if let Some(port) = here {
            return Ok(port.clone());
        }
        let peer = self.settings.peers.get(module).zip(self.caller.as_ref());
        let (peer, caller) = peer.ok_or(WiringError::Missing { module, by })?;
        let peer = caller
            .peer(module, &peer.url)
            .map_err(|error| WiringError::Peer { module, source: error.into() })?;
        Ok(client(peer))
    }
}

/// A shop that is being put together: each step adds one module.
struct Assembly<'a> {
    settings: &'a Settings,
    databases: &'a Databases,
    elsewhere: Elsewhere<'a>,
    shared: Option<SharedStore>,
    ports: Ports,
    modules: Vec<Arc<dyn Module>>,
}

/// A port for a module that calls one.
impl Assembly<'_> {
    #[cfg(any(feature = "catalog", feature = "orders", feature = "cart"))]
    fn inventory(&self, by: &'static str) -> Result<Arc<dyn InventoryPort>, WiringError> {
        self.elsewhere.port(&self.ports.inventory, "inventory", by, remote::inventory::client)
    }

    #[cfg(any(feature = "orders", feature = "cart"))]
    fn catalog(&self, by: &'static str) -> Result<Arc<dyn CatalogPort>, WiringError> {
        self.elsewhere.port(&self.ports.catalog, "catalog", by, remote::catalog::client)
    }

    #[cfg(any(feature = "cart", feature = "payments"))]
    fn orders(&self, by: &'static str) -> Result<Arc<dyn OrdersPort>, WiringError> {
        self.elsewhere.port(&self.ports.orders, "orders", by, remote::orders::client)
    }

    #[cfg(any(feature = "auth", feature = "notifications"))]
    fn users(&self, by: &'static str) -> Result<Arc<dyn UsersPort>, WiringError> {
        self.elsewhere.port(&self.ports.users, "users", by, remote::users::client)
    }

    fn auth(&self, by: &'static str) -> Result<Arc<dyn AuthPort>, WiringError> {
        self.elsewhere.port(&self.ports.auth, "auth", by, remote::auth::client)
    }
}

/// One step a module; it does nothing if the module does not run here.
impl Assembly<'_> {
    fn runs_here(&self, module: &str) -> bool {
        self.settings.only.contains(&module)
    }

    #[cfg(feature = "inventory")]
    fn add_inventory(&mut self) -> Result<(), WiringError> {
        if !self.runs_here("inventory") {
            return Ok(());
        }
        let (db, settings) = (self.databases.of("inventory")?, self.settings.modules.inventory.clone());
        let module = inventory::Inventory::new(inventory::Deps { db, settings });
        self.ports.inventory = Some(module.port());
        self.modules.push(Arc::new(module));
        Ok(())
    }

    #[cfg(feature = "catalog")]
    fn add_catalog(&mut self) -> Result<Option<catalog::Catalog>, WiringError> {
        if !self.runs_here("catalog") {
            return Ok(None);
        }
        let module = catalog::Catalog::new(catalog::Deps {
            db: self.databases.of("catalog")?,
            settings: self.settings.modules.catalog.clone(),
            inventory: self.inventory("catalog")?,
            shared_store: self.shared.clone(),
        });
        self.ports.catalog = Some(module.port());
        self.modules.push(Arc::new(module.clone()));
        Ok(Some(module))
    }

    #[cfg(feature = "orders")]
    fn add_orders(&mut self) -> Result<(), WiringError> {
        if !self.runs_here("orders") {
            return Ok(());
        }
        let module = orders::Orders::new(orders::Deps {
            db: self.databases.of("orders")?,
            settings: self.settings.modules.orders.clone(),
            catalog: self.catalog("orders")?,
            inventory: self.inventory("orders")?,
        });
        self.ports.orders = Some(module.port());
        self.modules.push(Arc::new(module));
        Ok(())
    }

    #[cfg(feature = "cart")]
    fn add_cart(&mut self) -> Result<(), WiringError> {
        if !self.runs_here("cart") {
            return Ok(());
        }
        self.modules.push(Arc::new(cart::Cart::new(cart::Deps {
            db: self.databases.of("cart")?,
            settings: self.settings.modules.cart.clone(),
            catalog: self.catalog("cart")?,
            inventory: self.inventory("cart")?,
            orders: self.orders("cart")?,
        })));
        Ok(())
    }

    #[cfg(feature = "payments")]
    fn add_payments(&mut self) -> Result<(), WiringError> {
        if !self.runs_here("payments") {
            return Ok(());
        }
        self.modules.push(Arc::new(payments::Payments::new(payments::Deps {
            db: self.databases.of("payments")?,
            settings: self.settings.modules.payments.clone(),
            orders: self.orders("payments")?,
        })));
        Ok(())
    }

    #[cfg(feature = "users")]
    fn add_users(&mut self) -> Result<(), WiringError> {
        if !self.runs_here("users") {
            return Ok(());
        }
        let (db, settings) = (self.databases.of("users")?, self.settings.modules.users.clone());
        let module = users::Users::new(users::Deps { db, settings });
        self.ports.users = Some(module.port());
        self.modules.push(Arc::new(module));
        Ok(())
    }

    #[cfg(feature = "notifications")]
    fn add_notifications(&mut self) -> Result<Option<notifications::Notifications>, WiringError> {
        if !self.runs_here("notifications") {
            return Ok(None);
        }
        let module = notifications::Notifications::new(notifications::Deps {
            db: self.databases.of("notifications")?,
            settings: self.settings.modules.notifications.clone(),
            users: self.users("notifications")?,
        });
        self.modules.push(Arc::new(module.clone()));
        Ok(Some(module))
    }

    #[cfg(feature = "auth")]
    async fn add_auth(&mut self, verifier: &Arc<TokenVerifier>) -> Result<Option<auth::Auth>, WiringError> {
        if !self.runs_here("auth") {
            return Ok(None);
        }
        let module = auth::Auth::open(auth::Deps {
            db: self.databases.of("auth")?,
            settings: self.settings.modules.auth.clone(),
            users: self.users("auth")?,
            verifier: verifier.clone(),
        })
        .await
        .map_err(|source| WiringError::Module { module: "auth", source })?;
        self.ports.auth = Some(module.port());
        self.modules.push(Arc::new(module.clone()));
        Ok(Some(module))
    }
}

impl Shop {
    /// Puts the modules together that run here, those that are called before those that call.
    ///
    /// The keys of access tokens are read here if `auth` runs here; otherwise a worker fetches them, so that processes
    /// may start in any order.
    pub async fn assemble(
        settings: &Settings,
        databases: &Databases,
        system: System,
    ) -> Result<Self, WiringError> {
        let issuer = settings.access.issuer.clone();
        let verifier = Arc::new(TokenVerifier::for_issuer(system.clock.clone(), issuer));
        let (elsewhere, ports) = (Elsewhere::new(settings, &system)?, Ports::default());
        let shared = settings.shared_store().as_ref().map(SharedStore::open).transpose()?;
        let mut assembly = Assembly { settings, databases, elsewhere, shared, ports, modules: Vec::new() };
        #[cfg(feature = "inventory")]
        assembly.add_inventory()?;
        #[cfg(feature = "catalog")]
        let catalog = assembly.add_catalog()?;
        #[cfg(feature = "orders")]
        assembly.add_orders()?;
        #[cfg(feature = "cart")]
        assembly.add_cart()?;
        #[cfg(feature = "payments")]
        assembly.add_payments()?;
        #[cfg(feature = "users")]
        assembly.add_users()?;
        #[cfg(feature = "notifications")]
        let notifications = assembly.add_notifications()?;
        #[cfg(feature = "auth")]
        let auth = assembly.add_auth(&verifier).await?;
        let keys = assembly.auth("every module")?;
        verifier.ask(&keys);
        let Assembly { mut modules, ports, shared, .. } = assembly;
        if ports.auth.is_some() {
            verifier.load(keys.as_ref()).await.map_err(|error| WiringError::Keys(error.into()))?;
        }
        modules.sort_by_key(|module| module.name());
        Ok(Self {
            modules,
            verifier,
            keys,
            system,
            shared,
            local: ports,
            #[cfg(feature = "auth")]
            auth,
            #[cfg(feature = "catalog")]
            catalog,
            #[cfg(feature = "notifications")]
            notifications,
        })
    }

    /// The modules in the order in which their routes are tried. The router tries one pattern after the other, so what is asked for most
    /// comes first. No two modules have a pattern that fits the same path, but for `/users/login` and `/users/register` of `auth`, which
    /// must come before `users`.
    pub fn modules_by_traffic(&self) -> Vec<Arc<dyn Module>> {
        const BUSIEST: [&str; 4] = ["catalog", "cart", "orders", "payments"];
        let mut modules = self.modules.clone();
        let place = |name| BUSIEST.iter().position(|busy| *busy == name).unwrap_or(BUSIEST.len());
        modules.sort_by_key(|module| (place(module.name()), module.name()));
        modules
    }

    /// The routes by which modules in other processes call those that run here.
    pub fn internal_routes(&self) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
        let ports = self.local.clone();
        move |config| {
            let Ports { auth, catalog, inventory, orders, users } = ports.clone();
            auth.into_iter().for_each(|port| remote::auth::routes(config, port));
            catalog.into_iter().for_each(|port| remote::catalog::routes(config, port));
            inventory.into_iter().for_each(|port| remote::inventory::routes(config, port));
            orders.into_iter().for_each(|port| remote::orders::routes(config, port));
            users.into_iter().for_each(|port| remote::users::routes(config, port));
        }
    }

    /// Makes the webhook endpoints those of the settings. For a server alone: a command, whose settings may be others,
    /// would delete the endpoints of the shop that runs beside it.
    #[cfg(feature = "notifications")]
    pub async fn sync_configured_webhooks(&self) -> Result<(), WiringError> {
        let Some(notifications) = &self.notifications else {
            return Ok(());
        };
        notifications
            .sync_configured_webhooks()
            .await
            .map_err(|source| WiringError::Module { module: "notifications", source })
    }

    /// There are no endpoints in this binary.
    #[cfg(not(feature = "notifications"))]
    pub async fn sync_configured_webhooks(&self) -> Result<(), WiringError> {
        Ok(())
    }

    /// The bus inside this process: every module's handlers, and the revocations of its own verifier.
    pub fn local_bus(&self) -> LocalBus {
        let handlers = self.modules.iter().flat_map(|module| module.handlers());
        LocalBus::new(handlers.chain(std::iter::once(self.follow_revocations())))
    }

    /// The bus to other processes, for the same handlers. What this process holds in its memory is read anew after each
    /// connection: events that change it pass by while there is none.
    pub fn rabbit_bus(&self, options: rabbit::Options) -> Arc<RabbitBus> {
        let here =
            |module: &Arc<dyn Module>| ModuleHere { db: module.db().clone(), handlers: module.handlers() };
        let modules = self.modules.iter().map(here).collect();
        let (verifier, keys) = (self.verifier.clone(), self.keys.clone());
        #[cfg(feature = "catalog")]
        let catalog = self.catalog.clone();
        let on_connect: rabbit::Hook = Arc::new(move || {
            #[cfg(feature = "catalog")]
            catalog.iter().for_each(catalog::Catalog::forget_all);
            verifier.forget_api_keys();
            let (verifier, keys) = (verifier.clone(), keys.clone());
            Box::pin(async move { Ok(verifier.load(keys.as_ref()).await?) })
        });
        RabbitBus::new(options, self.system.clone(), modules, vec![self.follow_revocations()], on_connect)
    }

    fn follow_revocations(&self) -> Arc<dyn EventHandler> {
        Arc::new(FollowRevocations(self.verifier.clone()))
    }

    /// The products behind some SKUs (at most 100); none if the catalogue does not run here.
    pub async fn products(&self, skus: &[Sku]) -> Result<Vec<CatalogProduct>, AnyError> {
        match &self.local.catalog {
            Some(catalog) => Ok(catalog.find(skus).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Creates an account; `Ok(false)` if the email or username is taken.
    #[cfg(feature = "auth")]
    pub async fn create_account(&self, account: NewAccount) -> Result<bool, AnyError> {
        let not_here = WiringError::NotHere { module: "auth", by: "souk user create" };
        match self.auth.as_ref().ok_or(not_here)?.create_account(account).await {
            Ok(_) => Ok(true),
            Err(auth::AccountError::EmailTaken | auth::AccountError::UsernameTaken) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the second factor of a user away who has lost it. The user's address.
    #[cfg(feature = "auth")]
    pub async fn remove_second_factor(&self, login: &str) -> Result<EmailAddress, AnyError> {
        let not_here = WiringError::NotHere { module: "auth", by: "souk user remove-second-factor" };
        Ok(self.auth.as_ref().ok_or(not_here)?.remove_second_factor(login).await?.email)
    }

    /// Takes a second factor away; this binary cannot.
    #[cfg(not(feature = "auth"))]
    pub async fn remove_second_factor(&self, _: &str) -> Result<EmailAddress, AnyError> {
        Err(WiringError::NotHere { module: "auth", by: "souk user remove-second-factor" }.into())
    }

    /// Lets another key sign access tokens. What `auth` says of it.
    #[cfg(feature = "auth")]
    pub async fn rotate_keys(&self, at_once: bool) -> Result<RotatedKeys, AnyError> {
        let not_here = WiringError::NotHere { module: "auth", by: "souk keys rotate" };
        Ok(self.auth.as_ref().ok_or(not_here)?.rotate_keys(at_once).await?)
    }

    /// Lets another key sign; this binary cannot.
    #[cfg(not(feature = "auth"))]
    pub async fn rotate_keys(&self, _: bool) -> Result<RotatedKeys, AnyError> {
        Err(WiringError::NotHere { module: "auth", by: "souk keys rotate" }.into())
    }

    /// The keys that sign, verify, or did.
    #[cfg(feature = "auth")]
    pub async fn list_keys(&self) -> Result<Vec<ListedKey>, AnyError> {
        let not_here = WiringError::NotHere { module: "auth", by: "souk keys list" };
        Ok(self.auth.as_ref().ok_or(not_here)?.list_keys().await?)
    }

    /// The keys; this binary has none.
    #[cfg(not(feature = "auth"))]
    pub async fn list_keys(&self) -> Result<Vec<ListedKey>, AnyError> {
        Err(WiringError::NotHere { module: "auth", by: "souk keys list" }.into())
    }

    /// Creates an account; this binary cannot.
    #[cfg(not(feature = "auth"))]
    pub async fn create_account(&self, _: NewAccount) -> Result<bool, AnyError> {
        Err(WiringError::NotHere { module: "auth", by: "souk user create" }.into())
    }
}

#[cfg(feature = "auth")]
pub use auth::{ListedKey, NewAccount, RotatedKeys};

/// A rotation that this binary cannot do.
#[cfg(not(feature = "auth"))]
pub struct RotatedKeys {
    pub kid: String,
    pub until: kernel::Timestamp,
}

/// A key that this binary does not have.
#[cfg(not(feature = "auth"))]
#[derive(Serialize)]
pub struct ListedKey {
    pub kid: String,
    pub state: String,
    pub created_at: kernel::Timestamp,
    pub verifies_until: Option<kernel::Timestamp>,
}

/// An account that this binary cannot create.
#[cfg(not(feature = "auth"))]
pub struct NewAccount {
    pub email: EmailAddress,
    pub username: Option<String>,
    pub name: Option<String>,
    pub password: String,
    pub role: contracts::users::Role,
}
