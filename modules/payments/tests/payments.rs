//! Stories of paying, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

mod shop;

use std::time::Duration;

use contracts::orders::{OrderStatus, OrdersPort};
use contracts::payments::{
    PaymentAuthorized, PaymentCaptured, PaymentFailed, PaymentRefunded, PaymentVoided,
};
use futures_util::future::join_all;
use kernel::PaymentId;
use payments::Settings;
use payments::provider::{Authorization, PaymentProvider, Verdict};
use platform::lease::LEASE;
use serde_json::json;
use shop::{Fault, Shop, money};
use testkit::fakes::gbp;
use testkit::{Engine, fresh_id};

/// Longer than any lease, shorter than the bounds of the doctor.
const A_WHILE: Duration = Duration::from_secs(120);

testkit::on_every_database! {
    async fn each_sandbox_token_does_what_it_says(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        for (token, status, code, decline) in [
            ("tok_ok", 201, "", ""),
            ("tok_slow", 201, "", ""),
            ("tok_declined", 402, "card_declined", "generic_decline"),
            ("tok_insufficient_funds", 402, "card_declined", "insufficient_funds"),
            ("tok_nobody_knows", 402, "card_declined", "unknown_token"),
        ] {
            let order = shop.orders.put(buyer.id, 2_999);
            let answer = shop.pay(&buyer, order, token, token).await.expect(status);
            assert_eq!((answer.code(), answer.json["decline_code"].as_str().unwrap_or_default()), (code, decline), "{token}");
            let replay = shop.pay(&buyer, order, token, token).await.expect(status);
            assert_eq!((&replay.json, replay.header("idempotency-replayed")), (&answer.json, "true"), "{token}");
            if status == 201 {
                assert_eq!(answer.header("idempotency-replayed"), "");
                assert_eq!(answer.json["status"], "captured");
                assert_eq!((&answer.json["amount"], &answer.json["captured"]), (&money(2_999), &money(2_999)));
                assert_eq!((&answer.json["refunded"], answer.json["provider"].as_str()), (&money(0), Some("sandbox")));
                assert_eq!(answer.json["order_id"], order.to_string());
            } else {
                assert_eq!(shop.orders.payment_of(order), None, "the order is free again");
            }
        }
        assert_eq!(shop.charges().await, 2);
        assert_eq!(shop.published::<PaymentCaptured>().await.len(), 2);
        assert_eq!(shop.published::<PaymentFailed>().await.len(), 3);
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM attempts WHERE token IS NOT NULL").await, 0, "tokens are forgotten");
        shop.app.assert_healthy().await;
    }

    async fn an_answer_that_never_comes_costs_one_charge(engine: Engine) {
        let shop = Shop::with(engine, Settings { provider_timeout_ms: 700, ..Settings::default() }).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 500);
        let answer = shop.pay(&buyer, order, "tok_timeout_then_ok", "k").await.expect(201);
        assert_eq!(answer.json["status"], "captured");
        assert_eq!(shop.charges().await, 1);
        shop.app.assert_healthy().await;
    }

    async fn the_same_key_fifty_times_at_once_charges_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 2_999);
        let answers = join_all((0..50).map(|_| shop.pay(&buyer, order, "tok_ok", "one"))).await;
        let first = answers[0].json.clone();
        assert!(answers.iter().all(|answer| answer.status == 201 && answer.json == first), "{answers:#?}");
        assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count(), 1);
        assert_eq!((shop.charges().await, shop.payments().await), (1, 1));
        shop.app.assert_healthy().await;
    }

    async fn twenty_keys_at_once_for_one_order_capture_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 2_999);
        let keys: Vec<String> = (0..20).map(|n| format!("key-{n}")).collect();
        let answers = join_all(keys.iter().map(|key| shop.pay(&buyer, order, "tok_ok", key))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        assert!(answers.iter().all(|answer| answer.status == 201 || answer.code() == "payment_in_progress"), "{answers:#?}");
        assert_eq!((shop.charges().await, shop.payments().await), (1, 1));
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM idempotency_keys").await, 1, "refusals are not stored");
        shop.app.assert_healthy().await;
    }

    async fn a_declined_card_leaves_the_order_to_another(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.pay(&buyer, order, "tok_declined", "first").await.expect_problem(402, "card_declined");
        shop.pay(&buyer, order, "tok_ok", "second").await.expect(201);
        shop.pay(&buyer, order, "tok_ok", "first").await.expect_problem(422, "idempotency_key_reused");
        shop.pay(&buyer, order, "tok_declined", "first").await.expect_problem(402, "card_declined");
        shop.pay(&buyer, order, "tok_ok", "third").await.expect_problem(409, "payment_in_progress");
        let list = shop.app.get(&format!("/payments?order_id={order}&status=failed")).by(&buyer).send().await.expect(200);
        assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
        shop.app.assert_healthy().await;
    }

    async fn paying_needs_a_token_a_key_an_order_and_a_sound_body(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, stranger) = (shop.bench.tokens.customer(), shop.bench.tokens.customer());
        let order = shop.orders.put(buyer.id, 700);
        let body = json!({"order_id": order, "method": {"type": "card", "token": "tok_ok"}});
        let post = || shop.app.post("/payments");
        post().key("k").json(body.clone()).send().await.expect_problem(401, "unauthenticated");
        post().by(&buyer).json(body.clone()).send().await.expect_problem(400, "idempotency_key_required");
        shop.pay(&stranger, order, "tok_ok", "k").await.expect_problem(404, "not_found");
        shop.pay(&buyer, kernel::OrderId(fresh_id()), "tok_ok", "k").await.expect_problem(404, "not_found");
        for (wrong, pointer) in [
            (json!({"order_id": "1", "method": {"type": "card", "token": "tok_ok"}}), "/order_id"),
            (json!({"order_id": order, "method": {"type": "cash", "token": "tok_ok"}}), "/method/type"),
            (json!({"order_id": order, "method": {"type": "card", "token": "a b"}}), "/method/token"),
        ] {
            let problem = post().by(&buyer).key("k").json(wrong).send().await.expect_problem(400, "invalid_body");
            assert_eq!(problem.json["errors"][0]["pointer"], pointer);
        }
        assert_eq!(shop.payments().await, 0);
        // The amount is the order's, whatever the client says.
        let lie = json!({"order_id": order, "method": {"type": "card", "token": "tok_ok"}, "amount": money(1), "status": "captured"});
        let paid = post().by(&buyer).key("k").json(lie).send().await.expect(201);
        assert_eq!(paid.json["captured"], money(700));
        let free = shop.orders.put(buyer.id, 0);
        shop.pay(&buyer, free, "tok_ok", "free").await.expect_problem(409, "order_not_payable");
        assert_eq!(shop.orders.payment_of(free), None);
        shop.app.assert_healthy().await;
    }

    async fn payments_are_seen_by_their_owner_and_by_admins(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, stranger, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let mut ids = Vec::new();
        for n in 0..3 {
            let order = shop.orders.put(buyer.id, 100 + n);
            ids.push(shop.paid(&buyer, order, &format!("k{n}")).await);
        }
        let others = shop.orders.put(stranger.id, 900);
        shop.paid(&stranger, others, "k0").await;
        let path = format!("/payments/{}", ids[0]);
        shop.app.get(&path).send().await.expect_problem(401, "unauthenticated");
        shop.app.get(&path).by(&stranger).send().await.expect_problem(404, "not_found");
        assert_eq!(shop.app.get(&path).by(&buyer).send().await.expect(200).json["amount"], money(100));
        shop.app.get(&path).by(&admin).send().await.expect(200);
        shop.app.get(&format!("/payments/{}", fresh_id())).by(&admin).send().await.expect_problem(404, "not_found");
        shop.app.get("/payments/none").by(&buyer).send().await.expect_problem(404, "not_found");

        shop.app.get("/payments").send().await.expect_problem(401, "unauthenticated");
        let first = shop.app.get("/payments?limit=2").by(&buyer).send().await.expect(200).json;
        assert_eq!((&first["items"][0]["id"], &first["items"][1]["id"]), (&json!(ids[2]), &json!(ids[1])));
        let next = format!("/payments?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
        let second = shop.app.get(&next).by(&buyer).send().await.expect(200).json;
        assert_eq!((&second["items"][0]["id"], second["next_cursor"].is_null()), (&json!(ids[0]), true));
        let count = async |query: String, user| {
            shop.app.get(&query).by(user).send().await.expect(200).json["items"].as_array().unwrap().len()
        };
        assert_eq!(count("/payments".to_owned(), &admin).await, 4);
        assert_eq!(count("/payments?status=captured".to_owned(), &admin).await, 4);
        assert_eq!(count("/payments?status=voided".to_owned(), &admin).await, 0);
        assert_eq!(count(format!("/payments?order_id={others}"), &admin).await, 1);
        assert_eq!(count(format!("/payments?order_id={others}"), &buyer).await, 0);
        for bad in ["limit=0", "limit=101", "x=1", "cursor=zz", "status=paid", "order_id=1"] {
            shop.app.get(&format!("/payments?{bad}")).by(&buyer).send().await.expect_problem(400, "invalid_query");
        }
    }

    async fn held_money_is_captured_once_and_the_rest_released(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let held = shop.hold(&buyer, order, "hold").await;
        let capture = |key: &'static str, body: serde_json::Value| shop.operate(&admin, held, "capture", key, body);
        capture("over", json!({"amount": money(1_001)})).await.expect_problem(409, "capture_exceeds_authorized");
        capture("none", json!({"amount": money(0)})).await.expect_problem(400, "invalid_body");
        let euro = capture("euro", json!({"amount": {"amount": 1, "currency": "EUR"}})).await.expect_problem(400, "invalid_body");
        assert_eq!(euro.json["errors"][0]["pointer"], "/amount/currency");
        shop.operate(&admin, held, "refund", "early", json!({})).await.expect_problem(409, "refund_exceeds_captured");

        let taken = capture("part", json!({"amount": money(600)})).await.expect(200);
        assert_eq!((&taken.json["status"], &taken.json["captured"]), (&json!("captured"), &money(600)));
        let again = capture("part", json!({"amount": money(600)})).await.expect(200);
        assert_eq!((&again.json, again.header("idempotency-replayed")), (&taken.json, "true"));
        capture("more", json!({})).await.expect_problem(409, "payment_not_authorized");
        shop.operate(&admin, held, "void", "late", json!({})).await.expect_problem(409, "payment_not_authorized");
        assert_eq!(shop.number("SELECT held_minor + taken_minor AS n FROM sandbox_charges").await, 600);
        assert_eq!(shop.published::<PaymentAuthorized>().await.len(), 1);
        assert_eq!(shop.published::<PaymentCaptured>().await[0].payment.captured, gbp(600));
        shop.app.assert_healthy().await;
    }

    async fn held_money_is_let_go(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let held = shop.hold(&buyer, order, "hold").await;
        let path = format!("/payments/{held}/void");
        // A void has no body at all.
        let voided = shop.app.post(&path).by(&admin).key("v").send().await.expect(200);
        assert_eq!((&voided.json["status"], &voided.json["captured"]), (&json!("voided"), &money(0)));
        shop.operate(&admin, held, "capture", "c", json!({})).await.expect_problem(409, "payment_not_authorized");
        assert_eq!(shop.published::<PaymentVoided>().await.len(), 1);
        assert_eq!(shop.number("SELECT held_minor + taken_minor AS n FROM sandbox_charges").await, 0);
        shop.app.assert_healthy().await;
    }

    async fn captures_and_voids_at_once_end_the_hold_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let held = shop.hold(&buyer, order, "hold").await;
        let answers = join_all((0..20).map(|n| {
            let (shop, admin) = (&shop, &admin);
            let what = if n % 2 == 0 { "capture" } else { "void" };
            async move { shop.operate(admin, held, what, &format!("k{n}"), json!({})).await }
        })).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:#?}");
        assert!(answers.iter().all(|a| a.status == 200 || ["payment_in_progress", "payment_not_authorized"].contains(&a.code())), "{answers:#?}");
        shop.app.assert_healthy().await;
    }

    async fn money_is_given_back_in_parts_and_never_more_than_was_taken(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let paid = shop.paid(&buyer, order, "pay").await;
        let refund = |key: &'static str, body: serde_json::Value| shop.operate(&admin, paid, "refund", key, body);
        let part = refund("part", json!({"amount": money(300), "reason": "one arrived broken"})).await.expect(200);
        assert_eq!((&part.json["status"], &part.json["refunded"]), (&json!("partially_refunded"), &money(300)));
        let over = refund("over", json!({"amount": money(701)})).await.expect_problem(409, "refund_exceeds_captured");
        assert_eq!(over.json["refundable"], money(700));
        for wrong in [json!({"amount": money(0)}), json!({"amount": money(-5)}), json!({"reason": ""}), json!({"amount": 300}), json!({"amount": {"amount": 1, "currency": "USD"}})] {
            refund("wrong", wrong).await.expect_problem(400, "invalid_body");
        }
        let path = format!("/payments/{paid}/refund");
        let broken = shop.app.post(&path).by(&admin).key("broken").body("application/json", "{\"amount\"").send().await;
        broken.expect_problem(400, "malformed_json");
        // No body: all that is left.
        let rest = shop.app.post(&path).by(&admin).key("rest").send().await.expect(200);
        assert_eq!((&rest.json["status"], &rest.json["refunded"]), (&json!("refunded"), &money(1_000)));
        refund("none", json!({})).await.expect_problem(409, "refund_exceeds_captured");
        let again = refund("part", json!({"amount": money(300), "reason": "one arrived broken"})).await.expect(200);
        assert_eq!(again.json, part.json, "a replay tells what was then");
        refund("part", json!({"amount": money(301)})).await.expect_problem(422, "idempotency_key_reused");
        let events = shop.published::<PaymentRefunded>().await;
        let told: Vec<_> = events.iter().map(|e| (e.amount, e.payment.refunded, e.reason.as_deref())).collect();
        assert_eq!(told, vec![(gbp(300), gbp(300), Some("one arrived broken")), (gbp(700), gbp(1_000), None)]);
        assert_eq!(shop.number("SELECT returned_minor AS n FROM sandbox_charges").await, 1_000);
        shop.app.assert_healthy().await;
    }

    async fn a_hundred_refunds_of_sixty_percent_at_once_give_one(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let paid = shop.paid(&buyer, order, "pay").await;
        let answers = join_all((0..100).map(|n| {
            let (shop, admin) = (&shop, &admin);
            async move { shop.operate(admin, paid, "refund", &format!("r{n}"), json!({"amount": money(600)})).await }
        })).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:#?}");
        assert_eq!(answers.iter().filter(|answer| answer.code() == "refund_exceeds_captured").count(), 99, "{answers:#?}");
        assert_eq!(shop.number("SELECT returned_minor AS n FROM sandbox_charges").await, 600);
        shop.app.assert_healthy().await;
    }

    async fn one_refund_sent_fifty_times_gives_back_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let paid = shop.paid(&buyer, order, "pay").await;
        let answers = join_all((0..50).map(|_| shop.operate(&admin, paid, "refund", "r", json!({"amount": money(10)})))).await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.json == answers[0].json), "{answers:#?}");
        assert_eq!(shop.number("SELECT returned_minor AS n FROM sandbox_charges").await, 10);
        shop.app.assert_healthy().await;
    }

    async fn only_admins_move_money_afterwards(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let held = shop.hold(&buyer, order, "hold").await;
        for what in ["capture", "void", "refund"] {
            let path = format!("/payments/{held}/{what}");
            shop.app.post(&path).key("k").json(json!({})).send().await.expect_problem(401, "unauthenticated");
            shop.app.post(&path).by(&buyer).key("k").json(json!({})).send().await.expect_problem(403, "forbidden");
            shop.app.post(&path).by(&admin).json(json!({})).send().await.expect_problem(400, "idempotency_key_required");
            let unknown = PaymentId(fresh_id());
            shop.operate(&admin, unknown, what, "k", json!({})).await.expect_problem(404, "not_found");
        }
        assert_eq!(shop.status_of(held).await, "authorized");
        shop.app.assert_healthy().await;
    }
}

