//! Stories of the stock, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

use contracts::inventory::{ReserveRefusal, ReserveStock, StockLine, StockRanLow};
use contracts::orders::{OrderStatus, OrderStatusChanged};
use contracts::port::PortError;
use futures_util::future::join_all;
use inventory::{Deps, Inventory, Settings};
use kernel::{OrderId, Quantity, ReservationId};
use serde_json::json;
use testkit::fakes::{gbp, sku};
use testkit::{Bench, Engine, TestApp, fresh_id};
use uuid::Uuid;

struct Store {
    bench: Bench,
    app: TestApp,
    module: Inventory,
}

impl Store {
    async fn open(engine: Engine) -> Self {
        let bench = Bench::new(engine).await;
        let module = Inventory::new(Deps { db: bench.db("inventory").await, settings: Settings::default() });
        let app = TestApp::start(module.clone(), bench.tokens.verifier()).await;
        Self { bench, app, module }
    }

    async fn put(&self, sku: &str, on_hand: i64) {
        let body = json!({"on_hand": on_hand});
        self.app
            .call("PUT", &format!("/inventory/{sku}"))
            .by(&self.bench.tokens.admin())
            .json(body)
            .send()
            .await
            .expect(200);
    }

    async fn level(&self, sku: &str) -> (i64, i64) {
        let level = self
            .app
            .get(&format!("/inventory/{sku}"))
            .by(&self.bench.tokens.customer())
            .send()
            .await
            .expect(200);
        (level.json["on_hand"].as_i64().unwrap(), level.json["reserved"].as_i64().unwrap())
    }

    async fn reserve(&self, id: Uuid, lines: &[(&str, i64)]) -> Result<(), PortError<ReserveRefusal>> {
        let lines = lines
            .iter()
            .map(|(text, n)| StockLine { sku: sku(text), quantity: Quantity::parse(*n).unwrap() })
            .collect();
        self.module
            .port()
            .reserve(ReserveStock { reservation_id: ReservationId(id), order_id: OrderId(id), lines })
            .await
    }

    async fn order_became(&self, event_id: Uuid, order: Uuid, to: OrderStatus) {
        let event = OrderStatusChanged {
            order_id: OrderId(order),
            number: "1".to_owned(),
            user_id: None,
            from: OrderStatus::Pending,
            to,
            total: gbp(100),
            reservation_id: Some(ReservationId(order)),
            actor_id: None,
            reason: None,
        };
        self.app.deliver(event_id, &event).await.unwrap();
    }
}

