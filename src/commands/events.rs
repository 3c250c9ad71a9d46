//! `souk events`: what could not be handled, and its way back.
//!
//! An event can get stuck at two ends. The module that published it could not hand it over: then it is set aside in that
//! module's outbox. Or the module that subscribes to it could not handle it: then it is among the dead letters of the broker.

use std::collections::BTreeSet;
use std::process::ExitCode;

use kernel::{EventId, Timestamp};
use platform::db::{Db, Location};
use platform::module::AnyError;
use platform::outbox;
use platform::problem::chain;
use platform::rabbit::{self, DeadLetter, Selection};
use platform::system::System;
use serde::Serialize;
use serde_json::json;

use crate::commands::{complain, say};
use crate::settings::Settings;

/// Where an event is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// The module did not get rid of it.
    Outbox,
    /// The module could not handle it.
    DeadLetters,
}

/// An event that waits for an operator.
#[derive(Debug, Serialize)]
struct Stuck {
    place: Place,
    #[serde(flatten)]
    letter: DeadLetter,
}

/// Stuck events, as many as are told one by one.
#[derive(Debug, Default)]
struct Found {
    stuck: Vec<Stuck>,
    /// So many more there are.
    more: u64,
}

impl Found {
    fn add(&mut self, place: Place, letters: impl IntoIterator<Item = DeadLetter>) {
        self.stuck.extend(letters.into_iter().map(|letter| Stuck { place, letter }));
    }

    /// Each of them, and how many there are in all.
    fn tell(&self, one: &str, many: &str) -> std::io::Result<()> {
        self.stuck.iter().try_for_each(tell)?;
        if self.more > 0 {
            say(&format!("and {} more", self.more))?;
        }
        let listed = u64::try_from(self.stuck.len()).unwrap_or(u64::MAX);
        match listed.saturating_add(self.more) {
            0 => say("no event is stuck"),
            1 => say(&format!("1 event {one}")),
            number => say(&format!("{number} events {many}")),
        }
    }
}

/// The outboxes that this process may look into.
struct Outboxes {
    open: Vec<Db>,
    /// Those that it may not, with the reason.
    closed: Vec<(&'static str, String)>,
}

impl Outboxes {
    async fn open(settings: &Settings, selection: &Selection) -> Self {
        let mut outboxes = Self { open: Vec::new(), closed: Vec::new() };
        let modules = settings.only.iter().copied().filter(|module| selection.has_module(module));
        for module in modules {
            match Self::open_one(settings, module).await {
                Ok(db) => outboxes.open.push(db),
                Err(cause) => outboxes.closed.push((module, cause)),
            }
        }
        outboxes
    }

    async fn open_one(settings: &Settings, module: &'static str) -> Result<Db, String> {
        let options = settings.database_options(module);
        // Opening a SQLite file would create it.
        if let Location::Sqlite { folder } = &options.location
            && !folder.join(format!("{module}.sqlite")).is_file()
        {
            return Err(format!("there is no database in {}", folder.display()));
        }
        let db = Db::open(module, &options, System::real()).await.map_err(|error| chain(&error))?;
        // The schema may be missing.
        outbox::given_up(&db, Some(&[])).await.map_err(|error| chain(&error))?;
        Ok(db)
    }

    /// What is stuck in them, up to a bound.
    async fn stuck(&self, selection: &Selection) -> Result<Found, AnyError> {
        let mut found = Found::default();
        for db in &self.open {
            let (rows, more) = outbox::given_up(db, selection.events.as_deref()).await?;
            found.add(Place::Outbox, rows.into_iter().map(|row| letter(db.module(), row)));
            found.more += more;
        }
        Ok(found)
    }

    /// Lets what is stuck in them be tried again, and tells it up to the same bound.
    async fn revive(&self, selection: &Selection) -> Result<Found, AnyError> {
        let mut revived = Found::default();
        for db in &self.open {
            let (rows, _) = outbox::given_up(db, selection.events.as_deref()).await?;
            let told = u64::try_from(rows.len())?;
            revived.add(Place::Outbox, rows.into_iter().map(|row| letter(db.module(), row)));
            revived.more += outbox::revive(db, selection.events.as_deref()).await?.saturating_sub(told);
        }
        Ok(revived)
    }

