//! Events between the modules: who subscribes to what, and what an operator does with those that are stuck.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::event::{Envelope, Event};
use contracts::orders::OrderUpdated;
use contracts::subscriptions::{ROUTES, Subscriptions};
use kernel::{EventId, Timestamp};
use platform::bus::{EventBus, EventHandler, HandleError, Reach};
use platform::db::{Db, DbOptions, Location};
use platform::rabbit::{Hook, ModuleHere, Options, RabbitBus, Selection, list};
use platform::system::System;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use souk::wiring::{self, Databases};
use testkit::{Engine, TestRabbit};
use tokio_util::sync::CancellationToken;

use crate::command_line::{Souk, text};
use crate::support::Place;

#[test]
fn the_table_of_subscriptions_is_what_the_handlers_want() {
    testkit::run(async {
        let place = Place::new(Engine::Sqlite).await;
        let (settings, system) = (place.settings(), System::real());
        let databases = Databases::open(&settings, &system).await.unwrap();
        souk::server::prepare_schemas(&settings, &databases).await.unwrap();
        let shop = wiring::Shop::assemble(&settings, &databases, system).await.unwrap();
        let table = Subscriptions::default();
        for module in &shop.modules {
            let handlers = module.handlers().into_iter().filter(|handler| handler.reach() == Reach::Module);
            let wanted: BTreeSet<&str> =
                handlers.flat_map(|handler| handler.event_types()).copied().collect();
            let listed: BTreeSet<&str> = table.types_for(module.name()).collect();
            assert_eq!(listed, wanted, "{}", module.name());
        }
        let wanted = shop.modules.iter().flat_map(|module| module.handlers());
        for event_type in wanted.flat_map(|handler| handler.event_types()) {
            let publisher = table.publisher_of(event_type).unwrap();
            assert!(shop.modules.iter().any(|module| module.name() == publisher), "{event_type}");
        }
        for route in ROUTES {
            assert!(route.to.is_sorted(), "{}", route.event_type);
        }
        for db in databases.iter() {
            db.close().await.unwrap();
        }
    });
}

async fn open(souk: &Souk, module: &'static str) -> Db {
    let location = match souk.database.url() {
        None => Location::Sqlite { folder: souk.folder.path().join("data") },
        Some(url) => Location::Postgres { url: url.to_owned() },
    };
    Db::open(module, &DbOptions::new(location), System::real()).await.unwrap()
}

fn json_of(souk: &Souk, arguments: &[&str]) -> Value {
    serde_json::from_str(&souk.ok(arguments)).unwrap()
}

testkit::on_every_database! {
    async fn an_event_that_was_given_up_is_listed_and_replayed(engine: Engine) {
        let souk = Souk::new(engine).await;
        let nothing: Value =
            serde_json::from_str(&souk.fails(&["events", "dead", "list", "--json"])).unwrap();
        assert_eq!(nothing["not_looked_into"].as_array().unwrap().len(), 8, "{nothing}");
        souk.ok(&["demo"]);
        assert_eq!(souk.ok(&["events", "dead", "list"]), "no event is stuck\n");

        let db = open(&souk, "catalog").await;
        let give_up = "UPDATE outbox SET dead_at_ms = 1, attempts = 1000, last_error = 'no room', published_at_ms = NULL \
            WHERE seq IN (SELECT MIN(seq) FROM outbox UNION SELECT MAX(seq) FROM outbox)";
        db.writer().execute_unprepared(give_up).await.unwrap();
        db.close().await.unwrap();
        let listed = json_of(&souk, &["events", "dead", "list", "--json", "--module", "catalog"]);
        let dead = listed["dead"].as_array().unwrap();
        assert_eq!(dead.len(), 2, "{listed}");
        assert_eq!(dead[0]["place"], "outbox");
        assert_eq!((&dead[0]["module"], &dead[0]["cause"]), (&json!("catalog"), &json!("no room")));
        assert_eq!(json_of(&souk, &["events", "dead", "list", "--json", "--module", "cart"])["dead"], json!([]));

        assert_eq!(listed["more"], 0);
        let unknown = souk.run(&["events", "dead", "list", "--module", "ordres"]);
        assert!(text(&unknown.stderr).contains("orders"), "{}", text(&unknown.stderr));

        let first = dead[0]["event_id"].as_str().unwrap();
        assert!(souk.ok(&["events", "dead", "list"]).contains(first));
        assert!(souk.ok(&["events", "dead", "replay", first]).contains("1 event is tried again"));
        assert!(souk.fails(&["events", "dead", "replay", first]).contains("not found among what is stuck"));
        assert!(souk.ok(&["events", "dead", "replay", "--all"]).contains("1 event is tried again"));
        assert_eq!(souk.ok(&["events", "dead", "list"]), "no event is stuck\n");
        assert!(souk.ok(&["doctor"]).contains("checks hold"));
        assert!(souk.fails(&["events", "reset", "--yes"]).contains("rabbitmq.url"));
    }
}

