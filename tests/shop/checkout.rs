//! From the shelf to the refund.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::Engine;

use crate::support::Shop;

fn kinds(timeline: &Value) -> Vec<&str> {
    timeline["events"].as_array().unwrap().iter().filter_map(|event| event["type"].as_str()).collect()
}

testkit::on_every_database! {
    async fn a_customer_fills_a_cart_pays_and_is_refunded(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (admin, ada) = (shop.admin().await, shop.newcomer().await);
        let before = shop.available(&ada, "MUG-BLUE").await;

        // A guest looks around, then logs in and keeps the cart.
        let guest = shop.call("PUT", "/cart/items/MUG-BLUE").json(json!({"quantity": 2})).send().await.expect(200);
        let cart_token = guest.header("x-cart-token").to_owned();
        assert!(!cart_token.is_empty(), "{}", guest.text);
        let merged = shop.post("/cart/merge").bearer(&ada.token).json(json!({"cart_token": cart_token})).send().await.expect(200);
        assert_eq!(merged.json["total"], json!({"amount": 1700, "currency": "GBP"}));

        let address = json!({"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"});
        let checkout = || shop.post("/cart/checkout").bearer(&ada.token).key("checkout-1")
            .json(json!({"shipping_address": address, "expected_total": {"amount": 1700, "currency": "GBP"}}));
        let order = checkout().send().await.expect(201);
        assert_eq!(order.json["status"], "pending");
        assert_eq!(order.json["shipping_address"], address);
        let replay = checkout().send().await.expect(201);
        assert_eq!((replay.json == order.json, replay.header("idempotency-replayed")), (true, "true"));
        let id = order.json["id"].as_str().unwrap().to_owned();
        assert_eq!(shop.available(&ada, "MUG-BLUE").await, before - 2);
        let cart = shop.get("/cart").bearer(&ada.token).send().await.expect(200);
        assert_eq!(cart.json["items"], json!([]));

        // Payment captured -> order confirmed -> notification, with no module calling another for it.
        let payment = shop.pay(&ada, &id, "tok_ok").await.expect(201);
        assert_eq!((payment.json["status"].as_str(), payment.json["captured"]["amount"].as_i64()), (Some("captured"), Some(1700)));
        let confirmed = shop.until(&format!("/orders/{id}"), &ada, |order| order["status"] == "confirmed").await;
        assert_eq!(confirmed["payment_status"], "captured");
        shop.until("/notifications", &ada, |page| {
            let items = page["items"].as_array().unwrap();
            ["order_created", "payment_captured"].iter().all(|wanted| {
                items.iter().any(|item| item["template"] == *wanted && item["status"] == "sent")
            })
        }).await;
        let mails = std::fs::read_dir(&shop.settings.modules.notifications.outgoing_folder).unwrap();
        let texts: Vec<String> = mails.map(|mail| std::fs::read_to_string(mail.unwrap().path()).unwrap()).collect();
        assert!(texts.iter().any(|mail| mail.contains("17.00 GBP")), "{texts:?}");

        // The customer changes their mind: stock and money come back.
        shop.post(&format!("/orders/{id}/cancel")).bearer(&ada.token).send().await.expect(200);
        shop.until(&format!("/payments/{}", payment.json["id"].as_str().unwrap()), &ada, |payment| payment["status"] == "refunded").await;
        let refunded = shop.until(&format!("/orders/{id}"), &ada, |order| order["payment_status"] == "refunded").await;
        assert_eq!(refunded["status"], "cancelled");
        shop.until("/inventory/MUG-BLUE", &ada, |level| level["available"] == json!(before)).await;
        let timeline = shop.get(&format!("/orders/{id}/timeline")).bearer(&ada.token).send().await.expect(200).json;
        let kinds = kinds(&timeline);
        assert_eq!(kinds.first(), Some(&"created"));
        for kind in ["payment_captured", "status_changed", "payment_refunded"] {
            assert!(kinds.contains(&kind), "{kinds:?}");
        }
        let analytics = shop.get("/orders/analytics").bearer(&admin.token).send().await.expect(200).json;
        assert_eq!((analytics["orders"].as_i64(), analytics["revenue"]["amount"].as_i64()), (Some(0), Some(0)));
        shop.assert_healthy().await;
    }

    async fn an_order_is_shipped_and_its_stock_leaves(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (admin, ada) = (shop.admin().await, shop.newcomer().await);
        shop.stock(&admin, "TROWEL", 9).await;
        let order = shop.order(&ada, "TROWEL", 4).await.expect(201).json;
        let id = order["id"].as_str().unwrap();
        shop.pay(&ada, id, "tok_ok").await.expect(201);
        shop.until(&format!("/orders/{id}"), &ada, |order| order["status"] == "confirmed").await;
        for status in ["processing", "shipped", "delivered"] {
            let path = format!("/orders/{id}/status");
            shop.call("PATCH", &path).bearer(&admin.token).json(json!({"status": status})).send().await.expect(200);
        }
        let level = shop.until("/inventory/TROWEL", &ada, |level| level["on_hand"] == 5).await;
        assert_eq!((level["reserved"].as_i64(), level["available"].as_i64()), (Some(0), Some(5)));
        let late = shop.post(&format!("/orders/{id}/cancel")).bearer(&admin.token).send().await;
        late.expect_problem(409, "invalid_transition");
        shop.assert_healthy().await;
    }

    async fn a_declined_card_leaves_the_order_to_be_paid_again(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let order = shop.order(&ada, "MUG-WHITE", 1).await.expect(201).json;
        let id = order["id"].as_str().unwrap();
        shop.pay(&ada, id, "tok_declined").await.expect_problem(402, "card_declined");
        let unpaid = shop.until(&format!("/orders/{id}"), &ada, |order| order["payment_status"] == "unpaid").await;
        assert_eq!(unpaid["status"], "pending");
        shop.pay(&ada, id, "tok_timeout_then_ok").await.expect(201);
        shop.until(&format!("/orders/{id}"), &ada, |order| order["status"] == "confirmed").await;
        shop.pay(&ada, id, "tok_ok").await.expect_problem(409, "already_paid");
        shop.assert_healthy().await;
    }

    async fn two_hundred_buyers_at_once_share_fifty_pieces(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (admin, ada) = (shop.admin().await, shop.newcomer().await);
        shop.stock(&admin, "LAMP-DESK", 50).await;
        let answers = join_all((0..200).map(|_| shop.order(&ada, "LAMP-DESK", 1))).await;
        let sold = answers.iter().filter(|answer| answer.status == 201).count();
        let refused = answers.iter().filter(|answer| (answer.status, answer.code()) == (409, "insufficient_stock")).count();
        assert_eq!((sold, refused), (50, 150), "{:?}", answers.iter().find(|answer| ![201, 409].contains(&answer.status)));
        assert_eq!(shop.available(&ada, "LAMP-DESK").await, 0);
        shop.assert_healthy().await;
    }

    async fn one_order_posted_a_hundred_times_at_once_is_one_order(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let before = shop.available(&ada, "MUG-BLUE").await;
        let post = || shop.post("/orders").bearer(&ada.token).key("same").json(json!({"items": [{"sku": "mug-blue", "quantity": 3}]})).send();
        let answers = join_all((0..100).map(|_| post())).await;
        let first = answers[0].clone().expect(201);
        assert!(answers.iter().all(|answer| (answer.status, &answer.text) == (201, &first.text)));
        assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count(), 1);
        assert_eq!(shop.available(&ada, "MUG-BLUE").await, before - 3);
        let list = shop.get("/orders").bearer(&ada.token).send().await.expect(200);
        assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
        shop.post("/orders").bearer(&ada.token).key("same").json(json!({"items": [{"sku": "MUG-BLUE", "quantity": 4}]}))
            .send().await.expect_problem(422, "idempotency_key_reused");
        shop.post("/orders").bearer(&ada.token).json(json!({"items": [{"sku": "MUG-BLUE", "quantity": 4}]}))
            .send().await.expect_problem(400, "idempotency_key_required");
        shop.assert_healthy().await;
    }

    async fn one_cart_checked_out_a_hundred_times_at_once_is_one_order(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let before = shop.available(&ada, "CANDLE-BEE").await;
        shop.call("PUT", "/cart/items/CANDLE-BEE").bearer(&ada.token).json(json!({"quantity": 1})).send().await.expect(200);
        let checkout = || shop.post("/cart/checkout").bearer(&ada.token).key(&testkit::fresh_id().to_string())
            .json(json!({"shipping_address": "12 St James's Square, London"})).send();
        let answers = join_all((0..100).map(|_| checkout())).await;
        let placed = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(placed, 1, "{:?}", answers.iter().map(|answer| (answer.status, answer.code().to_owned())).collect::<Vec<_>>());
        assert!(answers.iter().all(|answer| [201, 409, 422].contains(&answer.status)), "{answers:?}");
        shop.until("/inventory/CANDLE-BEE", &ada, |level| level["available"] == json!(before - 1)).await;
        shop.assert_healthy().await;
    }

    async fn what_is_another_customers_does_not_exist(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, eve) = (shop.newcomer().await, shop.newcomer().await);
        let order = shop.order(&ada, "MUG-BLUE", 1).await.expect(201).json;
        let id = order["id"].as_str().unwrap();
        let payment = shop.pay(&ada, id, "tok_ok").await.expect(201).json;
        let paths = [
            format!("/orders/{id}"),
            format!("/orders/{id}/timeline"),
            format!("/orders/user/{}", ada.id),
            format!("/payments/{}", payment["id"].as_str().unwrap()),
            format!("/users/{}", ada.id),
        ];
        for path in &paths {
            shop.get(path).bearer(&ada.token).send().await.expect(200);
            shop.get(path).bearer(&eve.token).send().await.expect_problem(404, "not_found");
            shop.get(path).send().await.expect_problem(401, "unauthenticated");
        }
        shop.post(&format!("/orders/{id}/cancel")).bearer(&eve.token).send().await.expect_problem(404, "not_found");
        shop.pay(&eve, id, "tok_ok").await.expect_problem(404, "not_found");
        for path in ["/orders", "/payments", "/notifications"] {
            let list = shop.get(path).bearer(&eve.token).send().await.expect(200).json;
            assert!(!list.to_string().contains(id), "{list}");
        }
    }

    async fn the_client_does_not_set_prices(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let post = |key: &'static str, body: Value| shop.post("/orders").bearer(&ada.token).key(key).json(body).send();
        let pence = |amount: i64| json!({"amount": amount, "currency": "GBP"});
        let cheap = post("a", json!({"items": [{"sku": "KNIFE-CHEF", "quantity": 1, "price": pence(1)}]})).await;
        cheap.expect_problem(422, "price_changed");
        let wrong_total = post("b", json!({"items": [{"sku": "KNIFE-CHEF", "quantity": 1}], "total": pence(1)})).await;
        wrong_total.expect_problem(422, "total_mismatch");
        let agreed = post("c", json!({"items": [{"sku": "KNIFE-CHEF", "quantity": 1, "price": pence(4900)}], "total": pence(4900)})).await;
        assert_eq!(agreed.expect(201).json["total"], pence(4900));
    }

    async fn a_session_that_was_ended_is_ended_in_every_module(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (admin, ada) = (shop.admin().await, shop.newcomer().await);
        shop.post("/auth/verify").bearer(&ada.token).send().await.expect(200);
        shop.post("/auth/logout").bearer(&ada.token).send().await.expect(204);
        for path in ["/orders", "/payments", "/inventory", "/users/me", "/notifications", "/cart"] {
            shop.get(path).bearer(&ada.token).send().await.expect_problem(401, "unauthenticated");
        }
        let refresh = json!({"refresh_token": ada.refresh_token});
        shop.post("/auth/refresh").json(refresh).send().await.expect(401);

        // A customer who becomes an admin must log in anew; the old token no longer says the truth.
        let email = format!("{}@example.com", testkit::fresh_id().simple());
        let registered = shop.post("/users/register").json(json!({"email": email, "password": "correct horse"})).send().await.expect(201).json;
        let (id, token) = (registered["user"]["id"].as_str().unwrap(), registered["token"].as_str().unwrap());
        shop.call("PATCH", &format!("/users/{id}")).bearer(&admin.token).json(json!({"role": "admin"})).send().await.expect(200);
        let mut old = shop.get("/users/me").bearer(token).send().await;
        let give_up = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while old.status == 200 && std::time::Instant::now() < give_up {
            old = shop.get("/users/me").bearer(token).send().await;
        }
        old.expect_problem(401, "unauthenticated");
        let promoted = shop.log_in(&email, "correct horse").await;
        shop.get("/orders/analytics").bearer(&promoted.token).send().await.expect(200);
    }

    async fn a_restart_loses_nothing(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let order = shop.order(&ada, "MUG-BLUE", 1).await.expect(201).json;
        let id = order["id"].as_str().unwrap().to_owned();
        let place = shop.close().await;
        let mut settings = place.settings();
        settings.demo.load = false;
        let application = souk::server::Application::build(&settings, platform::system::System::real()).await.unwrap();
        let (address, handle) = (application.address(), application.handle());
        let served = actix_web::rt::spawn(application.serve());
        let client = reqwest::Client::new();
        let again = testkit::Sent::new(client.get(format!("{address}/orders/{id}"))).bearer(&ada.token).send().await.expect(200);
        assert_eq!(again.json["number"], order["number"]);
        handle.stop(true).await;
        served.await.unwrap().unwrap();
    }
}
