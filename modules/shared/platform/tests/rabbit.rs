//! Stories of events that go over RabbitMQ: nothing is lost, nothing takes effect twice, nothing overtakes, whatever
//! breaks.
#![expect(clippy::unwrap_used, reason = "a story that goes wrong stops where it does")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::port::{NoRefusal, PortError};
use contracts::subscriptions::{Route, Subscriptions};
use futures_util::{FutureExt, StreamExt};
use kernel::{EventId, Timestamp};
use platform::bus::{EventBus, EventHandler, HandleError, PublishError, Reach};
use platform::db::Db;
use platform::inbox;
use platform::rabbit::{Hook, ModuleHere, Options, RabbitBus, Selection, list, replay, reset};
use platform::relay::{Relay, RelaySettings};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde::{Deserialize, Serialize};
use testkit::{Bench, Engine, TestRabbit, fresh_id};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ROUTES: &[Route] = &[
    Route { event_type: Counted::TYPE, from: "orders", to: &["inventory"] },
    Route { event_type: Announced::TYPE, from: "orders", to: &[] },
];

/// One step of an aggregate that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    aggregate: Uuid,
    n: i64,
}

impl Event for Counted {
    const TYPE: &'static str = "test.counted";

    fn aggregate_id(&self) -> Uuid {
        self.aggregate
    }
}

/// Something that every process is to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Announced {
    aggregate: Uuid,
}

impl Event for Announced {
    const TYPE: &'static str = "test.announced";

    fn aggregate_id(&self) -> Uuid {
        self.aggregate
    }
}

type Fault = Box<dyn Fn(&Counted) -> Option<HandleError> + Send + Sync>;

/// Writes each step down in `inventory`, once.
struct Keeper {
    db: Db,
    calls: AtomicUsize,
    /// Asked before the effect.
    fault: Fault,
    /// Called after the effect has been committed.
    committed: Box<dyn Fn() + Send + Sync>,
}

impl Keeper {
    fn new(db: Db) -> Self {
        Self { db, calls: AtomicUsize::new(0), fault: Box::new(|_| None), committed: Box::new(|| ()) }
    }

