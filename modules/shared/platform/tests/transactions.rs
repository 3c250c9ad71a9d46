//! Transactions that are one batch, groups of them, and connections that are left in the middle of something.
#![expect(clippy::unwrap_used, reason = "a story that goes wrong stops where it does")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::event::Event;
use futures_util::FutureExt;
use futures_util::future::join_all;
use platform::batch::{Batch, Ran};
use platform::bus::LocalBus;
use platform::db::{Committed, Db, DbOptions, Location};
use platform::group_commit::Shape;
use platform::idempotency::{self, Begin, KeyedRequest, Ticket};
use platform::relay::{Relay, RelaySettings};
use platform::system::System;
use sea_orm::sea_query::{Expr, ExprTrait, Query, UpdateStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use serde::{Deserialize, Serialize};
use testkit::{Bench, Engine, TestDatabase};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Two drawers, with so many pieces.
async fn drawers(bench: &Bench) -> Db {
    let db = bench.open("inventory").await;
    fill(&db).await;
    db
}

async fn fill(db: &Db) {
    for sql in [
        "CREATE TABLE drawers (name VARCHAR(9) PRIMARY KEY, pieces BIGINT NOT NULL CHECK (pieces <= 100))",
        "CREATE TABLE notes (id BIGINT PRIMARY KEY)",
        "INSERT INTO drawers VALUES ('left', 10), ('right', 10)",
    ] {
        db.writer().execute_unprepared(sql).await.unwrap();
    }
}

/// Takes a piece out of a drawer that has one.
fn take(name: &str) -> UpdateStatement {
    Query::update()
        .table("drawers")
        .value("pieces", Expr::col("pieces").sub(1))
        .and_where(Expr::col("name").eq(name))
        .and_where(Expr::col("pieces").gt(0))
        .to_owned()
}

/// The same as a batch, which is refused if the drawer has none.
fn gated(name: &str) -> Batch {
    let mut batch = Batch::default();
    let gate = batch.update(take(name));
    batch.gate(gate);
    batch
}

/// Puts pieces into a drawer, which has room for a hundred.
fn put(name: &str, pieces: i64) -> UpdateStatement {
    Query::update()
        .table("drawers")
        .value("pieces", Expr::col("pieces").add(pieces))
        .and_where(Expr::col("name").eq(name))
        .to_owned()
}

fn note(id: i64) -> Batch {
    let mut batch = Batch::default();
    batch.insert(Query::insert().into_table("notes").columns(["id"]).values_panic([id.into()]).to_owned());
    batch
}

/// One step of something that counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stepped {
    whose: Uuid,
    n: i64,
}

impl Event for Stepped {
    const TYPE: &'static str = "test.stepped";

    fn aggregate_id(&self) -> Uuid {
        self.whose
    }
}

/// The first steps of one.
fn steps(db: &Db, steps: i64) -> Batch {
    let (mut batch, whose) = (Batch::default(), testkit::fresh_id());
    (0..steps).for_each(|n| batch.emit(db.system(), &Stepped { whose, n }).unwrap());
    batch
}

async fn committed(db: &Db) -> Committed {
    match db.commit(steps(db, 2)).await.unwrap() {
        Ran::Done(committed) => committed,
        Ran::Refused(place) => panic!("refused at {place:?}"),
    }
}