// What a power failure leaves behind at each step, and what becomes of it.
testkit::on_every_database! {
    async fn a_key_that_was_opened_and_nothing_else_is_dropped(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.die_after_opening_the_key(&buyer, order, "k").await;
        shop.bench.clock.advance(A_WHILE);
        shop.app.work("payments.recover").await;
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM idempotency_keys").await, 0);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        shop.app.assert_healthy().await;
    }

    async fn an_order_held_by_a_payment_that_never_was_is_set_free(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        let id = shop.die_after_opening_the_key(&buyer, order, "k").await;
        shop.leave_intent(id, order).await;
        shop.orders.begin_payment(order, id, buyer.actor()).await.unwrap();
        shop.pay(&buyer, order, "tok_ok", "other").await.expect_problem(409, "payment_in_progress");
        shop.app.work("payments.recover").await;
        assert_eq!(shop.orders.payment_of(order), Some(id), "its request may still be at work");

        shop.bench.clock.advance(A_WHILE);
        *shop.orders.down.lock().unwrap() = true;
        shop.app.work("payments.recover").await;
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM intents WHERE state = 'ending'").await, 1, "kept until the order was told");
        *shop.orders.down.lock().unwrap() = false;
        shop.bench.clock.advance(A_WHILE);
        shop.app.work("payments.recover").await;
        assert_eq!(shop.orders.payment_of(order), None);
        let left = shop.number("SELECT (SELECT COUNT(*) FROM intents) + (SELECT COUNT(*) FROM idempotency_keys) AS n").await;
        assert_eq!(left, 0);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        shop.app.assert_healthy().await;
    }

    async fn a_client_that_comes_back_goes_on_with_its_intent(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        let id = shop.die_after_opening_the_key(&buyer, order, "k").await;
        shop.leave_intent(id, order).await;
        shop.orders.begin_payment(order, id, buyer.actor()).await.unwrap();
        shop.bench.clock.advance(A_WHILE);
        let paid = shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        assert_eq!(paid.json["id"], id.to_string());
        assert_eq!(shop.charges().await, 1);
        shop.app.assert_healthy().await;
    }

    async fn a_client_that_comes_back_when_told_is_earlier_than_the_worker(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.bank.fail(Fault::Before);
        let told = shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.bank.fail(Fault::None);
        // As if its process had died in it: the lease was not given back. It ends, and then the client comes back when told.
        shop.execute(&format!("UPDATE attempts SET lease_until_ms = lease_until_ms + {}", LEASE.as_millis())).await.unwrap();
        shop.bench.clock.advance(LEASE + Duration::from_secs(told.header("retry-after").parse().unwrap()));
        shop.app.work("payments.recover").await;
        assert_eq!(shop.status_of(shop.only_payment().await).await, "pending");
        let paid = shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        assert_eq!((&paid.json["status"], paid.header("idempotency-replayed")), (&json!("captured"), ""));
        assert_eq!(shop.charges().await, 1);
        shop.app.assert_healthy().await;
    }

    async fn a_client_that_heard_of_a_silent_provider_finds_its_key_free_when_told(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.bank.fail(Fault::Before);
        let told = shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.bank.fail(Fault::None);
        shop.bench.clock.advance(Duration::from_secs(told.header("retry-after").parse().unwrap()));
        shop.app.work("payments.recover").await;
        // The clock of the shop stands still: whoever waits for a lease waits in vain.
        let paid = shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        assert_eq!((paid.json["status"].as_str(), shop.charges().await), (Some("captured"), 1));
        shop.app.assert_healthy().await;
    }

    async fn a_client_that_comes_back_waits_for_the_lease_of_its_attempt_too(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.bank.fail(Fault::Before);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.bank.fail(Fault::None);
        // The request died between two renewals: its key is free already, its attempt a little later.
        shop.execute("UPDATE attempts SET lease_until_ms = lease_until_ms + 20000").await.unwrap();
        shop.bench.clock.advance(Duration::from_secs(19));
        let free = async { shop.bench.clock.advance(Duration::from_secs(1)) };
        let (paid, ()) = futures_util::join!(shop.pay(&buyer, order, "tok_ok", "k"), free);
        assert_eq!(paid.expect(201).json["status"], "captured");
        assert_eq!((shop.charges().await, shop.payments().await), (1, 1));
        shop.app.assert_healthy().await;
    }

    async fn a_charge_that_never_arrived_is_given_up_and_fenced_off(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.bank.fail(Fault::Before);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.app.work("payments.recover").await;
        let payment = shop.only_payment().await;
        assert_eq!(shop.status_of(payment).await, "pending", "while the provider is silent nothing is decided");
        assert_eq!(shop.orders.payment_of(order), Some(payment));

        shop.bank.fail(Fault::None);
        shop.bench.clock.advance(A_WHILE);
        shop.app.work("payments.recover").await;
        assert_eq!(shop.status_of(payment).await, "failed");
        assert_eq!(shop.orders.payment_of(order), None);
        let told = shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(402, "payment_given_up");
        assert_eq!(told.header("idempotency-replayed"), "true");
        // The call that was on its way all the time arrives now.
        let key = shop.text("SELECT provider_key AS t FROM attempts").await;
        let late = Authorization { key: &key, token: "tok_ok", amount: gbp(700), capture: true };
        assert!(matches!(shop.bank.authorize(late).await.unwrap(), Verdict::Refused { .. }));
        assert_eq!(shop.charges().await, 0);
        assert_eq!(shop.published::<PaymentFailed>().await.len(), 1);
        shop.pay(&buyer, order, "tok_ok", "new").await.expect(201);
        shop.app.assert_healthy().await;
    }

    async fn a_charge_whose_answer_was_lost_is_found_by_the_worker(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.bank.fail(Fault::After);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        assert_eq!(shop.charges().await, 1);
        shop.bank.fail(Fault::None);
        // Replicas, and a few runs too many.
        shop.bench.clock.advance(A_WHILE);
        join_all((0..5).map(|_| shop.app.work("payments.recover"))).await;
        let replay = shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        assert_eq!((&replay.json["status"], replay.header("idempotency-replayed")), (&json!("captured"), "true"));
        assert_eq!(shop.charges().await, 1);
        assert_eq!(shop.published::<PaymentCaptured>().await.len(), 1);
        shop.app.assert_healthy().await;
    }

    async fn a_client_that_comes_back_gets_its_own_charge(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.bank.fail(Fault::After);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.bank.fail(Fault::None);
        shop.bench.clock.advance(A_WHILE);
        let (paid, ()) = futures_util::join!(shop.pay(&buyer, order, "tok_ok", "k"), shop.app.work("payments.recover"));
        let paid = paid.expect(201);
        assert_eq!(paid.json["status"], "captured");
        assert_eq!((shop.charges().await, shop.payments().await), (1, 1));
        assert_eq!(shop.published::<PaymentCaptured>().await.len(), 1);
        shop.app.assert_healthy().await;
    }

    async fn a_failed_payment_frees_its_order_even_if_the_order_was_silent(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        shop.bank.fail(Fault::Before);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.bank.fail(Fault::None);
        shop.bench.clock.advance(A_WHILE);
        *shop.orders.down.lock().unwrap() = true;
        shop.app.work("payments.recover").await;
        let payment = shop.only_payment().await;
        assert_eq!(shop.status_of(payment).await, "failed");
        assert_eq!(shop.orders.payment_of(order), Some(payment));
        *shop.orders.down.lock().unwrap() = false;
        shop.app.work("payments.recover").await;
        assert_eq!(shop.orders.payment_of(order), None);
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM payments WHERE release_due").await, 0);
        shop.app.assert_healthy().await;
    }

    async fn a_silent_order_is_asked_again_and_nothing_hangs(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        *shop.orders.down.lock().unwrap() = true;
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "unavailable");
        // Asked again while nothing has changed, the answer is the same and comes at once: nobody has the key.
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "unavailable");
        *shop.orders.down.lock().unwrap() = false;
        shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        assert_eq!(shop.charges().await, 1);
        shop.app.assert_healthy().await;
    }

    async fn a_silent_order_is_asked_again_by_the_worker_if_the_client_does_not(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 700);
        *shop.orders.down.lock().unwrap() = true;
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "unavailable");
        *shop.orders.down.lock().unwrap() = false;
        shop.app.work("payments.recover").await;
        shop.pay(&buyer, order, "tok_ok", "k").await.expect(201);
        assert_eq!(shop.charges().await, 1);
        shop.app.assert_healthy().await;
    }

    async fn movements_that_an_admin_asked_for_are_carried_out_after_a_crash(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        for (fault, n) in [(Fault::Before, 0), (Fault::After, 1)] {
            let key = |what: &str| format!("{what}-{n}");
            let order = shop.orders.put(buyer.id, 1_000);
            let paid = shop.hold(&buyer, order, &key("hold")).await;
            for (what, body, status) in [
                ("capture", json!({"amount": money(900)}), "captured"),
                ("refund", json!({"amount": money(400)}), "partially_refunded"),
            ] {
                shop.bank.fail(fault);
                shop.operate(&admin, paid, what, &key(what), body.clone()).await.expect_problem(503, "provider_silent");
                if what == "refund" {
                    let over = shop.operate(&admin, paid, "refund", &key("over"), json!({"amount": money(501)})).await;
                    over.expect_problem(409, "refund_exceeds_captured");
                } else {
                    shop.operate(&admin, paid, "void", &key("v"), json!({})).await.expect_problem(409, "payment_in_progress");
                }
                shop.bank.fail(Fault::None);
                shop.bench.clock.advance(A_WHILE);
                join_all((0..3).map(|_| shop.app.work("payments.recover"))).await;
                assert_eq!(shop.status_of(paid).await, status);
                let replay = shop.operate(&admin, paid, what, &key(what), body).await.expect(200);
                assert_eq!((&replay.json["status"], replay.header("idempotency-replayed")), (&json!(status), "true"));
            }
        }
        assert_eq!(shop.number("SELECT CAST(SUM(taken_minor) AS BIGINT) AS n FROM sandbox_charges").await, 1_800);
        assert_eq!(shop.number("SELECT CAST(SUM(returned_minor) AS BIGINT) AS n FROM sandbox_charges").await, 800);
        assert_eq!(shop.published::<PaymentRefunded>().await.len(), 2);
        shop.app.assert_healthy().await;
    }

    async fn a_refund_that_the_provider_refuses_sets_its_amount_free(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let paid = shop.paid(&buyer, order, "pay").await;
        shop.bank.fail(Fault::Refuse);
        let refused = shop.operate(&admin, paid, "refund", "r", json!({})).await.expect_problem(409, "provider_refused");
        assert_eq!(refused.json["provider_code"], "closed_account");
        shop.bank.fail(Fault::None);
        shop.operate(&admin, paid, "refund", "r", json!({})).await.expect_problem(409, "provider_refused");
        assert_eq!(shop.status_of(paid).await, "captured");
        shop.operate(&admin, paid, "refund", "again", json!({})).await.expect(200);
        shop.app.assert_healthy().await;
    }
}

