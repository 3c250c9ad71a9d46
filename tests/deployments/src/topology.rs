//! The ways to run the shop.

use std::process::{Command, Stdio};

use crate::process::{text, variable};
use crate::running::Running;

/// A way to run the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// One process on SQLite.
    Sqlite,
    /// One process on PostgreSQL.
    Postgres,
    /// Eight processes behind NGINX.
    Split,
    /// Five groups of modules, of which orders and inventory run twice.
    Mixed,
    /// Eight processes, each of them twice.
    Replicas,
}

pub const TOPOLOGIES: &[Topology] =
    &[Topology::Sqlite, Topology::Postgres, Topology::Split, Topology::Mixed, Topology::Replicas];

/// What a shop is started with beside what every test has.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings by their names in the environment, such as `SOUK__ORDERS__PAYMENT_WINDOW_S`.
    pub settings: Vec<(String, String)>,
    /// The servers it uses.
    pub servers: Servers,
    /// Whether each process has a folder for failpoints, [`Running::failpoints`].
    pub failpoints: bool,
}

impl Options {
    /// With one setting more.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }
}

/// Addresses of servers; those of the environment (`TEST_DATABASE_URL`, ...) where there is none.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    pub postgres: Option<String>,
    pub rabbitmq: Option<String>,
    pub redis: Option<String>,
}

impl Servers {
    pub(crate) fn postgres(&self) -> String {
        self.postgres.clone().or_else(|| variable("TEST_DATABASE_URL")).unwrap_or_default()
    }

    pub(crate) fn rabbitmq(&self) -> String {
        self.rabbitmq.clone().or_else(|| variable("TEST_RABBITMQ_URL")).unwrap_or_default()
    }

    pub(crate) fn redis(&self) -> String {
        self.redis.clone().or_else(|| variable("TEST_REDIS_URL")).unwrap_or_default()
    }
}

impl Topology {
    /// As it stands in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Topology::Sqlite => "sqlite",
            Topology::Postgres => "postgres",
            Topology::Split => "split",
            Topology::Mixed => "mixed",
            Topology::Replicas => "replicas",
        }
    }

    /// The processes of a deployment by `scripts/split.sh`; `None` for a single process.
    pub(crate) fn groups(self) -> Option<&'static str> {
        match self {
            Topology::Sqlite | Topology::Postgres => None,
            Topology::Split => Some("auth users catalog cart inventory orders payments notifications"),
            Topology::Mixed => Some("auth,users,notifications catalog,cart orders,inventory*2 payments"),
            Topology::Replicas => {
                Some("auth*2 users*2 catalog*2 cart*2 inventory*2 orders*2 payments*2 notifications*2")
            }
        }
    }

    /// What of it is not here to run it; `None` if all is.
    pub fn missing(self) -> Option<String> {
        let variables: &[&str] = match self {
            Topology::Sqlite => &[],
            Topology::Postgres => &["TEST_DATABASE_URL"],
            _ => &["TEST_DATABASE_URL", "TEST_RABBITMQ_URL", "TEST_REDIS_URL"],
        };
        if let Some(unset) = variables.iter().find(|name| variable(name).is_none()) {
            return Some(format!("{unset} is not set"));
        }
        let runs = |nginx: &str| Command::new(nginx).arg("-v").stderr(Stdio::null()).status().is_ok();
        // Debian does not put it into everybody's path; split.sh knows, too.
        let has_nginx = || ["nginx", "/usr/sbin/nginx"].into_iter().any(runs);
        (self.groups().is_some() && !has_nginx()).then(|| "there is no nginx here".to_owned())
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Result<Running, String> {
        self.start_with(Options::default())
    }

    /// The same with options.
    pub fn start_with(self, options: Options) -> Result<Running, String> {
        let folder = tempfile::Builder::new().prefix("souk-test-").tempdir().map_err(text)?.keep();
        match self.groups() {
            None => Running::process(self, folder, options),
            Some(groups) => Running::deployment(groups, folder, options),
        }
    }
}
