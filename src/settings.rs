//! Settings in layers: the default file, the profile's file, `--config FILE`, `SOUK__SECTION__KEY`, flags. Later layers win.
//!
//! Both files are inside the binary, so that it runs from any folder. An unknown section or key is an error: a
//! setting that is misspelt must not be ignored. A secret may also come from a file that `SOUK__SECTION__KEY_FILE` names.

mod production;
mod secret_files;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use kernel::Currency;
use platform::client_address::TrustedProxies;
use platform::db::{DbOptions, Location, masked};
use platform::rabbit;
use platform::rate_limit;
use platform::relay::RelaySettings;
use platform::shared_store;
use remote::MIN_SECRET;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::cors::Cors;
use crate::headers::AnswerRules;
use crate::wiring::{self, MODULE_NAMES, ModuleSettings};

const DEFAULT_FILE: &str = include_str!("../config/default.toml");
const PRODUCTION_FILE: &str = include_str!("../config/production.toml");

/// Which kind of run this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A developer's machine: demo goods, migrations at start, docs.
    #[default]
    Default,
    /// A shop that takes money: no demo, no default secrets, migrations by `souk migrate`.
    Production,
}

/// What the command line may set over everything else.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Overrides {
    /// The kind of run
    #[arg(long, global = true, value_enum, env = "SOUK_PROFILE")]
    pub profile: Option<Profile>,
    /// A TOML file with settings, over those of the profile
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for SQLite files and outgoing mail [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// PostgreSQL to use instead of SQLite: postgres://user:password@host/database
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The modules that run in this process, separated by commas [default: all]. The others are called at the addresses under `peers`
    #[arg(long, global = true, value_name = "MODULES", value_delimiter = ',', hide_possible_values = false,
        value_parser = clap::builder::PossibleValuesParser::new(wiring::compiled()))]
    pub only: Option<Vec<String>>,
    #[arg(skip)]
    pub host: Option<String>,
    #[arg(skip)]
    pub port: Option<u16>,
}

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("{0}")]
    Read(#[from] config::ConfigError),
    #[error("there is no setting section `{0}`; `souk config show` lists them")]
    UnknownSection(String),
    #[error("{setting}: {problem}")]
    Invalid { setting: String, problem: String },
}

fn invalid(setting: &str, problem: impl Into<String>) -> SettingsError {
    SettingsError::Invalid { setting: setting.to_owned(), problem: problem.into() }
}

/// Where and how HTTP is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub workers: usize,
    pub max_connections: usize,
    pub keep_alive_s: u64,
    pub request_head_timeout_ms: u64,
    pub shutdown_timeout_s: u64,
    pub request_deadline_ms: u64,
    #[serde(deserialize_with = "list")]
    pub trusted_proxies: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub cors_origins: Vec<String>,
    pub hsts: bool,
    pub docs: bool,
}

/// Where files live.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
}

/// Which database, and its bounds.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    pub url: String,
    #[serde(default)]
    pub urls: BTreeMap<String, String>,
    pub max_connections: u32,
    pub acquire_timeout_ms: u64,
    pub statement_timeout_ms: u64,
    pub auto_migrate: bool,
}

/// Whether an empty shop is filled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    pub load: bool,
}

/// What is logged, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

/// How events leave the outboxes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySection {
    pub poll_every_ms: u64,
    pub max_attempts: i64,
}

/// The shop itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopSection {
    pub currency: Currency,
}

/// Whose access tokens are accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSection {
    pub issuer: String,
}

/// Where a module runs that does not run here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSection {
    pub url: String,
}

/// How the processes of a split shop call one another.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Internal {
    pub secret: String,
    pub deadline_ms: u64,
}

/// The message broker of a split shop.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rabbitmq {
    pub url: String,
    pub prefix: String,
}

/// The store that replicas share for counters and cached products.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub url: String,
    pub prefix: String,
}

/// All settings of a process.
#[derive(Clone, Serialize)]
pub struct Settings {
    /// The modules that run in this process, in alphabetical order.
    pub only: Vec<&'static str>,
    pub profile: Profile,
    pub server: Server,
    pub data: Data,
    pub database: DatabaseSettings,
    pub demo: Demo,
    pub log: Log,
    pub relay: RelaySection,
    pub shop: ShopSection,
    pub access: AccessSection,
    pub peers: BTreeMap<String, PeerSection>,
    pub internal: Internal,
    pub rabbitmq: Rabbitmq,
    pub redis: Redis,
    pub limits: rate_limit::Settings,
    #[serde(flatten)]
    pub modules: ModuleSettings,
}

