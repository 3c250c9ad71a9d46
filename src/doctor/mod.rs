//! The doctor: looks at the data of the whole shop, and changes none of it.
//!
//! It opens every module's database through connections that cannot write, with two connections each, and needs no server, no
//! key and no other process: it works on a shop that is down, and beside a live one. What it cannot look at it says.

mod books;
mod patience;
mod report;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use platform::db::{DbOptions, Location};
use platform::doctor::{Examiner, OpenItem, OpenWork, RECOVERY_BOUND};
use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use platform::problem::chain;
use platform::rabbit::{self, DeadLetter};
use platform::system::System;
use uuid::Uuid;

use crate::settings::Settings;
use crate::wiring;

pub use books::Books;
pub use report::{Checked, Found, Opened, Unchecked};

/// Connections to each module's database.
const CONNECTIONS: u32 = 2;
/// No statement of the doctor takes longer.
const STATEMENT_BOUND: Duration = Duration::from_secs(30);
/// A module whose examination takes longer counts as not examined.
const MODULE_BOUND: Duration = Duration::from_secs(120);
/// Books that are too long to be compared within this time count as not compared.
const COMPARED_WITHIN: Duration = Duration::from_secs(600);
/// Whose name stands at what concerns several modules.
const SHOP: &str = "shop";
/// Whose name stands at what concerns the message broker.
const BROKER: &str = "events";

/// The data of a shop, open for looking.
pub struct Doctor {
    examiners: Vec<Arc<dyn Examiner>>,
    books: Books,
    /// The modules whose data could not be opened, with the reason.
    closed: Vec<Unchecked>,
    broker: Option<rabbit::Options>,
    system: System,
    settled: Duration,
}

impl Doctor {
    /// Opens what can be opened; the rest is named in every report.
    pub async fn open(settings: &Settings, system: &System) -> Self {
        let opened = settings.only.iter().copied().map(|module| async move {
            let cannot = |cause: String| Unchecked { module, cause };
            open_module(settings, module, system).await.map_err(cannot)
        });
        let (mut examiners, mut books, mut closed) = (Vec::new(), Books::default(), Vec::new());
        for module in join_all(opened).await {
            match module {
                Ok(data) => {
                    examiners.push(data.examiner);
                    books.add(data.books);
                }
                Err(unchecked) => closed.push(unchecked),
            }
        }
        Self {
            examiners,
            books,
            closed,
            broker: settings.rabbit(),
            system: system.clone(),
            settled: patience::SETTLED,
        }
    }

    /// The same with another patience: how long a difference between two modules must stay the same before it counts. For
    /// shops that stand still, where no event can be on its way.
    pub fn with_patience(self, settled: Duration) -> Self {
        Self { settled, ..self }
    }

    /// Checks every invariant.
    pub async fn check(&self) -> Checked {
        let mut checked = Checked { checks: Vec::new(), unchecked: self.closed.clone() };
        let examined = self.examiners.iter().map(|examiner| async move {
            let module = examiner.db().module();
            (module, in_time(examiner.checks()).await)
        });
        for (module, outcome) in join_all(examined).await {
            match outcome {
                Ok(checks) => {
                    checked.checks.extend(checks.into_iter().map(|check| Found { module, found: check }))
                }
                Err(cause) => checked.unchecked.push(Unchecked { module, cause }),
            }
        }
        let comparing = patience::compare(&self.books, &self.examiners, self.broker.as_ref(), self.settled);
        match tokio::time::timeout(COMPARED_WITHIN, comparing).await {
            Ok((compared, not_compared)) => {
                checked.checks.extend(compared.into_iter().map(|check| Found { module: SHOP, found: check }));
                checked.unchecked.extend(not_compared);
            }
            Err(_elapsed) => {
                let cause = format!("comparing the modules took longer than {} s", COMPARED_WITHIN.as_secs());
                checked.unchecked.push(Unchecked { module: SHOP, cause });
            }
        }
        if let Some(options) = &self.broker {
            match rabbit::list(options, &rabbit::Selection::default()).await {
                Ok(dead) => checked.checks.push(Found { module: BROKER, found: none_dead(&dead.letters) }),
                Err(error) => checked.unchecked.push(broker_away(&error)),
            }
        }
        checked
    }

    /// What has been begun and not ended.
    pub async fn open_work(&self) -> Opened {
        let mut opened = Opened { now: self.system.now(), work: Vec::new(), unchecked: self.closed.clone() };
        let examined = self.examiners.iter().map(|examiner| async move {
            let module = examiner.db().module();
            (module, in_time(examiner.open_work()).await)
        });
        for (module, outcome) in join_all(examined).await {
            match outcome {
                Ok(work) => opened.work.extend(work.into_iter().map(|work| Found { module, found: work })),
                Err(cause) => opened.unchecked.push(Unchecked { module, cause }),
            }
        }
        match in_time(self.open_checkouts()).await {
            Ok(checkouts) => opened.work.extend(checkouts.map(|work| Found { module: "cart", found: work })),
            Err(cause) => opened.unchecked.push(Unchecked { module: "cart", cause }),
        }
        if let Some(options) = &self.broker {
            match self.open_at_the_broker(options).await {
                Ok(work) => opened.work.extend(work),
                Err(error) => opened.unchecked.push(broker_away(&error)),
            }
        }
        opened
    }

