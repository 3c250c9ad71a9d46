//! The HTTP server and the work beside it: relays, workers, and an end that loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use platform::access::policy::Policies;
use platform::bus::EventBus;
use platform::db::Db;
use platform::module::{Module, Worker};
use platform::problem::chain;
use platform::rate_limit::RateLimiter;
use platform::relay::Relay;
use platform::routes::Routes;
use platform::system::System;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::admit;
use crate::connections::{Connection, occupied};
use crate::docs::{self, Docs};
use crate::guard::{RequestDeadline, admitted, guard, unmatched};
use crate::headers::headers;
use crate::health::{self, Health};
use crate::route_table::RouteTable;
use crate::settings::Settings;
use crate::wiring::{Databases, Shop, WiringError};
use crate::workers::run_worker;

/// How often old events and keys are deleted.
const PURGE_EVERY: Duration = Duration::from_secs(600);

/// Why a shop does not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error("the schema of {module} cannot be brought up to date")]
    Migration {
        module: &'static str,
        #[source]
        source: sea_orm::DbErr,
    },
    #[error("the schema of {module} is not current; run `souk migrate up`")]
    SchemaNotCurrent { module: &'static str },
    #[error("the demo shop cannot be loaded")]
    Demo(#[source] platform::module::AnyError),
    #[error("cannot listen on {address}")]
    Bind {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Docs(#[from] crate::docs::DocsError),
    #[error(
        "{here} cannot run apart from the rest of the shop without a message broker, which carries their events: set \
         rabbitmq.url (SOUK__RABBITMQ__URL), the same for every process"
    )]
    NoBroker { here: String },
    #[error(
        "{module} would keep its data in a file of this process: a split shop needs PostgreSQL; set database.url \
         (SOUK__DATABASE__URL) or database.urls.{module}"
    )]
    NoDatabase { module: &'static str },
    #[error(transparent)]
    Settings(#[from] crate::settings::SettingsError),
    #[error("metrics cannot be started")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// A shop that listens. Requests are answered from the moment it is built; relays and workers run from then on too.
pub struct Application {
    addresses: Vec<SocketAddr>,
    server: actix_web::dev::Server,
    background: Background,
    shop: Shop,
    databases: Databases,
    /// For what requests have begun: detached work, relays, workers, the bus.
    shutdown_timeout: Duration,
}

/// The share of the gentle end that requests in flight get: two thirds. What they have begun gets the rest.
fn for_requests(settings: &Settings) -> Duration {
    let whole_s = settings.server.shutdown_timeout_s;
    Duration::from_secs((whole_s.saturating_mul(2) / 3).max(1).min(whole_s))
}

impl Application {
    /// Opens the databases, brings them up to date if the settings say so, puts the modules together, fills an empty
    /// demo shop, and binds. Port 0 takes a free one.
    pub async fn build(settings: &Settings, system: System) -> Result<Self, StartError> {
        crate::telemetry::metrics()?;
        check_servers_of_a_split_shop(settings)?;
        let databases = Databases::open(settings, &system).await?;
        prepare_schemas(settings, &databases).await?;
        let shop = Shop::assemble(settings, &databases, system).await?;
        shop.sync_configured_webhooks().await?;
        // One process of several sees only its part of the shop; `souk demo` fills all of it.
        if settings.demo.load
            && !settings.is_split()
            && crate::demo::is_empty(&shop).await.map_err(StartError::Demo)?
        {
            crate::demo::load(&shop).await.map_err(StartError::Demo)?;
        }
        if !settings.only.contains(&"auth") {
            crate::keys::await_first(&shop.verifier, shop.keys.as_ref()).await;
        }
        let (server, addresses) = listen(settings, &shop)?;
        let background = Background::start(&shop, settings);
        let whole = Duration::from_secs(settings.server.shutdown_timeout_s);
        let shutdown_timeout = whole.saturating_sub(for_requests(settings));
        Ok(Self { addresses, server, background, shop, databases, shutdown_timeout })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.addresses.first().map(|address| format!("http://{address}")).unwrap_or_default()
    }

    /// Stops the server gently from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// The modules.
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Serves until the server is stopped, then finishes what is in flight: requests, then detached work, then the
    /// events it emitted, then the databases.
    pub async fn serve(self) -> std::io::Result<()> {
        let outcome = self.server.await;
        let finish = async {
            self.shop.system.drain().await;
            self.background.stop().await;
        };
        if tokio::time::timeout(self.shutdown_timeout, finish).await.is_err() {
            tracing::warn!("work in flight did not end in time; it is finished at the next start");
        }
        for db in self.databases.iter() {
            if let Err(error) = db.close().await {
                tracing::warn!(module = db.module(), cause = %chain(&error), "the database did not close cleanly");
            }
        }
        outcome
    }
}

/// Without a broker events would not reach the other processes; with SQLite every replica would have a truth of its own.
fn check_servers_of_a_split_shop(settings: &Settings) -> Result<(), StartError> {
    if !settings.is_split() {
        return Ok(());
    }
    if settings.rabbitmq.url.is_empty() {
        return Err(StartError::NoBroker { here: settings.only.join(", ") });
    }
    match settings.only.iter().find(|module| settings.database_url(module).is_empty()) {
        Some(module) => Err(StartError::NoDatabase { module }),
        None => Ok(()),
    }
}

/// Brings every schema up to date, or refuses to run on an old one.
pub async fn prepare_schemas(settings: &Settings, databases: &Databases) -> Result<(), StartError> {
    for db in databases.iter() {
        let module = db.module();
        let failed = |source| StartError::Migration { module, source };
        if settings.database.auto_migrate {
            migrations::up(module, db.orm()).await.map_err(failed)?;
        } else if migrations::status(module, db.reader())
            .await
            .map_err(failed)?
            .iter()
            .any(|(_, applied)| !applied)
        {
            return Err(StartError::SchemaNotCurrent { module });
        }
    }
    Ok(())
}

fn listen(settings: &Settings, shop: &Shop) -> Result<(actix_web::dev::Server, Vec<SocketAddr>), StartError> {
    let (mut routes, mut policies) = (RouteTable::default(), Policies::default());
    let docs = Docs::of(&shop.modules, &mut routes, &mut policies)?;
    let with_docs = settings.server.docs;
    let (pages, module_pages) = match with_docs {
        true => {
            (["/", "/docs", "/docs/errors"].as_slice(), ["openapi.json", "docs", "docs/{file}"].as_slice())
        }
        false => ([].as_slice(), [].as_slice()),
    };
    for path in ["/health", "/livez", "/readyz", "/metrics"].iter().chain(pages) {
        routes.add(path, vec!["GET", "HEAD"]);
        policies.open(Method::GET, path);
    }
    for module in &shop.modules {
        for path in ["health", "healthz"].iter().chain(module_pages) {
            let path = format!("/{}/{path}", module.name());
            routes.add(&path, vec!["GET", "HEAD"]);
            policies.open(Method::GET, &path);
        }
    }
    // They have a gate of their own, and are not there without one.
    policies.open(Method::POST, remote::ROUTES);
    let (docs, routes, policies) = (web::Data::new(docs), web::Data::new(routes), web::Data::new(policies));
    let health = web::Data::new(Health::new(shop.modules.clone(), shop.verifier.clone()));
    let deadline =
        web::Data::new(RequestDeadline(Duration::from_millis(settings.server.request_deadline_ms)));
    let (verifier, system) = (web::Data::from(shop.verifier.clone()), web::Data::new(shop.system.clone()));
    let limiter = RateLimiter::new(settings.limits.clone(), shop.system.clock.clone(), shop.shared.clone());
    let (limiter, proxies) = (web::Data::new(limiter), web::Data::new(settings.trusted_proxies()?));
    let answers = web::Data::new(settings.answer_rules()?);
    let (modules, internal) = (shop.modules_by_traffic(), shop.internal_routes());
    let gate = (!settings.internal.secret.is_empty())
        .then(|| web::Data::new(remote::Gate::new(&settings.internal.secret, shop.system.clock.clone())));
    let server = &settings.server;
    let keep_alive = Duration::from_secs(server.keep_alive_s);
    let head_timeout = Duration::from_millis(server.request_head_timeout_ms);
    let without_request = keep_alive.saturating_add(head_timeout);
    let mut http = HttpServer::new(move || {
        let (modules, internal, gate) = (modules.clone(), internal.clone(), gate.clone());
        App::new()
            .app_data(verifier.clone())
            .app_data(system.clone())
            .app_data(deadline.clone())
            .app_data(limiter.clone())
            .app_data(proxies.clone())
            .app_data(answers.clone())
            .app_data(docs.clone())
            .app_data(routes.clone())
            .app_data(policies.clone())
            .app_data(health.clone())
            .configure(move |config| {
                // Around the modules come first: `/orders/docs` must not be taken for the order `docs`.
                around_the_modules(config, &modules, with_docs);
                if let Some(gate) = gate {
                    config.app_data(gate);
                    internal(config);
                }
                for module in &modules {
                    module.routes(&mut Routes::served(config));
                }
            })
            .default_service(web::to(unmatched))
            .wrap(from_fn(admitted))
            .wrap(from_fn(admit))
            .wrap(from_fn(guard))
            .wrap(from_fn(headers))
            .wrap(from_fn(occupied))
    })
    .on_connect(move |io, connection| {
        if let Some(watched) = Connection::watched(io, without_request) {
            connection.insert(watched);
        }
    })
    .max_connections(server.max_connections)
    .keep_alive(keep_alive)
    .client_request_timeout(head_timeout)
    .shutdown_timeout(for_requests(settings).as_secs())
    .disable_signals();
    if server.workers > 0 {
        http = http.workers(server.workers);
    }
    let address = format!("{}:{}", server.host, server.port);
    let bound = http
        .bind((server.host.as_str(), server.port))
        .map_err(|source| StartError::Bind { address: address.clone(), source })?;
    let addresses = bound.addrs();
    Ok((bound.run(), addresses))
}

fn around_the_modules(config: &mut web::ServiceConfig, modules: &[Arc<dyn Module>], with_docs: bool) {
    config
        .service(health::livez)
        .service(health::readyz)
        .service(health::process_health)
        .service(health::metrics);
    for module in modules {
        let name = module.name();
        config
            .route(&format!("/{name}/health"), web::get().to(health::module_health))
            .route(&format!("/{name}/healthz"), web::get().to(health::module_health));
        if with_docs {
            config
                .route(&format!("/{name}/openapi.json"), web::get().to(docs::openapi_json))
                .route(&format!("/{name}/docs"), web::get().to(docs::swagger_ui))
                // Its prefix is compared as a text, where a pattern of its own would be one more that every request tries.
                .service(
                    web::scope(&format!("/{name}/docs")).route("/{file}", web::get().to(docs::swagger_ui)),
                );
        }
    }
    if with_docs {
        config
            .route("/", web::get().to(docs::home))
            .route("/docs", web::get().to(docs::index))
            .route("/docs/errors", web::get().to(docs::errors));
    }
}

/// Relays, workers, and the bus that they publish to.
struct Background {
    stop: CancellationToken,
    tasks: TaskTracker,
    stop_bus: CancellationToken,
    bus: TaskTracker,
}

impl Background {
    fn start(shop: &Shop, settings: &Settings) -> Self {
        let background = Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            stop_bus: CancellationToken::new(),
            bus: TaskTracker::new(),
        };
        let bus = background.start_bus(shop, settings);
        // A process of auth, too, hears of what another one has ended, or the command line has rotated, only by events.
        background.start_worker(crate::keys::follow(shop.verifier.clone(), shop.keys.clone()), None);
        background.start_worker(crate::keys::report_uses(shop.verifier.clone(), shop.keys.clone()), None);
        for module in &shop.modules {
            let relay = || Relay::new(module.db().clone(), bus.clone(), settings.relay_settings());
            background.tasks.spawn(relay().run(background.stop.clone()));
            let purger = Arc::new(relay());
            let purge = Worker::every("platform.purge", PURGE_EVERY, move || {
                let purger = purger.clone();
                async move { Ok(purger.purge().await?) }
            });
            module
                .workers()
                .into_iter()
                .chain(std::iter::once(purge))
                .for_each(|worker| background.start_worker(worker, Some(module.db().clone())));
        }
        background.tasks.close();
        background.bus.close();
        background
    }

    fn start_bus(&self, shop: &Shop, settings: &Settings) -> Arc<dyn EventBus> {
        match settings.rabbit() {
            None => Arc::new(shop.local_bus()),
            Some(options) => {
                let bus = shop.rabbit_bus(options);
                self.bus.spawn(bus.clone().run(self.stop_bus.clone()));
                bus
            }
        }
    }

    /// With the database of its module, if it has one.
    fn start_worker(&self, worker: Worker, db: Option<Db>) {
        self.tasks.spawn(run_worker(worker, db, self.stop.clone()));
    }

    /// The relays first, as they publish through the bus.
    async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        self.stop_bus.cancel();
        self.bus.wait().await;
    }
}
