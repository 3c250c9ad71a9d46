//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use platform::module::AnyError;
use platform::problem::chain;

use crate::commands;
use crate::settings::{Overrides, Settings};
use crate::telemetry;
use crate::wiring::MODULE_NAMES;

/// A complete shop backend in one binary.
///
/// Without a command it serves: `souk` alone is a whole shop on http://127.0.0.1:8080, with its data in ./data.
#[derive(Debug, Parser)]
#[command(name = "souk", version, propagate_version = false, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    overrides: Overrides,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the shop over HTTP (the default)
    Serve(ServeArgs),
    /// Bring the databases' schemas up to date, back, or show where they stand
    Migrate {
        #[command(subcommand)]
        action: MigrateAction,
    },
    /// Load the demo shop: three accounts and a few dozen goods
    Demo,
    /// Manage accounts
    User {
        #[command(subcommand)]
        action: UserAction,
    },
    /// Look after the keys that sign access tokens
    Keys {
        #[command(subcommand)]
        action: KeysAction,
    },
    /// Read a CSV file into the shop: creates and updates, and lists what it refuses
    Import {
        /// What the file holds
        resource: Resource,
        /// The file; - for standard input
        file: PathBuf,
    },
    /// Write a table of the shop as CSV
    Export {
        /// What to write
        resource: Resource,
        /// The file; - for standard output
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Check every invariant of the live shop, read-only; exit code 1 if one is broken, 2 if not everything could be checked
    Doctor {
        /// Write the result as JSON
        #[arg(long)]
        json: bool,
        /// List what has been begun and not ended instead; exit code 1 if something is overdue
        #[arg(long)]
        open: bool,
        /// Look again and again, and serve what was found as Prometheus metrics at /metrics
        #[arg(long, conflicts_with_all = ["json", "open"])]
        watch: bool,
        /// The pause between two looks: a number with s, m or h
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = pause, requires = "watch")]
        every: Duration,
        /// Where the metrics are served; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464", requires = "watch")]
        listen: SocketAddr,
    },
    /// Ask the process that serves with these settings whether it is ready; exit code 1 if not
    Health,
    /// Look after events that could not be delivered or handled
    Events {
        #[command(subcommand)]
        action: EventsAction,
    },
    /// Write the OpenAPI documents as JSON
    Openapi {
        /// Only this module's
        #[arg(long, value_name = "MODULE")]
        module: Option<String>,
    },
    /// Check or show the settings
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
}

/// How to serve.
#[derive(Debug, Clone, Default, Args)]
struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 8080]
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum MigrateAction {
    /// Apply what is missing
    Up,
    /// Take steps back. This deletes data
    Down {
        /// How many steps of each module; all if not given
        #[arg(long)]
        steps: Option<u32>,
        /// Confirms that data may be deleted
        #[arg(long)]
        yes: bool,
    },
    /// List every step with whether it is applied
    Status,
}

#[derive(Debug, Subcommand)]
enum UserAction {
    /// Create an account. Asks for the password unless SOUK_PASSWORD holds it
    Create {
        /// The address to log in with
        #[arg(long)]
        email: String,
        /// A second name to log in with
        #[arg(long)]
        username: Option<String>,
        /// The person's name
        #[arg(long)]
        name: Option<String>,
        /// Let the account run the shop
        #[arg(long)]
        admin: bool,
    },
    /// Take away the authenticator app and the recovery codes of a user who has lost them. The password alone lets them in
    /// then; their sessions end, and a letter tells them
    RemoveSecondFactor {
        /// The user's email address or username
        login: String,
    },
}

#[derive(Debug, Subcommand)]
enum KeysAction {
    /// Let a new key sign. Tokens of the old one stay valid until the last of them has expired
    Rotate {
        /// The old keys are not to be trusted any more: their tokens are refused at once, and everyone refreshes or logs in anew
        #[arg(long)]
        now: bool,
    },
    /// List the keys with their states; changes nothing
    List {
        /// Write the list as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum EventsAction {
    /// Events that were given up
    Dead {
        #[command(subcommand)]
        action: DeadAction,
    },
    /// Delete every queue and exchange of the message broker that has this shop's prefix. Stop the shop first: it would
    /// declare them anew while they are being deleted
    Reset {
        /// Confirms that events which wait there may be lost
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
enum DeadAction {
    /// List them with their causes; changes nothing
    List {
        /// Write the list as JSON
        #[arg(long)]
        json: bool,
        /// Only those of this module
        #[arg(long, value_name = "MODULE", value_parser = PossibleValuesParser::new(MODULE_NAMES))]
        module: Option<String>,
    },
    /// Let them be tried again
    Replay {
        /// The ids of the events
        #[arg(value_name = "EVENT_ID", required_unless_present = "all", conflicts_with = "all")]
        events: Vec<kernel::EventId>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Only those of this module
        #[arg(long, value_name = "MODULE", value_parser = PossibleValuesParser::new(MODULE_NAMES))]
        module: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Read all layers and say whether they are valid
    Check,
    /// Show the settings in force, secrets masked
    Show,
}

/// The tables that go in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Resource {
    Products,
    Inventory,
    Users,
    Orders,
}

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Resource::Products => "products",
            Resource::Inventory => "inventory",
            Resource::Users => "users",
            Resource::Orders => "orders",
        }
    }
}