testkit::on_every_database! {
    async fn two_hundred_buyers_of_fifty_pieces_get_fifty(engine: Engine) {
        let store = Store::open(engine).await;
        store.put("LAMP", 50).await;
        let outcomes = join_all((0..200).map(|_| store.reserve(fresh_id(), &[("LAMP", 1)]))).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 50);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(PortError::Refused(ReserveRefusal::Insufficient(_))))));
        assert_eq!(store.level("LAMP").await, (50, 50));
        store.app.assert_healthy().await;
    }

    async fn baskets_that_share_skus_in_opposite_order_do_not_deadlock(engine: Engine) {
        let store = Store::open(engine).await;
        for sku in ["A", "B", "C"] {
            store.put(sku, 1_000).await;
        }
        let outcomes = join_all((0..60).map(|n| {
            let lines = if n % 2 == 0 { [("A", 1), ("B", 2), ("C", 1)] } else { [("C", 1), ("B", 2), ("A", 1)] };
            let store = &store;
            async move { store.reserve(fresh_id(), &lines).await }
        })).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(store.level("B").await, (1_000, 120));
    }

    async fn a_reservation_is_all_or_nothing_and_names_every_shortage(engine: Engine) {
        let store = Store::open(engine).await;
        store.put("A", 5).await;
        store.put("B", 1).await;
        let refusal = store.reserve(fresh_id(), &[("A", 2), ("B", 2), ("NONE", 1)]).await.unwrap_err();
        let PortError::Refused(ReserveRefusal::Insufficient(short)) = refusal else { panic!("{refusal:?}") };
        let short: Vec<_> = short.iter().map(|s| (s.sku.as_str(), s.requested, s.available)).collect();
        assert_eq!(short, vec![("B", 2, 1), ("NONE", 1, 0)]);
        assert_eq!(store.level("A").await, (5, 0));
    }

    async fn reserving_and_releasing_twice_acts_once_and_burns_the_id(engine: Engine) {
        let store = Store::open(engine).await;
        store.put("A", 5).await;
        let id = fresh_id();
        store.reserve(id, &[("A", 2)]).await.unwrap();
        store.reserve(id, &[("A", 2)]).await.unwrap();
        assert_eq!(store.level("A").await, (5, 2));
        let port = store.module.port();
        for _ in 0..2 {
            port.release(ReservationId(id), OrderId(id)).await.unwrap();
        }
        assert_eq!(store.level("A").await, (5, 0));
        let late = store.reserve(id, &[("A", 2)]).await;
        assert!(matches!(late, Err(PortError::Refused(ReserveRefusal::Released))), "{late:?}");

        let never_held = fresh_id();
        port.release(ReservationId(never_held), OrderId(never_held)).await.unwrap();
        let slow_twin = store.reserve(never_held, &[("A", 1)]).await;
        assert!(matches!(slow_twin, Err(PortError::Refused(ReserveRefusal::Released))), "{slow_twin:?}");
        store.app.assert_healthy().await;
    }

    async fn an_order_that_is_cancelled_or_shipped_moves_its_stock_once(engine: Engine) {
        let store = Store::open(engine).await;
        store.put("A", 10).await;
        let (cancelled, shipped) = (fresh_id(), fresh_id());
        store.reserve(cancelled, &[("A", 3)]).await.unwrap();
        store.reserve(shipped, &[("A", 4)]).await.unwrap();
        let (first, second) = (fresh_id(), fresh_id());
        for _redelivery in 0..2 {
            store.order_became(first, cancelled, OrderStatus::Cancelled).await;
            store.order_became(second, shipped, OrderStatus::Shipped).await;
        }
        assert_eq!(store.level("A").await, (6, 0));
        let ledger = store.app.get("/inventory/a/movements").by(&store.bench.tokens.admin()).send().await.expect(200);
        let changes: Vec<_> = ledger.json["items"].as_array().unwrap().iter().map(|m| (m["kind"].as_str().unwrap(), m["change"].as_i64().unwrap())).collect();
        assert_eq!(changes, vec![("shipped", -4), ("opening", 10)]);
        store.app.assert_healthy().await;
    }

    async fn stock_is_changed_by_admins_within_what_orders_hold(engine: Engine) {
        let store = Store::open(engine).await;
        let (admin, customer) = (store.bench.tokens.admin(), store.bench.tokens.customer());
        store.put("MUG", 10).await;
        store.reserve(fresh_id(), &[("MUG", 4)]).await.unwrap();
        let patch = |change: i64| store.app.call("PATCH", "/inventory/mug").json(json!({"change": change, "reason": "count"}));
        patch(-1).send().await.expect_problem(401, "unauthenticated");
        patch(-1).by(&customer).send().await.expect_problem(403, "forbidden");
        patch(0).by(&admin).send().await.expect_problem(400, "invalid_body");
        patch(-7).by(&admin).send().await.expect_problem(409, "insufficient_stock");
        let level = patch(-6).by(&admin).send().await.expect(200).json;
        assert_eq!((level["on_hand"].as_i64(), level["available"].as_i64()), (Some(4), Some(0)));
        let put = store.app.call("PUT", "/inventory/mug").by(&admin).json(json!({"on_hand": 3})).send().await;
        put.expect_problem(409, "insufficient_stock");
        store.app.call("PATCH", "/inventory/unknown").by(&admin).json(json!({"change": 1, "reason": "x"})).send().await.expect_problem(404, "not_found");
        store.app.get("/inventory/mug/movements").by(&customer).send().await.expect_problem(403, "forbidden");
        store.app.get("/inventory/mug").send().await.expect_problem(401, "unauthenticated");
        store.app.assert_healthy().await;
    }

    async fn tags_save_transfers_and_lost_updates(engine: Engine) {
        let store = Store::open(engine).await;
        let admin = store.bench.tokens.admin();
        store.put("MUG", 10).await;
        let read = store.app.get("/inventory/MUG").by(&admin).send().await.expect(200);
        let tag = read.header("etag").to_owned();
        store.app.get("/inventory/MUG").by(&admin).header("If-None-Match", &tag).send().await.expect(304);
        let put = |n: i64| store.app.call("PUT", "/inventory/MUG").by(&admin).header("If-Match", &tag).json(json!({"on_hand": n}));
        put(11).send().await.expect(200);
        put(12).send().await.expect_problem(412, "precondition_failed");
        assert_eq!(store.level("MUG").await.0, 11);
    }

    async fn low_stock_is_listed_and_announced_once(engine: Engine) {
        let store = Store::open(engine).await;
        let customer = store.bench.tokens.customer();
        store.put("LOW", 7).await;
        store.put("HIGH", 70).await;
        store.reserve(fresh_id(), &[("LOW", 2)]).await.unwrap();
        store.reserve(fresh_id(), &[("LOW", 1)]).await.unwrap();
        let list = |query: &'static str| store.app.get(query).by(&customer).send();
        let low = list("/inventory?low_stock=true").await.expect(200).json;
        assert_eq!(low["items"].as_array().unwrap().len(), 1);
        assert_eq!(low["items"][0]["sku"], "LOW");
        assert_eq!(store.app.published::<StockRanLow>().await.len(), 1);
        let first = list("/inventory?limit=1").await.expect(200).json;
        assert_eq!(first["items"][0]["sku"], "HIGH");
        let next = format!("/inventory?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
        let second = store.app.get(&next).by(&customer).send().await.expect(200).json;
        assert_eq!((second["items"][0]["sku"].as_str(), second["next_cursor"].is_null()), (Some("LOW"), true));
        for bad in ["/inventory?limit=0", "/inventory?limit=101", "/inventory?x=1", "/inventory?cursor=zz"] {
            list(bad).await.expect_problem(400, "invalid_query");
        }
    }

    async fn stock_goes_in_and_out_as_csv(engine: Engine) {
        let store = Store::open(engine).await;
        let admin = store.bench.tokens.admin();
        let file = "sku,on_hand,low_stock_threshold\na,5,\nB,7,2\nbad/sku,1,\nC,-1,\nD,x,\n";
        let import = || store.app.post("/inventory/import").by(&admin).body("text/csv", file).send();
        let first = import().await.expect(200).json;
        assert_eq!((first["rows_read"].as_i64(), first["created"].as_i64(), first["refused"].as_i64()), (Some(5), Some(2), Some(3)));
        assert_eq!(first["refusals"][0]["line"], 4);
        assert_eq!(import().await.expect(200).json["unchanged"], 2);
        let export = store.app.get("/inventory/export").by(&admin).send().await.expect(200);
        assert_eq!(export.text, "sku,on_hand,low_stock_threshold\nA,5,5\nB,7,2\n");
        store.app.post("/inventory/import").by(&store.bench.tokens.customer()).body("text/csv", file).send().await.expect_problem(403, "forbidden");
        store.app.post("/inventory/import").by(&admin).json(json!({})).send().await.expect_problem(415, "unsupported_media_type");
        store.app.assert_healthy().await;
    }

    async fn the_doctor_names_a_row_that_was_tampered_with(engine: Engine) {
        use sea_orm::ConnectionTrait;
        let store = Store::open(engine).await;
        store.put("A", 5).await;
        store.reserve(fresh_id(), &[("A", 2)]).await.unwrap();
        let db = store.bench.open("inventory").await;
        db.writer().execute_unprepared("UPDATE stock SET on_hand = 9, reserved = 3").await.unwrap();
        let module = store.app.module();
        let found: Vec<_> = module.doctor().await.unwrap().into_iter().filter(|check| !check.holds()).collect();
        let names: Vec<_> = found.iter().map(|check| check.name).collect();
        assert_eq!(names, vec!["inventory.reservations_add_up", "inventory.ledger_adds_up"]);
        assert_eq!(found[0].violations, vec!["A: 3 reserved, 2 held by reservations"]);
        assert!(db.writer().execute_unprepared("UPDATE stock SET reserved = 10").await.is_err(), "the schema refuses overselling");
        db.close().await.unwrap();
    }
}