testkit::on_every_database! {
    async fn a_cancelled_order_is_refunded_once_though_told_twice(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let (order, other) = (shop.orders.put(buyer.id, 1_000), shop.orders.put(buyer.id, 50));
        let paid = shop.paid(&buyer, order, "pay").await;
        let bystander = shop.paid(&buyer, other, "other").await;
        shop.operate(&admin, paid, "refund", "part", json!({"amount": money(300)})).await.expect(200);
        let event = fresh_id();
        for _redelivery in 0..2 {
            shop.order_became(event, order, OrderStatus::Cancelled).await;
        }
        shop.order_became(fresh_id(), order, OrderStatus::Cancelled).await;
        shop.app.work("payments.recover").await;
        assert_eq!(shop.status_of(paid).await, "refunded");
        assert_eq!(shop.status_of(bystander).await, "captured");
        let refunds = shop.published::<PaymentRefunded>().await;
        assert_eq!(refunds.len(), 2);
        assert_eq!((refunds[1].amount, refunds[1].reason.as_deref()), (gbp(700), Some("order_cancelled")));
        assert_eq!(shop.number("SELECT returned_minor AS n FROM sandbox_charges WHERE amount_minor = 1000").await, 1_000);
        shop.app.assert_healthy().await;
    }

    async fn a_cancelled_order_lets_go_what_is_only_held(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 1_000);
        let held = shop.hold(&buyer, order, "hold").await;
        shop.order_became(fresh_id(), order, OrderStatus::Confirmed).await;
        assert_eq!(shop.status_of(held).await, "authorized");
        shop.order_became(fresh_id(), order, OrderStatus::Cancelled).await;
        shop.app.work("payments.recover").await;
        assert_eq!(shop.status_of(held).await, "voided");
        assert_eq!(shop.published::<PaymentVoided>().await.len(), 1);
        shop.app.assert_healthy().await;
    }

    async fn a_charge_that_is_under_way_while_its_order_is_cancelled_goes_back(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 1_000);
        shop.bank.fail(Fault::After);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.order_became(fresh_id(), order, OrderStatus::Cancelled).await;
        shop.bank.fail(Fault::None);
        for _run in 0..2 {
            shop.bench.clock.advance(A_WHILE);
            shop.app.work("payments.recover").await;
        }
        assert_eq!(shop.status_of(shop.only_payment().await).await, "refunded");
        assert_eq!(shop.number("SELECT returned_minor AS n FROM sandbox_charges").await, 1_000);
        shop.app.assert_healthy().await;
    }

    async fn an_intent_of_a_cancelled_order_does_not_charge(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 1_000);
        let id = shop.die_after_opening_the_key(&buyer, order, "k").await;
        shop.leave_intent(id, order).await;
        shop.order_became(fresh_id(), order, OrderStatus::Cancelled).await;
        shop.bench.clock.advance(A_WHILE);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(409, "idempotency_key_in_progress");
        assert_eq!(shop.charges().await, 0);
        shop.app.work("payments.recover").await;
        assert_eq!(shop.orders.payment_of(order), None);
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM intents").await, 0);
        shop.app.assert_healthy().await;
    }

    async fn an_order_that_was_taken_up_again_is_paid_anew_and_keeps_it(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 1_000);
        shop.paid(&buyer, order, "first").await;
        let cancelled_at = shop.bench.system.now();
        shop.order_became(fresh_id(), order, OrderStatus::Cancelled).await;
        shop.app.work("payments.recover").await;
        shop.orders.give_up_payment(order, shop.only_payment().await).await.unwrap();
        shop.bench.clock.advance(Duration::from_millis(50));
        let second = shop.paid(&buyer, order, "second").await;
        shop.order_became_at(fresh_id(), order, OrderStatus::Cancelled, cancelled_at).await;
        shop.app.work("payments.recover").await;
        assert_eq!(shop.status_of(second).await, "captured", "cancelled before this payment was begun");
        shop.app.assert_healthy().await;
    }
}