    async fn close(self) -> Result<(), AnyError> {
        for db in self.open {
            db.close().await?;
        }
        Ok(())
    }
}

fn letter(module: &str, row: outbox::Model) -> DeadLetter {
    DeadLetter {
        module: module.to_owned(),
        event_id: Some(EventId(row.event_id)),
        event_type: Some(row.event_type),
        aggregate_id: Some(row.aggregate_id),
        occurred_at: Some(Timestamp::from_ms(row.occurred_at_ms)),
        trace_id: row.trace_id,
        handler: None,
        cause: row.last_error.unwrap_or_else(|| "unknown".to_owned()),
        attempts: Some(row.attempts),
        died_at: row.dead_at_ms.map(Timestamp::from_ms),
    }
}

/// Lists the stuck events. It changes nothing. Exit code 1 if an outbox could not be looked into.
pub(crate) async fn list(
    settings: &Settings,
    as_json: bool,
    module: Option<String>,
) -> Result<ExitCode, AnyError> {
    let selection = Selection { module, events: None };
    let outboxes = Outboxes::open(settings, &selection).await;
    let mut found = outboxes.stuck(&selection).await?;
    if let Some(options) = settings.rabbit() {
        let dead = rabbit::list(&options, &selection).await?;
        found.add(Place::DeadLetters, dead.letters);
        found.more += dead.unread;
    }
    if as_json {
        let closed: Vec<_> =
            outboxes.closed.iter().map(|(module, cause)| json!({"module": module, "cause": cause})).collect();
        let report = json!({"dead": found.stuck, "more": found.more, "not_looked_into": closed});
        say(&serde_json::to_string_pretty(&report)?)?;
    } else {
        found.stuck.iter().try_for_each(tell)?;
        found.tell("is stuck", "are stuck")?;
        complain_of(&outboxes.closed);
    }
    let all_seen = outboxes.closed.is_empty();
    outboxes.close().await?;
    Ok(if all_seen { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lets stuck events be tried again: the given ones, or all. Exit code 1 if a given one is not stuck, or if not
/// everything could be looked into.
pub(crate) async fn replay(
    settings: &Settings,
    events: Option<Vec<EventId>>,
    module: Option<String>,
) -> Result<ExitCode, AnyError> {
    let selection = Selection { module, events };
    let outboxes = Outboxes::open(settings, &selection).await;
    let mut replayed = outboxes.revive(&selection).await?;
    let mut unread = 0;
    if let Some(options) = settings.rabbit() {
        let dead = rabbit::replay(&options, &selection).await?;
        replayed.add(Place::DeadLetters, dead.letters);
        unread = dead.unread;
    }
    replayed.tell("is tried again", "are tried again")?;
    complain_of(&outboxes.closed);
    let mut all_seen = outboxes.closed.is_empty();
    if unread > 0 {
        complain(&format!("{unread} more dead letters were not looked at; do it again"));
        all_seen = false;
    }
    outboxes.close().await?;
    let found: BTreeSet<String> =
        replayed.stuck.iter().filter_map(|stuck| stuck.letter.event_id).map(|id| id.to_string()).collect();
    let missing: Vec<String> = selection
        .events
        .into_iter()
        .flatten()
        .map(|id| id.to_string())
        .filter(|id| !found.contains(id))
        .collect();
    if !missing.is_empty() {
        complain(&format!("not found among what is stuck: {}", missing.join(", ")));
    }
    Ok(if all_seen && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Deletes the queues and exchanges of the shop.
pub(crate) async fn reset(settings: &Settings, yes: bool) -> Result<ExitCode, AnyError> {
    let options = settings
        .rabbit()
        .ok_or("this shop has no message broker: rabbitmq.url (SOUK__RABBITMQ__URL) is not set")?;
    let prefix = &options.prefix;
    if !yes {
        return Err(format!(
            "this deletes every queue and exchange of {prefix}; events that wait there are lost. Add --yes"
        )
        .into());
    }
    rabbit::reset(&options).await?;
    say(&format!("the queues and exchanges of {prefix} are deleted"))?;
    Ok(ExitCode::SUCCESS)
}

fn tell(stuck: &Stuck) -> std::io::Result<()> {
    let letter = &stuck.letter;
    let id = letter.event_id.map_or_else(|| "no event".to_owned(), |id| id.to_string());
    let event_type = letter.event_type.as_deref().unwrap_or("unreadable");
    let end = match stuck.place {
        Place::Outbox => "was not published by",
        Place::DeadLetters => "was not handled by",
    };
    say(&format!("{id}  {event_type} {end} {}", letter.module))?;
    let by = letter.handler.as_deref().map(|handler| format!("{handler}: ")).unwrap_or_default();
    let since = letter.died_at.map(|at| format!("{at}  ")).unwrap_or_default();
    let tries = letter.attempts.map(|attempts| format!(" (tries: {attempts})")).unwrap_or_default();
    say(&format!("    {since}{by}{}{tries}", letter.cause))
}

fn complain_of(closed: &[(&'static str, String)]) {
    for (module, cause) in closed {
        complain(&format!("the outbox of {module} was not looked into: {cause}"));
    }
}