/// Cannot handle anything.
struct Sick;

#[async_trait::async_trait]
impl EventHandler for Sick {
    fn name(&self) -> &'static str {
        "notifications.sick"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[OrderUpdated::TYPE]
    }

    async fn handle(&self, _: &Envelope) -> Result<(), HandleError> {
        Err(HandleError::other("no ink"))
    }
}

async fn put_among_the_dead(options: Options, letter: &Envelope) {
    let bench = testkit::Bench::new(Engine::Sqlite).await;
    let module = ModuleHere { db: bench.open("notifications").await, handlers: vec![Arc::new(Sick)] };
    let hasty = Options { max_attempts: 1, ..options.clone() };
    let on_connect: Hook = Arc::new(|| Box::pin(async { Ok(()) }));
    let bus = RabbitBus::new(hasty, bench.system.clone(), vec![module], Vec::new(), on_connect);
    let stop = CancellationToken::new();
    let running = tokio::spawn(bus.clone().run(stop.clone()));
    bus.ready().await;
    bus.publish(letter).await.unwrap();
    let give_up_at = Instant::now() + Duration::from_secs(30);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while list(&options, &Selection::default()).await.unwrap().letters.is_empty() {
        assert!(Instant::now() < give_up_at, "the letter did not die");
        ticks.tick().await;
    }
    stop.cancel();
    running.await.unwrap();
}

#[test]
fn a_dead_letter_of_the_broker_is_listed_and_replayed() {
    let Some(url) = testkit::rabbitmq_url() else { return };
    testkit::run(async {
        let rabbit = TestRabbit::create(url, |_| ());
        let options = rabbit.options();
        let souk = Souk::new(Engine::Sqlite).await;
        let run = |arguments: &[&str]| {
            let mut command = souk.command(arguments);
            command.env("SOUK__RABBITMQ__URL", &options.url).env("SOUK__RABBITMQ__PREFIX", &options.prefix);
            let output = command.output().unwrap();
            (output.status.success(), text(&output.stdout) + &text(&output.stderr))
        };
        assert!(
            run(&["events", "dead", "list"]).1.contains("no event is stuck"),
            "nothing was ever declared"
        );

        let letter = Envelope {
            id: EventId(testkit::fresh_id()),
            event_type: OrderUpdated::TYPE.to_owned(),
            aggregate_id: testkit::fresh_id(),
            occurred_at: Timestamp::from_ms(1),
            trace_id: None,
            payload: json!({}),
        };
        put_among_the_dead(options.clone(), &letter).await;
        let (_, listed) = run(&["events", "dead", "list"]);
        assert!(listed.contains("order.updated was not handled by notifications"), "{listed}");
        assert!(listed.contains("notifications.sick: no ink (tries: 1)"), "{listed}");
        assert!(run(&["migrate", "up"]).0);
        let (sound, complaint) = run(&["doctor"]);
        assert!(!sound && complaint.contains("BROKEN events"), "{complaint}");
        assert!(complaint.contains("no ink"), "{complaint}");
        let (in_time, open) = run(&["doctor", "--open", "--json"]);
        assert!(!in_time && open.contains("\"dead_letter\"") && open.contains("no ink"), "{open}");
        let (replayed, report) = run(&["events", "dead", "replay", "--all", "--module", "notifications"]);
        assert!(replayed && report.contains("1 event is tried again"), "{report}");
        assert!(list(&options, &Selection::default()).await.unwrap().letters.is_empty());

        let (sound, complaint) = run(&["doctor"]);
        assert!(sound, "{complaint}");
        let (in_time, open) = run(&["doctor", "--open"]);
        assert!(in_time && open.contains("notifications  queue (1)"), "nobody handles it here: {open}");

        let (reset, warning) = run(&["events", "reset"]);
        assert!(!reset && warning.contains("--yes") && warning.contains("lost"), "{warning}");
        assert!(run(&["events", "reset", "--yes"]).0);
    });
}