    fn failing(db: Db, fault: impl Fn(&Counted) -> Option<HandleError> + Send + Sync + 'static) -> Self {
        Self { fault: Box::new(fault), ..Self::new(db) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl EventHandler for Keeper {
    fn name(&self) -> &'static str {
        "inventory.keep"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[Counted::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let event = envelope.open::<Counted>().unwrap()?;
        if let Some(error) = (self.fault)(&event) {
            return Err(error);
        }
        let tx = self.db.begin().await?;
        if inbox::first_delivery(&tx, envelope, self.name()).await? {
            let sql =
                format!("INSERT INTO effects (aggregate, n) VALUES ('{}', {})", event.aggregate, event.n);
            tx.conn().execute_unprepared(&sql).await?;
        }
        tx.commit().await?;
        (self.committed)();
        Ok(())
    }
}

/// Hears announcements in the memory of a process.
#[derive(Default)]
struct Listener {
    heard: Mutex<BTreeSet<Uuid>>,
}

#[async_trait]
impl EventHandler for Listener {
    fn name(&self) -> &'static str {
        "test.listen"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[Announced::TYPE]
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        self.heard.lock().unwrap().insert(envelope.aggregate_id);
        Ok(())
    }
}

/// A database and a broker, and the processes on them.
struct Room {
    rabbit: TestRabbit,
    bench: Bench,
    orders: Db,
    inventory: Db,
}

/// Runs a story if there are both.
fn with_rabbit<F: Future<Output = ()>>(story: impl FnOnce(Room) -> F) {
    let (Some(rabbit), Some(postgres)) = (testkit::rabbitmq_url(), testkit::postgres_url()) else {
        return;
    };
    testkit::run(async move {
        let bench = Bench::new(Engine::Postgres(postgres)).await;
        let rabbit = TestRabbit::create(rabbit, |options| options.subscriptions = Subscriptions(ROUTES));
        let (orders, inventory) = (bench.db("orders").await, bench.db("inventory").await);
        let table =
            "CREATE TABLE effects (id BIGSERIAL PRIMARY KEY, aggregate UUID NOT NULL, n BIGINT NOT NULL)";
        inventory.writer().execute_unprepared(table).await.unwrap();
        story(Room { rabbit, bench, orders, inventory }).await;
    });
}

/// A process that runs some modules.
struct Process {
    bus: Arc<RabbitBus>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Process {
    /// Ends it gently.
    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// Ends it at once, in the middle of whatever it does.
    async fn kill(self) {
        for task in self.tasks {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }
}

fn nothing_to_catch_up() -> Hook {
    Arc::new(|| async { Ok(()) }.boxed())
}

impl Room {
    fn start(
        &self,
        options: Options,
        modules: Vec<ModuleHere>,
        followers: Vec<Arc<dyn EventHandler>>,
    ) -> Process {
        self.start_with(options, modules, followers, nothing_to_catch_up())
    }

    /// A process with the relays of its modules.
    fn start_with(
        &self,
        options: Options,
        modules: Vec<ModuleHere>,
        followers: Vec<Arc<dyn EventHandler>>,
        on_connect: Hook,
    ) -> Process {
        let stop = CancellationToken::new();
        let databases: Vec<Db> = modules.iter().map(|module| module.db.clone()).collect();
        let bus = RabbitBus::new(options, self.bench.system.clone(), modules, followers, on_connect);
        let mut tasks = vec![tokio::spawn(bus.clone().run(stop.clone()))];
        for db in databases {
            let settings =
                RelaySettings { poll_every: Duration::from_millis(50), ..RelaySettings::default() };
            tasks.push(tokio::spawn(Relay::new(db, bus.clone(), settings).run(stop.clone())));
        }
        Process { bus, stop, tasks }
    }

    fn publisher(&self, options: Options) -> Process {
        self.start(options, vec![self.orders_here()], Vec::new())
    }

    fn consumer(&self, options: Options, keeper: &Arc<Keeper>) -> Process {
        let handlers: Vec<Arc<dyn EventHandler>> = vec![keeper.clone()];
        self.start(options, vec![ModuleHere { db: self.inventory.clone(), handlers }], Vec::new())
    }

    fn orders_here(&self) -> ModuleHere {
        ModuleHere { db: self.orders.clone(), handlers: Vec::new() }
    }

    async fn emit(&self, events: &[Counted]) {
        for events in events.chunks(500) {
            let mut tx = self.orders.begin().await.unwrap();
            for event in events {
                tx.emit(event).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    }

    async fn count(&self, aggregate: Uuid, n: i64) {
        self.emit(&[Counted { aggregate, n }]).await;
    }

    /// What took effect, each aggregate's in the order of its commits.
    async fn effects(&self) -> BTreeMap<Uuid, Vec<i64>> {
        let query =
            Statement::from_string(DbBackend::Postgres, "SELECT aggregate, n FROM effects ORDER BY id");
        let mut effects: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
        for row in self.inventory.reader().query_all_raw(query).await.unwrap() {
            let (aggregate, n): (Uuid, i64) =
                (row.try_get("", "aggregate").unwrap(), row.try_get("", "n").unwrap());
            effects.entry(aggregate).or_default().push(n);
        }
        effects
    }

    /// Waits until so many effects are there.
    async fn until_effects(&self, number: i64) {
        let have = || self.number(&self.inventory, "SELECT COUNT(*) AS n FROM effects");
        eventually("the effects are there", async || have().await >= number).await;
        assert_eq!(have().await, number);
    }

    async fn number(&self, db: &Db, sql: &str) -> i64 {
        let query = Statement::from_string(DbBackend::Postgres, sql);
        db.reader().query_one_raw(query).await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    async fn until_published(&self) {
        let waiting = "SELECT COUNT(*) AS n FROM outbox WHERE published_at_ms IS NULL";
        eventually("all is published", async || self.number(&self.orders, waiting).await == 0).await;
    }

    async fn dead(&self) -> Vec<platform::rabbit::DeadLetter> {
        list(&self.rabbit.options(), &Selection::default()).await.unwrap().letters
    }
}

/// Waits for a condition, at most a minute.
async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let give_up_at = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < give_up_at, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Steps 0, 1, 2... of some aggregates, interleaved.
fn steps(aggregates: &[Uuid], each: i64) -> Vec<Counted> {
    (0..each)
        .flat_map(|n| aggregates.iter().map(move |aggregate| Counted { aggregate: *aggregate, n }))
        .collect()
}

fn assert_in_order(effects: &BTreeMap<Uuid, Vec<i64>>, aggregates: &[Uuid], each: i64) {
    let hoped: Vec<i64> = (0..each).collect();
    assert_eq!(effects.len(), aggregates.len());
    for aggregate in aggregates {
        assert_eq!(effects[aggregate], hoped, "{aggregate}");
    }
}

fn fresh_ids(number: usize) -> Vec<Uuid> {
    (0..number).map(|_| fresh_id()).collect()
}

fn an_envelope() -> Envelope {
    let event = Counted { aggregate: fresh_id(), n: 0 };
    Envelope {
        id: EventId(fresh_id()),
        event_type: Counted::TYPE.to_owned(),
        aggregate_id: event.aggregate,
        occurred_at: Timestamp::from_ms(1),
        trace_id: None,
        payload: serde_json::to_value(&event).unwrap(),
    }
}

#[test]
fn an_event_of_before_its_subscriber_ever_ran_is_delivered() {
    with_rabbit(|room| async move {
        let aggregates = fresh_ids(3);
        room.emit(&steps(&aggregates, 4)).await;
        let publisher = room.publisher(room.rabbit.options());
        room.until_published().await;
        publisher.stop().await;

        let keeper = Arc::new(Keeper::new(room.inventory.clone()));
        let consumer = room.consumer(room.rabbit.options(), &keeper);
        room.until_effects(12).await;
        assert_in_order(&room.effects().await, &aggregates, 4);
        consumer.stop().await;
    });
}

#[test]
fn an_event_that_comes_again_takes_effect_once() {
    with_rabbit(|room| async move {
        let proxy = Arc::new(room.rabbit.proxy().await);
        let (cutting, first) = (proxy.clone(), AtomicUsize::new(0));
        // The effect is committed, and the word of it never reaches the broker.
        let cut_once = move || {
            if first.fetch_add(1, Ordering::SeqCst) == 0 {
                cutting.cut();
            }
        };
        let keeper = Keeper { committed: Box::new(cut_once), ..Keeper::new(room.inventory.clone()) };
        let keeper = Arc::new(keeper);
        let publisher = room.publisher(room.rabbit.options());
        let consumer = room.consumer(room.rabbit.options_through(&proxy), &keeper);
        room.count(fresh_id(), 0).await;
        room.until_effects(1).await;
        proxy.open();
        eventually("it came again", async || keeper.calls() >= 2).await;
        let next = fresh_id();
        room.count(next, 0).await;
        eventually("the next one is handled", async || room.effects().await.contains_key(&next)).await;
        room.until_effects(2).await;
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn replicas_do_not_overtake_each_other_even_when_one_dies() {
    with_rabbit(|room| async move {
        let aggregates = fresh_ids(20);
        let (one, other) =
            (Arc::new(Keeper::new(room.inventory.clone())), Arc::new(Keeper::new(room.inventory.clone())));
        let publisher = room.publisher(room.rabbit.options());
        let proxy = room.rabbit.proxy().await;
        let first = room.consumer(room.rabbit.options_through(&proxy), &one);
        room.count(aggregates[0], 0).await;
        room.until_effects(1).await;
        let second = room.consumer(room.rabbit.options(), &other);
        room.emit(&steps(&aggregates, 30)[1..]).await;
        eventually("it is under way", async || one.calls() > 100).await;
        first.kill().await;
        proxy.cut();
        room.until_effects(600).await;
        assert_in_order(&room.effects().await, &aggregates, 30);
        assert!(other.calls() > 0, "the second one has taken over");
        second.stop().await;
        publisher.stop().await;
        assert!(room.dead().await.is_empty());
    });
}

#[test]
fn a_gentle_end_hands_over_to_the_other_replica() {
    with_rabbit(|room| async move {
        let aggregates = fresh_ids(10);
        let (one, other) =
            (Arc::new(Keeper::new(room.inventory.clone())), Arc::new(Keeper::new(room.inventory.clone())));
        let publisher = room.publisher(room.rabbit.options());
        let first = room.consumer(room.rabbit.options(), &one);
        let second = room.consumer(room.rabbit.options(), &other);
        room.emit(&steps(&aggregates, 30)).await;
        eventually("it is under way", async || one.calls() + other.calls() > 50).await;
        first.stop().await;
        room.until_effects(300).await;
        assert_in_order(&room.effects().await, &aggregates, 30);
        second.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn a_poisonous_event_is_put_aside_while_others_flow_and_can_be_replayed() {
    with_rabbit(|room| async move {
        let (bad, worse, good) = (fresh_id(), fresh_id(), fresh_id());
        let poison = move |event: &Counted| {
            [bad, worse].contains(&event.aggregate).then(|| HandleError::other("poison"))
        };
        let sick = Arc::new(Keeper::failing(room.inventory.clone(), poison));
        let publisher = room.publisher(room.rabbit.options());
        let options = Options { max_attempts: 2, ..room.rabbit.options() };
        let consumer = room.consumer(options, &sick);
        room.count(bad, 0).await;
        eventually("the first one is put aside", async || room.dead().await.len() == 1).await;
        room.count(worse, 0).await;
        room.emit(&steps(&[good], 50)).await;
        room.until_effects(50).await;
        eventually("both are put aside", async || room.dead().await.len() == 2).await;

        let letters = room.dead().await;
        assert_eq!(letters, room.dead().await, "to look at them changes nothing");
        assert_eq!((letters[0].aggregate_id, letters[1].aggregate_id), (Some(bad), Some(worse)));
        let first = &letters[0];
        assert_eq!((first.module.as_str(), first.cause.as_str()), ("inventory", "poison"));
        assert_eq!((first.handler.as_deref(), first.attempts), (Some("inventory.keep"), Some(2)));
        assert!(first.event_type.as_deref() == Some(Counted::TYPE) && first.died_at.is_some());
        consumer.stop().await;

        let healthy = Arc::new(Keeper::new(room.inventory.clone()));
        let consumer = room.consumer(room.rabbit.options(), &healthy);
        let only_worse = Selection { events: Some(vec![letters[1].event_id.unwrap()]), module: None };
        assert_eq!(replay(&room.rabbit.options(), &only_worse).await.unwrap().letters, letters[1..]);
        room.until_effects(51).await;
        assert_eq!(room.dead().await, letters[..1]);
        let elsewhere = Selection { module: Some("cart".to_owned()), events: None };
        assert!(replay(&room.rabbit.options(), &elsewhere).await.unwrap().letters.is_empty());
        let replayed = replay(&room.rabbit.options(), &Selection::default()).await.unwrap();
        assert_eq!((&replayed.letters[..], replayed.unread), (&letters[..1], 0));
        room.until_effects(52).await;
        assert!(room.dead().await.is_empty());
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn what_cannot_be_read_or_is_not_wanted_is_put_aside_at_once() {
    with_rabbit(|room| async move {
        let publisher = room.publisher(room.rabbit.options());
        publisher.bus.ready().await;
        let connection =
            lapin::Connection::connect(&room.rabbit.options().url, Default::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let send = async |body: &[u8]| {
            let exchange = format!("{}.events", room.rabbit.options().prefix);
            let (options, properties) = (Default::default(), Default::default());
            channel
                .basic_publish(exchange.into(), Counted::TYPE.into(), options, body, properties)
                .await
                .unwrap();
        };
        send(b"no event").await;
        let unknown = Envelope { event_type: "test.unknown".to_owned(), ..an_envelope() };
        send(&serde_json::to_vec(&unknown).unwrap()).await;

        let keeper = Arc::new(Keeper::new(room.inventory.clone()));
        let consumer = room.consumer(room.rabbit.options(), &keeper);
        eventually("both are put aside", async || room.dead().await.len() == 2).await;
        let mut causes: Vec<String> = room.dead().await.into_iter().map(|letter| letter.cause).collect();
        causes.sort();
        assert!(causes[0].starts_with("not an event"), "{causes:?}");
        assert_eq!(causes[1], "this version does not handle test.unknown");
        assert_eq!(keeper.calls(), 0);
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn a_replayed_event_that_dies_again_is_replayed_once() {
    with_rabbit(|room| async move {
        let publisher = room.publisher(room.rabbit.options());
        let poison = |_: &Counted| Some(HandleError::other("poison"));
        let sick = Arc::new(Keeper::failing(room.inventory.clone(), poison));
        let consumer = room.consumer(Options { max_attempts: 1, ..room.rabbit.options() }, &sick);
        let aggregates: Vec<Uuid> = (0..20).map(|_| fresh_id()).collect();
        room.emit(&steps(&aggregates, 1)).await;
        eventually("all are put aside", async || room.dead().await.len() == 20).await;
        let replayed = replay(&room.rabbit.options(), &Selection::default()).await.unwrap();
        assert_eq!((replayed.letters.len(), replayed.unread), (20, 0));
        eventually("all are put aside again", async || room.dead().await.len() == 20).await;
        assert_eq!(sick.calls(), 40);
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn a_bus_whose_queues_are_deleted_comes_back() {
    with_rabbit(|room| async move {
        let publisher = room.publisher(room.rabbit.options());
        let keeper = Arc::new(Keeper::new(room.inventory.clone()));
        let consumer = room.consumer(room.rabbit.options(), &keeper);
        room.count(fresh_id(), 0).await;
        room.until_effects(1).await;
        reset(&room.rabbit.options()).await.unwrap();
        room.count(fresh_id(), 0).await;
        room.until_effects(2).await;
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn an_event_that_its_consumers_die_of_is_put_aside_unhandled() {
    with_rabbit(|room| async move {
        let publisher = room.publisher(room.rabbit.options());
        room.count(fresh_id(), 0).await;
        room.until_published().await;
        let Options { url, prefix, .. } = room.rabbit.options();
        let connection = lapin::Connection::connect(&url, Default::default()).await.unwrap();
        for _ in 0..50 {
            let channel = connection.create_channel().await.unwrap();
            let queue = format!("{prefix}.inventory").into();
            let mut messages = channel
                .basic_consume(queue, "".into(), Default::default(), Default::default())
                .await
                .unwrap();
            messages.next().await.unwrap().unwrap();
            channel.close(200, "died".into()).await.unwrap();
        }
        let keeper = Arc::new(Keeper::new(room.inventory.clone()));
        let consumer = room.consumer(room.rabbit.options(), &keeper);
        eventually("it is put aside", async || room.dead().await.len() == 1).await;
        assert_eq!(room.dead().await[0].cause, "given out 50 times without an answer");
        assert_eq!(keeper.calls(), 0);
        replay(&room.rabbit.options(), &Selection::default()).await.unwrap();
        room.until_effects(1).await;
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn a_failure_that_passes_is_tried_again_and_never_put_aside() {
    with_rabbit(|room| async move {
        let failures = AtomicUsize::new(0);
        let silent = move |_: &Counted| {
            let silence = PortError::<NoRefusal>::unavailable("users", "no answer");
            (failures.fetch_add(1, Ordering::SeqCst) < 4).then(|| HandleError::other(silence))
        };
        let keeper = Arc::new(Keeper::failing(room.inventory.clone(), silent));
        let publisher = room.publisher(room.rabbit.options());
        let consumer = room.consumer(Options { max_attempts: 1, ..room.rabbit.options() }, &keeper);
        room.emit(&steps(&fresh_ids(1), 2)).await;
        room.until_effects(2).await;
        assert_eq!(keeper.calls(), 6);
        assert!(room.dead().await.is_empty());
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn while_the_broker_is_away_events_wait_and_then_all_arrive_once() {
    with_rabbit(|room| async move {
        let proxy = room.rabbit.proxy().await;
        let keeper = Arc::new(Keeper::new(room.inventory.clone()));
        let publisher = room.publisher(room.rabbit.options_through(&proxy));
        let consumer = room.consumer(room.rabbit.options_through(&proxy), &keeper);
        let (before, during) = (fresh_ids(100), fresh_ids(2_000));
        room.emit(&steps(&before, 5)).await;
        eventually("it is under way", async || keeper.calls() > 50).await;
        proxy.cut();
        eventually("the loss is noticed", async || !publisher.bus.is_connected()).await;
        let refused = publisher.bus.publish(&an_envelope()).await.unwrap_err();
        assert!(matches!(refused, PublishError::Away { .. }), "{refused}");
        room.emit(&steps(&during, 1)).await;
        let counted = "SELECT COALESCE(SUM(attempts), 0)::BIGINT AS n FROM outbox";
        assert_eq!(room.number(&room.orders, counted).await, 0, "nothing is counted against the events");

        proxy.open();
        eventually("the broker is back", async || publisher.bus.is_connected()).await;
        let back = Instant::now();
        room.until_published().await;
        let published = back.elapsed();
        room.until_effects(2_500).await;
        println!("2,000 events waited; published within {published:?}, handled within {:?}", back.elapsed());
        let effects = room.effects().await;
        assert!(before.iter().all(|aggregate| effects[aggregate] == [0, 1, 2, 3, 4]));
        assert!(during.iter().all(|aggregate| effects[aggregate] == [0]));
        assert_eq!(room.number(&room.orders, counted).await, 0);
        consumer.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn every_process_hears_what_concerns_its_memory_and_catches_up_after_a_loss() {
    with_rabbit(|room| async move {
        let proxy = room.rabbit.proxy().await;
        let (one, other) = (Arc::new(Listener::default()), Arc::new(Listener::default()));
        let caught_up = Arc::new(AtomicUsize::new(0));
        let counting = caught_up.clone();
        let catch_up: Hook = Arc::new(move || {
            counting.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }.boxed()
        });
        let first: Vec<Arc<dyn EventHandler>> = vec![one.clone()];
        let second: Vec<Arc<dyn EventHandler>> = vec![other.clone()];
        let publisher = room.start(
            room.rabbit.options(),
            vec![ModuleHere { handlers: first, ..room.orders_here() }],
            Vec::new(),
        );
        let options = room.rabbit.options_through(&proxy);
        let inventory = ModuleHere { db: room.inventory.clone(), handlers: Vec::new() };
        let follower = room.start_with(options, vec![inventory], second, catch_up);
        eventually("it has caught up", async || caught_up.load(Ordering::SeqCst) == 1).await;

        // An announcement of before a process listens is nothing that it must hear.
        let announce = async || {
            let aggregate = fresh_id();
            let mut tx = room.orders.begin().await.unwrap();
            tx.emit(&Announced { aggregate }).await.unwrap();
            tx.commit().await.unwrap();
            aggregate
        };
        let hears = |listener: &Arc<Listener>, id: Uuid| listener.heard.lock().unwrap().contains(&id);
        eventually("both hear", async || {
            let id = announce().await;
            let heard = async || hears(&one, id) && hears(&other, id);
            tokio::time::timeout(Duration::from_secs(2), eventually("heard", heard)).await.is_ok()
        })
        .await;

        proxy.cut();
        eventually("the loss is noticed", async || !follower.bus.is_connected()).await;
        proxy.open();
        eventually("it has caught up again", async || caught_up.load(Ordering::SeqCst) == 2).await;
        let id = announce().await;
        eventually("both hear again", async || hears(&one, id) && hears(&other, id)).await;
        follower.stop().await;
        publisher.stop().await;
    });
}

#[test]
fn a_commit_can_wait_for_its_effect_in_another_process() {
    with_rabbit(|room| async move {
        const LONG: Duration = Duration::from_secs(30);
        let gate = Arc::new(Semaphore::new(0));
        let keeper = Arc::new(Gated {
            inner: Keeper::new(room.inventory.clone()),
            gate: gate.clone(),
            waiting: AtomicUsize::new(0),
        });
        let handlers: Vec<Arc<dyn EventHandler>> = vec![keeper.clone()];
        let inventory = ModuleHere { db: room.inventory.clone(), handlers };
        let publisher = room.publisher(room.rabbit.options());
        let consumer = room.start(room.rabbit.options(), vec![inventory], Vec::new());

        let commit = async || {
            let mut tx = room.orders.begin().await.unwrap();
            tx.emit(&Counted { aggregate: fresh_id(), n: 0 }).await.unwrap();
            tx.commit().await.unwrap()
        };
        // Before the processes have heard of each other nobody waits.
        eventually("the publisher knows of the consumer", async || {
            let settling = commit().await.settle(LONG);
            let waited = tokio::time::timeout(Duration::from_millis(20), settling).await.is_err();
            gate.add_permits(1);
            waited
        })
        .await;
        eventually("all of those are handled", async || gate.available_permits() == 0).await;

        let committed = commit().await;
        let settling = tokio::spawn(committed.settle(LONG));
        eventually("the handler is at work", async || keeper.waiting.load(Ordering::SeqCst) == 1).await;
        assert!(!settling.is_finished());
        gate.add_permits(1);
        settling.await.unwrap();

        gate.add_permits(10_000);
        let mut waited = Vec::new();
        for _ in 0..200 {
            let committed = commit().await;
            let began = Instant::now();
            committed.settle(LONG).await;
            waited.push(began.elapsed());
        }
        waited.sort();
        println!("a commit waits for its effect elsewhere: median {:?}, 99 % {:?}", waited[100], waited[198]);

        consumer.stop().await;
        let began = Instant::now();
        commit().await.settle(LONG).await;
        assert!(began.elapsed() < LONG, "nobody is there to wait for");
        publisher.stop().await;
    });
}

/// Waits at a gate.
struct Gated {
    inner: Keeper,
    gate: Arc<Semaphore>,
    waiting: AtomicUsize,
}

#[async_trait]
impl EventHandler for Gated {
    fn name(&self) -> &'static str {
        "inventory.gated"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[Counted::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.inner.handle(envelope).await
    }
}