/// Settings are logged; their secrets are not.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show().map_err(|_| fmt::Error)?)
    }
}

/// A list, or one string with commas, as it comes from the environment.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        }
        OneOrMany::Many(items) => items,
    })
}

#[derive(Deserialize)]
#[serde(transparent)]
struct List(#[serde(deserialize_with = "list")] Vec<String>);

/// The variables of the environment that are settings.
fn own_variables() -> Result<HashMap<String, String>, SettingsError> {
    let own = |name: &std::ffi::OsStr| name.to_string_lossy().to_uppercase().starts_with("SOUK__");
    let as_text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.to_string_lossy().into_owned();
        match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(invalid(&name, "is no UTF-8 text")),
        }
    };
    std::env::vars_os().filter(|(name, _)| own(name)).map(as_text).collect()
}

/// Reads a section; an error names the setting at fault.
pub fn section<T: serde::de::DeserializeOwned>(config: &Config, name: &str) -> Result<T, SettingsError> {
    let value: config::Value = config.get(name)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let setting = if path == "." { name.to_owned() } else { format!("{name}.{path}") };
        SettingsError::Invalid { setting, problem: without_value(&error.into_inner().to_string()) }
    })
}

/// A text that stands where something else belongs may be a secret with a part of its name missing, so it is not repeated.
fn without_value(message: &str) -> String {
    let around = message.split_once("invalid type: string \"").zip(message.rsplit_once("\", expected "));
    match around {
        Some((_, (_, expected))) => format!("is a text; expected {expected}"),
        None => message.to_owned(),
    }
}

/// What is not a section of a module.
const SECTIONS: &[&str] = &[
    "only", "server", "data", "database", "demo", "log", "relay", "shop", "access", "peers", "internal",
    "rabbitmq", "redis", "limits",
];

impl Settings {
    /// Reads every layer and checks the result.
    pub fn load(overrides: &Overrides) -> Result<Self, SettingsError> {
        Self::load_with(overrides, own_variables()?)
    }

    fn load_with(
        overrides: &Overrides,
        mut variables: HashMap<String, String>,
    ) -> Result<Self, SettingsError> {
        secret_files::read(&mut variables)?;
        let environment = Environment::with_prefix("SOUK").prefix_separator("__").separator("__");
        let profile = overrides.profile.unwrap_or_default();
        let mut layers = Config::builder().add_source(File::from_str(DEFAULT_FILE, FileFormat::Toml));
        if profile == Profile::Production {
            layers = layers.add_source(File::from_str(PRODUCTION_FILE, FileFormat::Toml));
        }
        if let Some(file) = &overrides.config {
            layers = layers.add_source(File::from(file.as_path()).format(FileFormat::Toml));
        }
        layers = layers.add_source(environment.ignore_empty(true).source(Some(variables)));
        layers = layers
            .set_override_option(
                "data.dir",
                overrides.data_dir.as_ref().map(|dir| dir.display().to_string()),
            )?
            .set_override_option("database.url", overrides.database_url.clone())?
            .set_override_option("server.host", overrides.host.clone())?
            .set_override_option("server.port", overrides.port)?
            .set_override_option("only", overrides.only.clone())?;
        Self::from_layers(profile, &layers.build()?)
    }

