//! What is left when the power fails, or an answer is lost, at each step of a placement.

use std::sync::Arc;

use contracts::inventory::{InventoryPort, ReserveStock, StockLine};
use contracts::orders::OrderCreated;
use kernel::{OrderId, Quantity, ReservationId};
use platform::idempotency;
use sea_orm::{EntityTrait, Set};
use serde_json::json;
use testkit::fakes::sku;
use testkit::{Engine, TestUser, fresh_id};

use crate::support::{Gate, Shop, basket};

/// The body of the request that died, in the words of its hash.
#[derive(serde::Serialize)]
struct Body {
    items: Vec<Line>,
    shipping_address: Option<()>,
    total: Option<()>,
}

#[derive(serde::Serialize)]
struct Line {
    sku: &'static str,
    product_id: Option<()>,
    quantity: i64,
    price: Option<()>,
}

/// A key that a process opened before it died, `seconds` ago.
async fn open_key(shop: &Shop, customer: &TestUser, key: &str, route: &str, order: OrderId, seconds: i64) {
    let db = shop.app.module().db();
    let now_ms = db.system().now().ms();
    let line = Line { sku: "MUG", product_id: None, quantity: 1, price: None };
    let body = Body { items: vec![line], shipping_address: None, total: None };
    let row = idempotency::ActiveModel {
        principal: Set(format!("user:{}", customer.id)),
        route: Set(route.to_owned()),
        idempotency_key: Set(key.to_owned()),
        request_hash: Set(idempotency::hash(&body)),
        state: Set("open".to_owned()),
        resource_id: Set(order.uuid()),
        outcome: Set(None),
        created_at_ms: Set(now_ms - seconds * 1_000),
        lease_until_ms: Set(now_ms - (seconds - 30) * 1_000),
    };
    idempotency::Entity::insert(row).exec_without_returning(db.writer()).await.unwrap();
}

async fn hold(shop: &Shop, order: OrderId) {
    let line = StockLine { sku: sku("MUG"), quantity: Quantity::parse(1).unwrap() };
    let request =
        ReserveStock { reservation_id: ReservationId(order.uuid()), order_id: order, lines: vec![line] };
    shop.stock.reserve(request).await.unwrap();
}