    /// Carts that are open though they became orders. A checkout that came to nothing is none: its client may come back.
    async fn open_checkouts(&self) -> Result<Option<OpenWork>, AnyError> {
        let (Some(carts), Some(orders)) = (&self.books.carts, &self.books.orders) else { return Ok(None) };
        let (mut items, mut after) = (Vec::new(), None);
        let late_ms = self.system.now().minus(RECOVERY_BOUND).ms();
        while items.len() < most() {
            let page = carts.checked_out(after, books::PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let ids: Vec<Uuid> = page.iter().map(|cart| cart.id).collect();
            items.extend(orders.of_carts(&ids).await?.into_iter().filter_map(|order| {
                Some(OpenItem {
                    id: order.cart_id?.to_string(),
                    what: format!("became order {} {}", order.number, order.id),
                    since: order.changed_at,
                    overdue: order.changed_at.ms() < late_ms,
                    last_error: None,
                })
            }));
        }
        items.sort_by_key(|item| item.since);
        items.truncate(most());
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Some(OpenWork {
            kind: "checkout",
            waits_for: "the event that closes the cart of an order",
            advice: "see whether the events of orders reach cart, and what cart logs",
            count: count(items.len()),
            overdue: count(items.iter().filter(|item| item.overdue).count()),
            oldest: items.iter().map(|item| item.since).min(),
            items,
        }))
    }

    async fn open_at_the_broker(
        &self,
        options: &rabbit::Options,
    ) -> Result<Vec<Found<OpenWork>>, rabbit::RabbitError> {
        let now = self.system.now();
        let mut work = Vec::new();
        for (module, number) in rabbit::waiting(options).await? {
            let queue = format!("{}.{module}", options.prefix);
            // The broker does not tell how old its messages are, and they are gone in moments where somebody handles them.
            let item = OpenItem {
                id: queue,
                what: format!("{number} messages"),
                since: now,
                overdue: false,
                last_error: None,
            };
            let found = OpenWork {
                kind: "queue",
                waits_for: "the module, to handle its events",
                advice: "see whether the module runs and what it logs",
                count: number,
                overdue: 0,
                oldest: None,
                items: (number > 0).then_some(item).into_iter().collect(),
            };
            work.push(Found { module, found });
        }
        let dead = rabbit::list(options, &rabbit::Selection::default()).await?;
        let number = u64::try_from(dead.letters.len()).unwrap_or(u64::MAX).saturating_add(dead.unread);
        let since = |letter: &DeadLetter| letter.died_at.or(letter.occurred_at).unwrap_or(now);
        let item = |letter: &DeadLetter| OpenItem {
            id: letter.event_id.map_or_else(|| "no event".to_owned(), |id| id.to_string()),
            what: format!("{} for {}", letter.event_type.as_deref().unwrap_or("unreadable"), letter.module),
            since: since(letter),
            overdue: true,
            last_error: Some(letter.cause.clone()),
        };
        let found = OpenWork {
            kind: "dead_letter",
            waits_for: "an operator: it could not be handled",
            advice: "mend what last_error says, then `souk events dead replay`",
            count: number,
            overdue: number,
            oldest: dead.letters.iter().map(since).min(),
            items: dead.letters.iter().take(most()).map(item).collect(),
        };
        work.push(Found { module: BROKER, found });
        Ok(work)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        for examiner in &self.examiners {
            // Nothing was written, so nothing can be lost.
            let _closed = examiner.db().close().await;
        }
    }
}

/// What the doctor can look at of one module.
pub struct ModuleData {
    pub examiner: Arc<dyn Examiner>,
    /// The books that it keeps.
    pub books: Books,
}

async fn open_module(
    settings: &Settings,
    module: &'static str,
    system: &System,
) -> Result<ModuleData, String> {
    let options = settings.database_options(module);
    if let Location::Sqlite { folder } = &options.location
        && !folder.join(format!("{module}.sqlite")).is_file()
    {
        let folder = folder.display();
        return Err(format!("there is no database in {folder}; start `souk` or run `souk migrate up` first"));
    }
    let options = DbOptions {
        max_connections: CONNECTIONS,
        statement_timeout: options.statement_timeout.min(STATEMENT_BOUND),
        ..options
    };
    let data = wiring::module_data(settings, module, &options, system).await;
    let data = data.map_err(|error| chain(&error))?;
    let steps = migrations::status(module, data.examiner.db().reader()).await;
    match steps {
        Ok(steps) if steps.iter().all(|(_, applied)| *applied) => Ok(data),
        Ok(_) => Err(format!("the schema of {module} is not current; run `souk migrate up`")),
        Err(error) => Err(format!("the schema of {module} cannot be read: {}", chain(&error))),
    }
}

async fn in_time<T>(look: impl Future<Output = Result<T, AnyError>>) -> Result<T, String> {
    match tokio::time::timeout(MODULE_BOUND, look).await {
        Ok(outcome) => outcome.map_err(|error| chain(error.as_ref())),
        Err(_elapsed) => Err(format!("it took longer than {} s", MODULE_BOUND.as_secs())),
    }
}

fn broker_away(error: &rabbit::RabbitError) -> Unchecked {
    Unchecked { module: BROKER, cause: format!("the message broker cannot be asked: {}", chain(error)) }
}

/// What the broker keeps because a module could not handle it.
fn none_dead(letters: &[DeadLetter]) -> Check {
    Check::new(
        "events.none_dead",
        "no event waits among the dead letters; see `souk events dead list`",
        letters.iter().take(most()).map(|letter| format!("{}: {}", letter.module, letter.cause)).collect(),
    )
}

fn most() -> usize {
    usize::try_from(MAX_VIOLATIONS).unwrap_or(usize::MAX)
}