async fn number(db: &Db, sql: &str) -> i64 {
    let row = db.reader().query_one_raw(Statement::from_string(db.backend(), sql)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn pieces(db: &Db, name: &str) -> i64 {
    number(db, &format!("SELECT pieces FROM drawers WHERE name = '{name}'")).await
}

testkit::on_every_database! {
    async fn a_batch_that_is_refused_leaves_nothing(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        let mut batch = note(1);
        let left = batch.update(take("left"));
        let middle = batch.update(take("middle"));
        batch.must(left);
        batch.must(middle);
        assert!(matches!(db.commit(batch).await.unwrap(), Ran::Refused(place) if place == middle));
        assert_eq!((pieces(&db, "left").await, number(&db, "SELECT count(*) FROM notes").await), (10, 0));
        let mut batch = note(1);
        let left = batch.update(take("left"));
        batch.must(left);
        assert!(matches!(db.commit(batch).await.unwrap(), Ran::Done(_)));
        assert_eq!((pieces(&db, "left").await, number(&db, "SELECT count(*) FROM notes").await), (9, 1));
    }

    async fn what_comes_after_a_closed_gate_does_not_happen(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        for (first, second, left) in [("middle", "left", 10), ("right", "left", 9)] {
            let mut batch = Batch::default();
            let gate = batch.update(take(first));
            let then = batch.update(take(second));
            batch.gate(gate);
            batch.after(then, gate);
            let ran = db.commit(batch).await.unwrap();
            assert_eq!(matches!(ran, Ran::Refused(place) if place == gate), first == "middle");
            assert_eq!(pieces(&db, "left").await, left);
        }
    }

    async fn one_of_a_group_does_not_spoil_the_others(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        db.commit(note(7)).await.unwrap();
        // The eighth comes again, which breaks a rule; the first of all is refused.
        let mut refused = note(100);
        let place = refused.update(take("middle"));
        refused.must(place);
        let group = (0..32).map(note).chain([refused]);
        let ends = join_all(group.map(|batch| db.commit_with_others(Shape("notes", 1), batch))).await;
        for (id, end) in ends.iter().enumerate() {
            match id {
                7 => assert!(matches!(end, Err(DbErr::Exec(_) | DbErr::Query(_))), "a note that is there"),
                32 => assert!(matches!(end, Ok(Ran::Refused(_)))),
                _ => assert!(matches!(end, Ok(Ran::Done(_))), "{id}"),
            }
        }
        assert_eq!(number(&db, "SELECT count(*) FROM notes").await, 32);
    }

    async fn a_closed_gate_in_a_group_is_only_its_own(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        // Two drawers that are there among many that are not: the same statements.
        let names = (0..24).map(|n| if n == 5 { "left" } else if n == 17 { "right" } else { "middle" });
        let group = names.map(|name| db.commit_with_others(Shape("drawers", 1), gated(name)));
        for (n, end) in join_all(group).await.into_iter().enumerate() {
            assert_eq!(matches!(end, Ok(Ran::Done(_))), n == 5 || n == 17, "{n}");
        }
        assert_eq!((pieces(&db, "left").await, pieces(&db, "right").await), (9, 9));
    }

    async fn who_contends_for_a_row_comes_one_after_another(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        let from = |name: &str| {
            let mut batch = gated(name);
            batch.contends_for(name);
            batch
        };
        // Twelve for each drawer, of ten pieces.
        let names = (0..24).map(|n| if n % 2 == 0 { "left" } else { "right" });
        let group = names.map(|name| db.commit_with_others(Shape("drawers", 1), from(name)));
        let ends = join_all(group).await;
        assert_eq!(ends.iter().filter(|end| matches!(end, Ok(Ran::Done(_)))).count(), 20);
        assert_eq!(ends.iter().filter(|end| matches!(end, Ok(Ran::Refused(_)))).count(), 4);
        assert_eq!((pieces(&db, "left").await, pieces(&db, "right").await), (0, 0));
    }

    async fn a_gate_holds_back_what_must_be_written_behind_it(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        for (first, refused) in [("middle", true), ("right", false)] {
            let mut batch = Batch::default();
            let gate = batch.update(take(first));
            let behind = batch.update(put("left", 1));
            batch.gate(gate);
            batch.after(behind, gate);
            batch.must(behind);
            let ran = db.commit(batch).await.unwrap();
            assert_eq!(matches!(ran, Ran::Refused(place) if place == gate), refused);
        }
        assert_eq!((pieces(&db, "left").await, pieces(&db, "right").await), (11, 9));
    }

    async fn what_is_taken_away_counts_like_what_is_written(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        for (gone, stands) in [("middle", true), ("left", false)] {
            let mut batch = note(1);
            let taken = batch.delete(
                Query::delete().from_table("drawers").and_where(Expr::col("name").eq(gone)).to_owned(),
            );
            batch.must(taken);
            let ran = db.commit(batch).await.unwrap();
            assert_eq!(matches!(ran, Ran::Refused(place) if place == taken), stands);
            assert_eq!(number(&db, "SELECT count(*) FROM drawers").await, 1 + i64::from(stands));
            assert_eq!(number(&db, "SELECT count(*) FROM notes").await, i64::from(!stands));
        }
    }

    async fn events_of_one_batch_are_numbered_in_the_order_in_which_they_were_put_in(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = bench.db("orders").await;
        // In groups, too, and often, as PostgreSQL promises no order.
        let batches = (0..64).map(|_| steps(&db, 5));
        let ends = join_all(batches.map(|batch| db.commit_with_others(Shape("steps", 5), batch))).await;
        assert!(ends.iter().all(|end| matches!(end, Ok(Ran::Done(_)))));
        for _ in 0..16 {
            db.commit(steps(&db, 5)).await.unwrap();
        }
        let n = match db.backend() {
            DbBackend::Postgres => "(payload->>'n')::bigint",
            _ => "json_extract(payload, '$.n')",
        };
        let out_of_order = format!(
            "WITH steps AS (SELECT seq, aggregate_id, {n} AS n FROM outbox) SELECT count(*) FROM steps a \
             JOIN steps b ON a.aggregate_id = b.aggregate_id AND a.seq < b.seq AND a.n > b.n"
        );
        let events = number(&db, "SELECT count(*) FROM outbox").await;
        assert_eq!((events, number(&db, &out_of_order).await), (400, 0));
    }

    async fn who_waits_for_its_events_hears_of_them_from_the_relay_of_any_process(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = bench.db("orders").await;
        let begun = Instant::now();
        committed(&db).await.settle(Duration::from_millis(300)).await;
        assert!(begun.elapsed() >= Duration::from_millis(300), "nobody has taken the event");

        // Another process' way to the same outbox.
        let others = bench.db("orders").await;
        for relaying in [&db, &others] {
            let stop = CancellationToken::new();
            let relay = Relay::new(relaying.clone(), Arc::new(LocalBus::default()), RelaySettings::default());
            let running = tokio::spawn(relay.run(stop.clone()));
            let begun = Instant::now();
            committed(&db).await.settle(Duration::from_secs(60)).await;
            assert!(begun.elapsed() < Duration::from_secs(30));
            assert_eq!(number(&db, "SELECT count(*) FROM outbox WHERE published_at_ms IS NULL").await, 0);
            stop.cancel();
            running.await.unwrap();
        }
    }

    async fn of_equal_keys_at_once_one_is_opened(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = bench.db("orders").await;
        let keyed = |n: usize| KeyedRequest {
            principal: "user".to_owned(),
            route: "POST /orders".to_owned(),
            key: format!("key {}", n / 2),
            request_hash: "same".to_owned(),
        };
        let opened = (0..32).map(|n| {
            let (db, keyed) = (&db, keyed(n));
            // Whoever finds it taken waits for the other, which never ends here.
            async move {
                let begun = idempotency::begin::<u8>(db, Some(keyed));
                matches!(tokio::time::timeout(Duration::from_secs(1), begun).await, Ok(Ok(Begin::Work(ticket))) if !ticket.resumed)
            }
        });
        let opened = join_all(opened).await;
        for pair in opened.chunks(2) {
            assert_eq!(pair.iter().filter(|opened| **opened).count(), 1, "{opened:?}");
        }
    }

    async fn who_lost_the_key_meanwhile_cannot_begin_its_first_work(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = bench.db("orders").await;
        db.writer().execute_unprepared("CREATE TABLE notes (id BIGINT PRIMARY KEY)").await.unwrap();
        let later = db.system().now().plus(Duration::from_secs(9));
        let begin = async |key: &str| {
            let keyed = KeyedRequest {
                principal: "user".to_owned(),
                route: "POST /payments".to_owned(),
                key: key.to_owned(),
                request_hash: "same".to_owned(),
            };
            match idempotency::begin::<u8>(&db, Some(keyed)).await.unwrap() {
                Begin::Work(ticket) => ticket,
                Begin::Replay(_) => panic!("nobody has ended it"),
            }
        };
        let first_work = async |ticket: &Ticket, id: i64| {
            let mut batch = note(id);
            ticket.hold_untouched_in(&mut batch, later);
            matches!(db.commit(batch).await.unwrap(), Ran::Done(_))
        };
        let quick = begin("quick").await;
        assert!(first_work(&quick, 1).await);

        // It slept for longer than its lease, and its client has come again.
        let slow = begin("slow").await;
        db.writer().execute_unprepared("UPDATE idempotency_keys SET lease_until_ms = 1").await.unwrap();
        let successor = begin("slow").await;
        assert!(successor.resumed && successor.resource_id == slow.resource_id);
        assert!(!first_work(&slow, 2).await);
        assert!(first_work(&successor, 3).await);
        assert!(!first_work(&quick, 4).await, "its own work has touched the key");
        assert_eq!(number(&db, "SELECT CAST(sum(id) AS BIGINT) FROM notes").await, 4);
    }

    async fn a_transaction_that_is_dropped_is_undone_and_its_connection_serves_on(engine: Engine) {
        let bench = Bench::new(engine).await;
        let db = drawers(&bench).await;
        for _ in 0..20 {
            let tx = db.begin().await.unwrap();
            tx.conn().execute(&take("left")).await.unwrap();
            drop(tx);
            let tx = db.begin().await.unwrap();
            tx.conn().execute(&take("right")).await.unwrap();
            // A broken rule: the transaction is of no more use.
            assert!(tx.conn().execute(&put("right", 1_000)).await.is_err());
        }
        let mut batch = Batch::default();
        let place = batch.update(put("left", 5));
        batch.must(place);
        db.commit(batch).await.unwrap();
        assert_eq!((pieces(&db, "left").await, pieces(&db, "right").await), (15, 10));
    }
}

#[test]
fn a_statement_whose_caller_goes_away_ends_with_its_connection() {
    let Some(server) = testkit::postgres_url() else { return };
    testkit::run(async move {
        let database = TestDatabase::create(Engine::Postgres(server)).await;
        let options = DbOptions {
            max_connections: 1,
            acquire_timeout: Duration::from_secs(10),
            ..DbOptions::new(Location::Postgres { url: database.url().unwrap().to_owned() })
        };
        let db = Db::open("inventory", &options, System::real()).await.unwrap();
        fill(&db).await;
        let tx = db.begin().await.unwrap();
        tx.conn().execute(&take("left")).await.unwrap();
        // It is sent, and nobody waits for the answer.
        let asked = tx.conn().execute_unprepared("SELECT pg_sleep(0.5)").now_or_never();
        assert!(asked.is_none());
        drop(tx);
        // The only connection there may be is a new one, and what the old one had locked is free when its statement has ended.
        assert_eq!(pieces(&db, "left").await, 10);
        let mut batch = Batch::default();
        let place = batch.update(take("left"));
        batch.must(place);
        assert!(matches!(db.commit(batch).await.unwrap(), Ran::Done(_)));
    });
}