    fn from_layers(profile: Profile, config: &Config) -> Result<Self, SettingsError> {
        let sections =
            config.clone().try_deserialize::<std::collections::BTreeMap<String, serde_json::Value>>()?;
        let known = |name: &str| SECTIONS.contains(&name) || MODULE_NAMES.contains(&name);
        if let Some(unknown) = sections.into_keys().find(|name| !known(name)) {
            return Err(SettingsError::UnknownSection(unknown));
        }
        let shop: ShopSection = section(config, "shop")?;
        let data: Data = section(config, "data")?;
        let modules = ModuleSettings::read(config, shop.currency, &data.dir)?;
        let settings = Self {
            only: modules_here(&section::<List>(config, "only")?.0)?,
            profile,
            server: section(config, "server")?,
            data,
            database: section(config, "database")?,
            demo: section(config, "demo")?,
            log: section(config, "log")?,
            relay: section(config, "relay")?,
            shop,
            access: section(config, "access")?,
            peers: section(config, "peers")?,
            internal: section(config, "internal")?,
            rabbitmq: section(config, "rabbitmq")?,
            redis: section(config, "redis")?,
            limits: section(config, "limits")?,
            modules,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The proxies whose word about a client's address is taken.
    pub fn trusted_proxies(&self) -> Result<TrustedProxies, SettingsError> {
        TrustedProxies::parse(&self.server.trusted_proxies)
            .map_err(|error| invalid("server.trusted_proxies", error.to_string()))
    }

    /// What the answers of this process have in common.
    pub fn answer_rules(&self) -> Result<AnswerRules, SettingsError> {
        let cors = Cors::parse(&self.server.cors_origins)
            .map_err(|error| invalid("server.cors_origins", error.to_string()))?;
        Ok(AnswerRules { cors, hsts: self.server.hsts })
    }

    /// Where the data of a module is; empty for SQLite.
    pub fn database_url(&self, module: &str) -> &str {
        self.database.urls.get(module).unwrap_or(&self.database.url)
    }

    /// Whether other modules of the shop run elsewhere.
    pub fn is_split(&self) -> bool {
        self.only.len() < MODULE_NAMES.len()
    }

    fn check(&self) -> Result<(), SettingsError> {
        let urls = self.database.urls.iter().map(|(module, url)| (format!("database.urls.{module}"), url));
        for (setting, url) in urls.chain([("database.url".to_owned(), &self.database.url)]) {
            if !url.is_empty() && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
                return Err(invalid(&setting, "must be empty (SQLite) or begin with postgres://"));
            }
        }
        self.trusted_proxies()?;
        self.answer_rules()?;
        self.check_topology()?;
        let issuer = &self.access.issuer;
        if !(1..=200).contains(&issuer.len()) || !issuer.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid(
                "access.issuer",
                "must be 1 to 200 visible ASCII characters, best an https URL",
            ));
        }
        if !(1..=100).contains(&self.database.max_connections) {
            return Err(invalid("database.max_connections", "must be 1 to 100"));
        }
        if !(1..=100_000).contains(&self.server.max_connections) {
            return Err(invalid("server.max_connections", "must be 1 to 100000"));
        }
        if self.database.acquire_timeout_ms == 0 || self.database.statement_timeout_ms == 0 {
            return Err(invalid("database", "its time-outs must be more than 0 ms"));
        }
        if self.relay.poll_every_ms == 0 || self.relay.max_attempts < 1 {
            return Err(invalid("relay", "poll_every_ms and max_attempts must be at least 1"));
        }
        if self.server.request_deadline_ms == 0 || self.internal.deadline_ms == 0 {
            return Err(invalid(
                "server.request_deadline_ms and internal.deadline_ms",
                "must be more than 0 ms",
            ));
        }
        production::check(self)
    }

    /// What processes of one shop must agree on.
    fn check_topology(&self) -> Result<(), SettingsError> {
        let named = self.peers.keys().map(|module| ("peers", module));
        let named = named.chain(self.database.urls.keys().map(|module| ("database.urls", module)));
        for (section, module) in named {
            if !MODULE_NAMES.contains(&module.as_str()) {
                let problem =
                    format!("there is no module of this name; there are {}", MODULE_NAMES.join(", "));
                return Err(invalid(&format!("{section}.{module}"), problem));
            }
        }
        let secret = self.internal.secret.len();
        if (self.is_split() && secret == 0) || (1..MIN_SECRET).contains(&secret) {
            return Err(invalid(
                "internal.secret",
                format!(
                    "processes of a split shop know each other by it: set {MIN_SECRET} bytes or more, the same in every process"
                ),
            ));
        }
        let prefixes = [("rabbitmq.prefix", &self.rabbitmq.prefix), ("redis.prefix", &self.redis.prefix)];
        for (setting, prefix) in prefixes {
            let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if !(1..=64).contains(&prefix.len()) || !prefix.chars().all(fits) {
                return Err(invalid(setting, "must be 1 to 64 letters, digits, hyphens or underscores"));
            }
        }
        let broker = &self.rabbitmq.url;
        if !broker.is_empty() && !broker.starts_with("amqp://") && !broker.starts_with("amqps://") {
            return Err(invalid("rabbitmq.url", "must be empty or begin with amqp:// or amqps://"));
        }
        // No secret and nothing that cannot be read elsewhere is kept in Redis, and TLS to it is not built in.
        if !self.redis.url.is_empty() && !self.redis.url.starts_with("redis://") {
            return Err(invalid("redis.url", "must be empty or begin with redis://"));
        }
        Ok(())
    }

    /// Where and how a module opens its database.
    pub fn database_options(&self, module: &str) -> DbOptions {
        let location = match self.database_url(module) {
            "" => Location::Sqlite { folder: self.data.dir.clone() },
            url => Location::Postgres { url: url.to_owned() },
        };
        DbOptions {
            location,
            max_connections: self.database.max_connections,
            acquire_timeout: Duration::from_millis(self.database.acquire_timeout_ms),
            statement_timeout: Duration::from_millis(self.database.statement_timeout_ms),
            durable: true,
        }
    }

    /// Where the replicas share counters and cached products; `None` without Redis.
    pub fn shared_store(&self) -> Option<shared_store::Options> {
        let Redis { url, prefix } = &self.redis;
        (!url.is_empty()).then(|| shared_store::Options { url: url.clone(), prefix: prefix.clone() })
    }

    /// The broker that carries events between processes; `None` if they stay in this one.
    pub fn rabbit(&self) -> Option<rabbit::Options> {
        let Rabbitmq { url, prefix } = &self.rabbitmq;
        (!url.is_empty()).then(|| rabbit::Options::new(url, prefix))
    }

    /// How every module's relay paces itself.
    pub fn relay_settings(&self) -> RelaySettings {
        RelaySettings {
            poll_every: Duration::from_millis(self.relay.poll_every_ms),
            max_attempts: self.relay.max_attempts,
            ..RelaySettings::default()
        }
    }

    /// The settings in force as TOML, with every secret masked.
    pub fn show(&self) -> Result<String, toml::ser::Error> {
        let mut tree = toml::Value::try_from(self)?;
        mask(&mut tree, "");
        toml::to_string_pretty(&tree)
    }
}