testkit::on_every_database! {
    async fn webhooks_are_heard_only_if_they_are_signed(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 1_000);
        shop.bank.fail(Fault::After);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.bank.fail(Fault::None);
        let key = shop.text("SELECT provider_key AS t FROM attempts").await;
        let body = json!({"type": "payment.captured", "provider_key": key}).to_string();
        let now_s = shop.bench.system.now().ms() / 1_000;

        let plain = shop.app.post("/payments/webhooks/sandbox").body("application/json", body.clone()).send().await;
        plain.expect_problem(401, "invalid_signature");
        shop.webhook("sandbox", "msg_1", now_s, "whsec_wrong", &body).await.expect_problem(401, "invalid_signature");
        shop.webhook("sandbox", "msg_1", now_s - 301, shop::SECRET, &body).await.expect_problem(401, "invalid_signature");
        shop.webhook("sandbox", "msg_1", now_s + 310, shop::SECRET, &body).await.expect_problem(401, "invalid_signature");
        shop.webhook("stripe", "msg_1", now_s, shop::SECRET, &body).await.expect_problem(404, "not_found");
        let large = format!("{{\"type\":\"{}\"}}", "x".repeat(70_000));
        shop.webhook("sandbox", "msg_1", now_s, shop::SECRET, &large).await.expect_problem(413, "payload_too_large");
        shop.webhook("sandbox", "msg_1", now_s, shop::SECRET, "{").await.expect_problem(400, "malformed_json");
        let payment = shop.only_payment().await;
        assert_eq!(shop.status_of(payment).await, "pending");

        for _repeat in 0..2 {
            shop.webhook("sandbox", "msg_2", now_s, shop::SECRET, &body).await.expect(204);
        }
        assert_eq!(shop.status_of(payment).await, "captured");
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM webhooks_seen").await, 1);
        for other in [json!({"type": "payment.captured", "provider_key": "charge-unknown"}), json!({"type": "invoice.sent"})] {
            shop.webhook("sandbox", &format!("msg_{other}"), now_s, shop::SECRET, &other.to_string()).await.expect(204);
        }
        shop.bench.clock.advance(Duration::from_secs(8 * 24 * 3600));
        shop.app.work("payments.recover").await;
        assert_eq!(shop.number("SELECT COUNT(*) AS n FROM webhooks_seen").await, 0);
        let replay = shop.pay(&buyer, order, "tok_ok", "k").await;
        assert_eq!(replay.status, 401, "the customer's token is old by now");
    }

    async fn a_verdict_that_comes_twenty_times_at_once_is_written_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let paid = shop.paid(&buyer, order, "pay").await;
        shop.bank.fail(Fault::After);
        for key in ["r1", "r2"] {
            let refund = shop.operate(&admin, paid, "refund", key, json!({"amount": money(300)})).await;
            refund.expect_problem(503, "provider_silent");
        }
        shop.bank.fail(Fault::None);
        let key = shop.text("SELECT provider_key AS t FROM attempts WHERE kind = 'refund' ORDER BY id LIMIT 1").await;
        let body = json!({"type": "payment.captured", "provider_key": key}).to_string();
        let now_s = shop.bench.system.now().ms() / 1_000;
        shop.bank.tell_in_crowds_of(20);
        let heard = join_all((0..20).map(|n| {
            let (shop, body) = (&shop, &body);
            async move { shop.webhook("sandbox", &format!("msg_{n}"), now_s, shop::SECRET, body).await }
        })).await;
        assert!(heard.iter().all(|answer| answer.status == 204), "{heard:#?}");
        let after_one = shop.number("SELECT refunded_minor AS n FROM payments").await;
        assert_eq!((after_one, shop.published::<PaymentRefunded>().await.len()), (300, 1));
        shop.bench.clock.advance(A_WHILE);
        shop.app.work("payments.recover").await;
        assert_eq!(shop.number("SELECT refunded_minor AS n FROM payments").await, 600);
        shop.app.assert_healthy().await;
    }

    async fn a_webhook_cannot_make_up_a_payment(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyer = shop.bench.tokens.customer();
        let order = shop.orders.put(buyer.id, 1_000);
        shop.bank.fail(Fault::Before);
        shop.pay(&buyer, order, "tok_ok", "k").await.expect_problem(503, "provider_silent");
        shop.bank.fail(Fault::None);
        let key = shop.text("SELECT provider_key AS t FROM attempts").await;
        let body = json!({"type": "payment.captured", "provider_key": key}).to_string();
        let now_s = shop.bench.system.now().ms() / 1_000;
        shop.webhook("sandbox", "msg_1", now_s, shop::SECRET, &body).await.expect(204);
        assert_eq!(shop.status_of(shop.only_payment().await).await, "pending", "the provider knows nothing of it");
        shop.app.work("payments.recover").await;
        shop.app.assert_healthy().await;
    }

    async fn the_doctor_names_what_was_tampered_with(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (buyer, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let order = shop.orders.put(buyer.id, 1_000);
        let paid = shop.paid(&buyer, order, "pay").await;
        shop.operate(&admin, paid, "refund", "r", json!({"amount": money(100)})).await.expect(200);
        assert_eq!(shop.sick().await, Vec::<&str>::new());
        for (tamper, back, found) in [
            ("UPDATE payments SET refunded_minor = 200", "UPDATE payments SET refunded_minor = 100", vec!["payments.ledger_agrees"]),
            ("UPDATE payments SET refund_pending_minor = 5", "UPDATE payments SET refund_pending_minor = 0", vec!["payments.refunds_under_way_add_up"]),
            (
                "UPDATE ledger SET amount_minor = amount_minor + 1 WHERE account = 'customer' AND side = 'credit'",
                "UPDATE ledger SET amount_minor = amount_minor - 1 WHERE account = 'customer' AND side = 'credit'",
                vec!["payments.ledger_balances"],
            ),
            ("UPDATE sandbox_operations SET amount_minor = 999 WHERE kind = 'charge'", "UPDATE sandbox_operations SET amount_minor = 1000 WHERE kind = 'charge'", vec!["payments.provider_agrees"]),
            (
                "INSERT INTO sandbox_operations (provider_key, kind, amount_minor, currency, at_ms) VALUES ('stray', 'charge', 5, 'GBP', 0)",
                "DELETE FROM sandbox_operations WHERE provider_key = 'stray'",
                vec!["payments.provider_agrees"],
            ),
            ("UPDATE sandbox_operations SET refusal = 'x' WHERE kind = 'refund'", "UPDATE sandbox_operations SET refusal = NULL WHERE kind = 'refund'", vec!["payments.provider_agrees"]),
            ("UPDATE payments SET called_off_at_ms = 1", "UPDATE payments SET called_off_at_ms = NULL", vec!["payments.called_off_is_undone"]),
            (
                "UPDATE attempts SET state = 'open', ended_at_ms = NULL, created_at_ms = 1 WHERE kind = 'charge'",
                "UPDATE attempts SET state = 'succeeded', ended_at_ms = 1 WHERE kind = 'charge'",
                vec!["payments.attempts_end"],
            ),
        ] {
            shop.execute(tamper).await.unwrap();
            assert_eq!(shop.sick().await, found, "{tamper}");
            shop.execute(back).await.unwrap();
            assert_eq!(shop.sick().await, Vec::<&str>::new(), "{back}");
        }
        for refused_by_the_schema in [
            "UPDATE payments SET refunded_minor = 1001",
            "UPDATE payments SET captured_minor = 1001",
            "UPDATE payments SET refund_pending_minor = 901",
            "UPDATE payments SET status = 'authorized'",
            "INSERT INTO payments (id, order_id, user_id, provider, status, currency, amount_minor, created_at_ms, updated_at_ms)
                SELECT order_id, order_id, user_id, provider, 'pending', currency, 1, 1, 1 FROM payments",
            "INSERT INTO attempts (id, payment_id, kind, amount_minor, provider_key, state, created_at_ms, lease_until_ms, ended_at_ms)
                SELECT payment_id, payment_id, 'charge', 1, 'another', 'succeeded', 1, 1, 1 FROM attempts WHERE kind = 'charge'",
            "INSERT INTO ledger (id, transaction_id, payment_id, account, side, amount_minor, currency, at_ms)
                SELECT payment_id, transaction_id, payment_id, account, side, 1, currency, 1 FROM ledger WHERE account = 'shop' AND side = 'credit'",
        ] {
            assert!(shop.execute(refused_by_the_schema).await.is_err(), "{refused_by_the_schema}");
        }
    }
}

#[test]
fn the_module_says_what_it_is() {
    testkit::run(async {
        let shop = Shop::open(Engine::Sqlite).await;
        let module = shop.app.module();
        assert_eq!((module.name(), module.workers().len(), module.handlers().len()), ("payments", 1, 1));
        let mut codes: Vec<_> = module.error_codes().iter().map(|code| code.code).collect();
        codes.dedup();
        assert_eq!(codes.len(), module.error_codes().len());
    });
}