/// A number with its unit: `90s`, `5m`, `1h`. At least a second, at most a day.
fn pause(text: &str) -> Result<Duration, String> {
    let refusal = || format!("`{text}` is not a number of seconds, minutes or hours such as 60s, 5m or 1h");
    let unit = text.chars().last().ok_or_else(refusal)?;
    let seconds_of_one = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(refusal()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| refusal())?;
    match number.checked_mul(seconds_of_one) {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be one second to one day".to_owned()),
    }
}

impl Cli {
    /// Does it. Errors go to standard error in one line; the exit code is 1 for them, and for a doctor who found
    /// something. A doctor who could not look has 2.
    pub async fn run(self) -> ExitCode {
        let failure = match &self.command {
            Some(Command::Doctor { .. }) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        };
        match self.execute().await {
            Ok(code) => code,
            Err(error) => {
                commands::complain(&format!("souk: {}", chain(error.as_ref())));
                failure
            }
        }
    }

    async fn execute(self) -> Result<ExitCode, AnyError> {
        let serve = match &self.command {
            Some(Command::Serve(args)) => args.clone(),
            _ => self.serve,
        };
        let overrides = Overrides { host: serve.host, port: serve.port, ..self.overrides };
        let settings = Settings::load(&overrides)?;
        let command = self.command.unwrap_or(Command::Serve(ServeArgs::default()));
        if matches!(command, Command::Serve(_)) {
            telemetry::start_logging(&settings.log)?;
            return commands::serve::serve(&settings).await;
        }
        // Commands talk to a person: only what needs attention is logged.
        let quiet = crate::settings::Log { level: "warn".to_owned(), ..settings.log.clone() };
        telemetry::start_logging(&quiet)?;
        match command {
            Command::Serve(_) => Ok(ExitCode::SUCCESS),
            Command::Migrate { action: MigrateAction::Up } => commands::migrate::up(&settings).await,
            Command::Migrate { action: MigrateAction::Down { steps, yes } } => {
                commands::migrate::down(&settings, steps, yes).await
            }
            Command::Migrate { action: MigrateAction::Status } => commands::migrate::status(&settings).await,
            Command::Demo => commands::demo::demo(&settings).await,
            Command::User { action: UserAction::Create { email, username, name, admin } } => {
                commands::user::create(&settings, &email, username, name, admin).await
            }
            Command::User { action: UserAction::RemoveSecondFactor { login } } => {
                commands::user::remove_second_factor(&settings, &login).await
            }
            Command::Keys { action: KeysAction::Rotate { now } } => {
                commands::keys::rotate(&settings, now).await
            }
            Command::Keys { action: KeysAction::List { json } } => {
                commands::keys::list(&settings, json).await
            }
            Command::Import { resource, file } => {
                commands::import::import(&settings, resource.name(), &file).await
            }
            Command::Export { resource, file } => {
                commands::export::export(&settings, resource.name(), &file).await
            }
            Command::Doctor { watch: true, every, listen, .. } => {
                commands::doctor_watch::watch(&settings, every, listen).await
            }
            Command::Doctor { json, open: true, .. } => commands::doctor::open_work(&settings, json).await,
            Command::Doctor { json, .. } => commands::doctor::check(&settings, json).await,
            Command::Health => commands::health::health(&settings).await,
            Command::Events { action: EventsAction::Dead { action: DeadAction::List { json, module } } } => {
                commands::events::list(&settings, json, module).await
            }
            Command::Events {
                action: EventsAction::Dead { action: DeadAction::Replay { events, all, module } },
            } => commands::events::replay(&settings, (!all).then_some(events), module).await,
            Command::Events { action: EventsAction::Reset { yes } } => {
                commands::events::reset(&settings, yes).await
            }
            Command::Openapi { module } => commands::openapi::openapi(&settings, module.as_deref()).await,
            Command::Config { action: ConfigAction::Check } => {
                commands::say("the settings are valid")?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Config { action: ConfigAction::Show } => {
                commands::say(settings.show()?.trim_end())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