/// The modules that a list names, or all that are compiled, in alphabetical order.
fn modules_here(only: &[String]) -> Result<Vec<&'static str>, SettingsError> {
    let compiled = wiring::compiled();
    if let Some(unknown) = only.iter().find(|name| !compiled.contains(&name.as_str())) {
        let known = compiled.join(", ");
        return Err(invalid(
            "only",
            format!("there is no module {unknown} in this binary; there are {known}"),
        ));
    }
    Ok(compiled
        .into_iter()
        .filter(|name| only.is_empty() || only.iter().any(|wanted| wanted == name))
        .collect())
}

/// Where relative paths of the settings start: the data folder.
pub fn below(data_dir: &Path, folder: &str) -> PathBuf {
    data_dir.join(folder)
}

const MASK: &str = "***";

fn mask(value: &mut toml::Value, key: &str) {
    let is_secret = ["secret", "pepper", "password", "token_key"].iter().any(|word| key.contains(word));
    match value {
        toml::Value::Table(table) => table.iter_mut().for_each(|(key, value)| mask(value, key)),
        toml::Value::Array(items) => items.iter_mut().for_each(|item| mask(item, key)),
        toml::Value::String(text) if is_secret => MASK.clone_into(text),
        toml::Value::String(text) if text.contains("://") => *text = masked(text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(
        overrides: &Overrides,
        environment: &[(&str, &str)],
    ) -> Result<Settings, SettingsError> {
        let variables =
            environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::load_with(overrides, variables)
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), "[server]\nport = 1\nhost = \"file\"\nkeep_alive_s = 3\n").unwrap();
        let overrides =
            Overrides { config: Some(file.path().to_owned()), port: Some(3), ..Overrides::default() };
        let environment = [("SOUK__SERVER__PORT", "2"), ("SOUK__SERVER__HOST", "environment")];
        let server = load(&overrides, &environment).unwrap().server;
        assert_eq!((server.port, server.host.as_str(), server.keep_alive_s), (3, "environment", 3));
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        let unknown_key =
            load(&Overrides::default(), &[("SOUK__SERVER__PROT", "1")]).unwrap_err().to_string();
        assert!(unknown_key.contains("prot"), "{unknown_key}");
        let unknown_section =
            load(&Overrides::default(), &[("SOUK__SEVER__PORT", "1")]).unwrap_err().to_string();
        assert!(unknown_section.contains("sever"), "{unknown_section}");
        let no_number =
            load(&Overrides::default(), &[("SOUK__SERVER__PORT", "http")]).unwrap_err().to_string();
        assert!(no_number.contains("port"), "{no_number}");
        let mysql = Overrides { database_url: Some("mysql://x".to_owned()), ..Overrides::default() };
        assert!(load(&mysql, &[]).unwrap_err().to_string().contains("database.url"));
    }

    #[test]
    fn a_process_of_a_split_shop_names_its_modules_and_shares_a_secret() {
        let secret = ("SOUK__INTERNAL__SECRET", "sixteen characters");
        let settings = load(&Overrides::default(), &[("SOUK__ONLY", "orders, inventory"), secret]).unwrap();
        assert_eq!(
            (settings.only.as_slice(), settings.is_split()),
            (["inventory", "orders"].as_slice(), true)
        );
        assert!(!load(&Overrides::default(), &[]).unwrap().is_split());
        for (environment, named) in [
            ([("SOUK__ONLY", "ordres"), secret], "ordres"),
            ([("SOUK__ONLY", "orders"), ("SOUK__SERVER__PORT", "1")], "internal.secret"),
            ([("SOUK__ONLY", "orders"), ("SOUK__INTERNAL__SECRET", "short")], "internal.secret"),
            ([("SOUK__PEERS__ORDRES__URL", "http://localhost"), secret], "peers.ordres"),
            ([("SOUK__RABBITMQ__URL", "http://localhost"), secret], "rabbitmq.url"),
            ([("SOUK__DATABASE__URLS__ORDERS", "mysql://x"), secret], "database.urls.orders"),
        ] {
            let refusal = load(&Overrides::default(), &environment).unwrap_err().to_string();
            assert!(refusal.contains(named), "{named}: {refusal}");
        }
    }

    #[test]
    fn a_secret_with_a_part_of_its_name_missing_is_not_repeated() {
        for variable in ["SOUK__DATABASE", "SOUK__AUTH", "SOUK__DATABASE__URLS", "SOUK__PEERS__ORDERS"] {
            let refusal = load(&Overrides::default(), &[(variable, "hunter2")]).unwrap_err().to_string();
            assert!(!refusal.contains("hunter2"), "{variable}: {refusal}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let urls = wiring::MODULE_NAMES.iter().map(|module| format!("database.urls.{module}"));
        let secrets: Vec<String> =
            secret_files::SECRETS.iter().map(|name| (*name).to_owned()).chain(urls).collect();
        for marker in ["hunter2-hunter2-hunter2", "hunter2-/?#@:-hunter2"] {
            let values: Vec<(String, String)> = secrets
                .iter()
                .map(|setting| {
                    let value = match setting.split_once('.') {
                        Some(("database", _)) => {
                            format!("postgres://shop:{marker}@db/souk?sslpassword=hunter2")
                        }
                        Some(("rabbitmq", _)) => format!("amqp://shop:{marker}@mq/%2f"),
                        Some(("redis", _)) => format!("redis://:{marker}@cache/"),
                        _ => marker.to_owned(),
                    };
                    (secret_files::variable(setting), value)
                })
                .collect();
            let mut environment: Vec<(&str, &str)> =
                values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let peer = format!("http://shop:{marker}@orders:8080");
            environment.push(("SOUK__PEERS__ORDERS__URL", &peer));
            let settings = load(&Overrides::default(), &environment).unwrap();
            let shown = settings.show().unwrap();
            let debugged = [
                format!("{settings:?}"),
                format!("{:?}", settings.modules),
                format!("{:?}", settings.database_options("orders")),
            ];
            for text in debugged.iter().chain([&shown]) {
                assert!(!text.contains("hunter2"), "{text}");
            }
            assert!(shown.contains("postgres://shop:***@"), "{shown}");
        }
    }
}
