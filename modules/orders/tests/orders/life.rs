//! The life of an order: transitions, cancelling, reactivation, expiry, timeline.

use contracts::orders::{OrderStatus, OrderStatusChanged};
use futures_util::future::join_all;
use serde_json::json;
use testkit::{Engine, TestUser, fresh_id};

use crate::support::Shop;

/// Brings a fresh order to a status, as an admin would.
async fn order_that_is(shop: &Shop, admin: &TestUser, status: OrderStatus) -> String {
    let id = shop.place(&shop.bench.tokens.customer(), &[("MUG", 1)]).await;
    let path: &[&str] = match status {
        OrderStatus::Pending => &[],
        OrderStatus::Confirmed => &["confirmed"],
        OrderStatus::Processing => &["processing"],
        OrderStatus::Shipped => &["processing", "shipped"],
        OrderStatus::Delivered => &["processing", "shipped", "delivered"],
        OrderStatus::Cancelled => &["cancelled"],
    };
    for step in path {
        shop.set_status(admin, &id, step).await.expect(200);
    }
    id
}

testkit::on_every_database! {
    async fn an_admin_moves_an_order_along_the_table_and_nowhere_else(engine: Engine) {
        use OrderStatus::{Cancelled, Confirmed, Delivered, Pending, Processing, Shipped};
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let allowed = [
            (Pending, Confirmed), (Pending, Processing), (Pending, Cancelled), (Confirmed, Processing),
            (Confirmed, Cancelled), (Processing, Shipped), (Processing, Cancelled), (Shipped, Delivered),
            (Cancelled, Pending),
        ];
        let pairs = OrderStatus::ALL.into_iter().flat_map(|from| OrderStatus::ALL.into_iter().map(move |to| (from, to)));
        join_all(pairs.map(|(from, to)| {
            let (shop, admin) = (&shop, &admin);
            async move {
                let id = order_that_is(shop, admin, from).await;
                let answer = shop.set_status(admin, &id, to.as_str()).await;
                if allowed.contains(&(from, to)) {
                    assert_eq!(answer.expect(200).json["status"], to.as_str());
                } else {
                    let problem = answer.expect_problem(409, "invalid_transition");
                    assert_eq!((problem.json["from"].as_str(), problem.json["to"].as_str()), (Some(from.as_str()), Some(to.as_str())));
                    assert_eq!(shop.state(&id).await.0, from.as_str());
                }
            }
        })).await;
        shop.app.assert_healthy().await;
    }

    async fn an_owner_cancels_early_and_does_nothing_else(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let pending = shop.place(&ada, &[("MUG", 1)]).await;
        for status in ["pending", "confirmed", "processing", "shipped", "delivered"] {
            shop.set_status(&ada, &pending, status).await.expect_problem(403, "forbidden");
        }
        shop.set_status(&ada, &pending, "gone").await.expect_problem(400, "invalid_body");
        assert_eq!(shop.set_status(&ada, &pending, "cancelled").await.expect(200).json["status"], "cancelled");
        shop.cancel(&ada, &pending).await.expect_problem(409, "invalid_transition");
        shop.set_status(&ada, &pending, "pending").await.expect_problem(403, "forbidden");

        let confirmed = shop.place(&ada, &[("MUG", 1)]).await;
        shop.set_status(&admin, &confirmed, "confirmed").await.expect(200);
        shop.set_status(&ada, &confirmed, "cancelled").await.expect_problem(409, "invalid_transition");
        assert_eq!(shop.cancel(&ada, &confirmed).await.expect(200).json["status"], "cancelled");

        let packed = shop.place(&ada, &[("MUG", 1)]).await;
        shop.set_status(&admin, &packed, "processing").await.expect(200);
        shop.cancel(&ada, &packed).await.expect_problem(409, "invalid_transition");
        assert_eq!(shop.cancel(&admin, &packed).await.expect(200).json["status"], "cancelled");
        let events = shop.app.published::<OrderStatusChanged>().await;
        let cancelled: Vec<_> = events.iter().filter(|event| event.to == OrderStatus::Cancelled).collect();
        assert_eq!(cancelled.len(), 3);
        assert!(cancelled.iter().all(|event| event.reservation_id.map(|id| id.uuid()) == Some(event.order_id.uuid())));
        assert_eq!(cancelled[0].actor_id, Some(ada.id));
        shop.app.assert_healthy().await;
    }

    async fn cancelling_twice_with_one_key_is_cancelling_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.bench.tokens.customer();
        let id = shop.place(&ada, &[("MUG", 1)]).await;
        let cancel = || shop.app.post(&format!("/orders/{id}/cancel")).by(&ada).key("c").send();
        let answers = join_all((0..10).map(|_| cancel())).await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == answers[0].text), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count(), 9);
        assert_eq!(shop.app.published::<OrderStatusChanged>().await.len(), 1);
        // A refusal does not use up its key.
        let unknown = format!("/orders/{}/cancel", fresh_id());
        for _again in 0..2 {
            shop.app.post(&unknown).by(&ada).key("u").send().await.expect_problem(404, "not_found");
        }
        shop.app.assert_healthy().await;
    }

    async fn of_ten_admins_at_once_one_moves_the_order(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let id = shop.place(&shop.bench.tokens.customer(), &[("MUG", 1)]).await;
        let answers = join_all((0..10).map(|n| shop.set_status(&admin, &id, if n % 2 == 0 { "confirmed" } else { "cancelled" }))).await;
        // Confirming and then cancelling is one way through; cancelling first is the other.
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        assert!((1..=2).contains(&done), "{answers:?}");
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
        assert_eq!(shop.app.published::<OrderStatusChanged>().await.len(), done);
        assert_eq!(shop.timeline(&id).await.len(), 1 + done);
    }

    async fn a_tag_guards_a_change_of_status(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let id = shop.place(&shop.bench.tokens.customer(), &[("MUG", 1)]).await;
        let path = format!("/orders/{id}");
        let tag = shop.app.get(&path).by(&admin).send().await.expect(200).header("etag").to_owned();
        shop.app.get(&path).by(&admin).header("If-None-Match", &tag).send().await.expect(304);
        let patch = |status: &str| {
            let body = json!({"status": status});
            shop.app.call("PATCH", &format!("{path}/status")).by(&admin).header("If-Match", &tag).json(body).send()
        };
        let changed = patch("confirmed").await.expect(200);
        assert_ne!(changed.header("etag"), tag);
        let refused = patch("processing").await.expect_problem(412, "precondition_failed");
        assert_eq!(refused.header("etag"), changed.header("etag"));
        assert_eq!(shop.state(&id).await.0, "confirmed");
    }

    async fn the_timeline_tells_what_happened_oldest_first(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        shop.set_status(&admin, &id, "processing").await.expect(200);
        shop.set_status(&admin, &id, "shipped").await.expect(200);
        let timeline = shop.app.get(&format!("/orders/{id}/timeline")).by(&ada).send().await.expect(200).json;
        let events = timeline["events"].as_array().unwrap();
        let told: Vec<_> = events.iter().map(|e| (e["type"].as_str().unwrap(), e["from"].as_str(), e["to"].as_str())).collect();
        assert_eq!(told, vec![
            ("created", None, None),
            ("status_changed", Some("pending"), Some("processing")),
            ("status_changed", Some("processing"), Some("shipped")),
        ]);
        assert_eq!(events[0]["actor_id"], ada.id.to_string());
        assert_eq!(events[0]["data"]["total"]["amount"], 1_700);
        assert_eq!(events[1]["actor_id"], admin.id.to_string());
        assert!(events[1]["at"].is_string() && events[1]["data"].is_null());
    }

    async fn a_cancelled_order_is_brought_back_with_stock_of_its_own(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let id = shop.place(&ada, &[("MUG", 60)]).await;
        shop.cancel(&ada, &id).await.expect(200);
        // The first reservation is released by inventory when it hears of it; here its id is still held.
        let refused = shop.set_status(&admin, &id, "pending").await.expect_problem(409, "insufficient_stock");
        assert_eq!(refused.json["shortages"], json!([{"sku": "MUG", "requested": 60, "available": 40}]));
        assert_eq!(shop.state(&id).await.0, "cancelled");
        assert_eq!(shop.count("abandoned_reservations").await, 0);
        shop.stock.put("MUG", 200);
        shop.advance(600);
        let (ada, admin) = (shop.again(&ada), shop.again(&admin));
        assert_eq!(shop.set_status(&admin, &id, "pending").await.expect(200).json["status"], "pending");
        let events = shop.app.published::<OrderStatusChanged>().await;
        let back = events.last().unwrap();
        assert_eq!((back.from, back.to), (OrderStatus::Cancelled, OrderStatus::Pending));
        assert_ne!(back.reservation_id.unwrap().uuid(), back.order_id.uuid());
        assert_eq!(shop.stock.held().len(), 2);
        // Its payment window starts anew.
        shop.advance(1_700);
        shop.app.work("orders.expire_unpaid").await;
        assert_eq!(shop.state(&id).await.0, "pending");
        // The next round names the second reservation, not the burnt first one.
        shop.cancel(&shop.again(&ada), &id).await.expect(200);
        let events = shop.app.published::<OrderStatusChanged>().await;
        assert_eq!(events.last().unwrap().reservation_id, events[1].reservation_id);
        shop.app.assert_healthy().await;
    }

    async fn a_reactivation_that_a_crash_left_behind_is_undone(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let id = shop.place(&admin, &[("MUG", 5)]).await;
        shop.cancel(&admin, &id).await.expect(200);
        *shop.faults.die_after_reserve.lock().unwrap() = true;
        shop.set_status(&admin, &id, "pending").await.expect_problem(500, "internal");
        assert_eq!((shop.state(&id).await.0.as_str(), shop.stock.held().len()), ("cancelled", 2));
        let early = shop.set_status(&admin, &id, "pending").await.expect_problem(409, "reactivation_in_progress");
        assert_eq!(early.header("retry-after"), "1");
        shop.app.work("orders.recover_placements").await;
        assert_eq!(shop.stock.held().len(), 2, "a young attempt is left alone");
        shop.advance(31);
        shop.app.work("orders.recover_placements").await;
        assert_eq!(shop.stock.held().len(), 1);
        shop.app.assert_healthy().await;
        assert_eq!(shop.set_status(&admin, &id, "pending").await.expect(200).json["status"], "pending");
        assert_eq!(shop.stock.held().len(), 2);
    }

    async fn of_ten_reactivations_at_once_one_takes_stock(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let id = shop.place(&admin, &[("MUG", 5)]).await;
        shop.cancel(&admin, &id).await.expect(200);
        let answers = join_all((0..10).map(|_| shop.set_status(&admin, &id, "pending"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
        assert_eq!(shop.available("MUG"), 90);
        shop.app.assert_healthy().await;
    }

    async fn an_order_that_nobody_pays_is_cancelled_in_time(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let unpaid = shop.place(&ada, &[("MUG", 1)]).await;
        let accepted = shop.place(&ada, &[("MUG", 1)]).await;
        shop.set_status(&admin, &accepted, "confirmed").await.expect(200);
        let paying = shop.place(&ada, &[("MUG", 1)]).await;
        shop.begin_payment(&ada, &paying).await;
        shop.advance(1_799);
        shop.app.work("orders.expire_unpaid").await;
        assert_eq!(shop.state(&unpaid).await.0, "pending");
        shop.advance(2);
        let late = shop.place(&shop.again(&ada), &[("MUG", 1)]).await;
        for _again in 0..2 {
            shop.app.work("orders.expire_unpaid").await;
        }
        assert_eq!(shop.state(&unpaid).await.0, "cancelled");
        for other in [&accepted, &paying, &late] {
            assert_ne!(shop.state(other).await.0, "cancelled");
        }
        let expired: Vec<_> = shop.app.published::<OrderStatusChanged>().await.into_iter().filter(|e| e.to == OrderStatus::Cancelled).collect();
        assert_eq!(expired.len(), 1);
        assert_eq!((expired[0].reason.as_deref(), expired[0].actor_id), (Some("payment_window_passed"), None));
        assert_eq!(shop.timeline(&unpaid).await, vec!["created", "status_changed"]);
    }
}