testkit::on_every_database! {
    async fn a_placement_that_a_crash_left_behind_is_undone_by_the_worker(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let (dead, alive, checkout) = (OrderId(fresh_id()), OrderId(fresh_id()), OrderId(fresh_id()));
        open_key(&shop, &customer, "dead", "POST /orders", dead, 60).await;
        open_key(&shop, &customer, "alive", "POST /orders", alive, 1).await;
        open_key(&shop, &customer, "dead", "POST /cart/checkout", checkout, 60).await;
        let other = OrderId(fresh_id());
        open_key(&shop, &customer, "dead", &format!("POST /orders/{other}/cancel"), other, 60).await;
        for order in [dead, alive, checkout] {
            hold(&shop, order).await;
        }
        shop.app.work("orders.recover_placements").await;
        // Only the one that may still be at work is left.
        assert_eq!(shop.stock.held().iter().map(|held| held.order_id).collect::<Vec<_>>(), vec![alive]);
        assert_eq!(shop.count("idempotency_keys").await, 1);
        assert_eq!(shop.count("abandoned_reservations").await, 0);
        shop.advance(31);
        shop.app.work("orders.recover_placements").await;
        shop.assert_nothing_is_held().await;
        // The keys can be used again, and a slow twin of the dead one cannot reserve any more.
        shop.post(&customer, "dead", basket(&[("MUG", 1)])).await.expect(201);
        let line = StockLine { sku: sku("MUG"), quantity: Quantity::parse(1).unwrap() };
        let twin = ReserveStock { reservation_id: ReservationId(dead.uuid()), order_id: dead, lines: vec![line] };
        assert!(shop.stock.reserve(twin).await.is_err());
        assert_eq!(shop.available("MUG"), 99);
    }

    async fn a_retry_undoes_the_dead_attempt_itself_and_begins_afresh(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let dead = OrderId(fresh_id());
        open_key(&shop, &customer, "k", "POST /orders", dead, 60).await;
        hold(&shop, dead).await;
        let placed = shop.post(&customer, "k", json!({"items": [{"sku": "MUG", "quantity": 1}]})).await.expect(201);
        assert_ne!(placed.json["id"], dead.to_string());
        assert_eq!((shop.available("MUG"), shop.stock.held().len()), (99, 1));
        shop.app.assert_healthy().await;
    }

    async fn the_power_may_fail_before_and_after_the_reservation(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let order = || shop.post(&customer, "k", basket(&[("MUG", 5)]));
        for after in [false, true] {
            let switch = if after { &shop.faults.die_after_reserve } else { &shop.faults.die_before_reserve };
            *switch.lock().unwrap() = true;
            order().await.expect_problem(500, "internal");
            assert_eq!((shop.count("orders").await, shop.stock.held().len()), (0, usize::from(after)));
            shop.app.work("orders.recover_placements").await;
            assert_eq!(shop.stock.held().len(), usize::from(after), "a young attempt is left alone");
            shop.advance(31);
            shop.app.work("orders.recover_placements").await;
            shop.assert_nothing_is_held().await;
        }
        order().await.expect(201);
        assert_eq!(shop.available("MUG"), 95);
    }

    async fn a_lost_answer_of_inventory_holds_nothing(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        *shop.faults.lose_answer.lock().unwrap() = true;
        shop.post(&customer, "k", basket(&[("MUG", 5)])).await.expect_problem(503, "unavailable");
        shop.assert_nothing_is_held().await;
        // And if it cannot be released at once, it is released later: the intent is not lost with the key.
        *shop.faults.lose_answer.lock().unwrap() = true;
        *shop.faults.release_down.lock().unwrap() = true;
        shop.post(&customer, "k", basket(&[("MUG", 5)])).await.expect_problem(503, "unavailable");
        assert_eq!((shop.available("MUG"), shop.count("abandoned_reservations").await), (95, 1));
        shop.app.work("orders.recover_placements").await;
        assert_eq!(shop.count("abandoned_reservations").await, 1);
        shop.advance(301);
        let sick: Vec<_> = shop.app.module().doctor().await.unwrap().into_iter().filter(|check| !check.holds()).map(|check| check.name).collect();
        assert_eq!(sick, vec!["orders.undone_in_time"]);
        *shop.faults.release_down.lock().unwrap() = false;
        shop.app.work("orders.recover_placements").await;
        shop.assert_nothing_is_held().await;
    }

    async fn an_order_that_cannot_be_written_gives_its_stock_back(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.execute("ALTER TABLE order_timeline RENAME TO order_timeline_away").await;
        shop.post(&customer, "k", basket(&[("MUG", 5)])).await.expect_problem(500, "internal");
        shop.execute("ALTER TABLE order_timeline_away RENAME TO order_timeline").await;
        assert_eq!((shop.count("orders").await, shop.count("outbox").await), (0, 0));
        shop.assert_nothing_is_held().await;
        shop.post(&customer, "k", basket(&[("MUG", 5)])).await.expect(201);
    }

    async fn a_slow_attempt_that_was_given_up_for_dead_places_the_order_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        // Slow before its stock is held, and slow between holding it and writing the order.
        for (round, switch) in [&shop.faults.gate, &shop.faults.gate_after].into_iter().enumerate() {
            let customer = shop.bench.tokens.customer();
            let gate = Arc::new(Gate::default());
            *switch.lock().unwrap() = Some(gate.clone());
            let slow = shop.post(&customer, "k", basket(&[("MUG", 5)]));
            let meanwhile = async {
                gate.reached.notified().await;
                shop.advance(31);
                shop.app.work("orders.recover_placements").await;
                // A retry does the work; the slow attempt then hears what came of it.
                let retry = shop.post(&customer, "k", basket(&[("MUG", 5)])).await.expect(201);
                gate.opened.notify_one();
                retry
            };
            let (slow, retry) = futures_util::future::join(slow, meanwhile).await;
            assert_eq!((slow.status, &slow.text), (201, &retry.text));
            assert_eq!(slow.header("idempotency-replayed"), "true");
            let orders = i64::try_from(round).unwrap() + 1;
            assert_eq!((shop.count("orders").await, shop.available("MUG")), (orders, 100 - 5 * orders));
        }
        assert_eq!(shop.app.published::<OrderCreated>().await.len(), 2);
        shop.app.assert_healthy().await;
    }

    async fn a_customer_who_hangs_up_has_placed_the_order_all_the_same(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let gate = Arc::new(Gate::default());
        *shop.faults.gate.lock().unwrap() = Some(gate.clone());
        {
            let mut posting = std::pin::pin!(shop.post(&customer, "k", basket(&[("MUG", 5)])));
            let reached = std::pin::pin!(gate.reached.notified());
            let _hung_up = futures_util::future::select(posting.as_mut(), reached).await;
        }
        gate.opened.notify_one();
        let again = shop.post(&customer, "k", basket(&[("MUG", 5)])).await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!((shop.count("orders").await, shop.available("MUG")), (1, 95));
    }
}
