//! Stories of carts, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

mod shop;

use std::time::Duration;

use futures_util::future::join_all;
use kernel::CartId;
use serde_json::{Value, json};
use shop::{Shop, address, lines_of};
use testkit::{Engine, fresh_id};

testkit::on_every_database! {
    async fn a_cart_shows_the_names_prices_and_stock_of_now(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let put = shop.put(&customer, "mug", 3).await.expect(200);
        let cart = &put.json;
        assert_eq!(cart["items"], json!([{
            "sku": "MUG", "name": "Product MUG", "quantity": 3, "available": true,
            "unit_price": {"amount": 250, "currency": "GBP"}, "line_total": {"amount": 750, "currency": "GBP"},
        }]));
        assert_eq!((cart["total"]["amount"].as_i64(), cart["version"].as_i64()), (Some(750), Some(1)));
        assert!(cart["id"].is_string() && cart.get("cart_token").is_none(), "{cart}");

        let tag = put.header("etag").to_owned();
        let read = |tag: String| shop.app.get("/cart").by(&customer).header("If-None-Match", &tag).send();
        assert_eq!(read(tag.clone()).await.expect(304).header("etag"), tag);
        assert_eq!(put.header("cache-control"), "private, no-cache");

        shop.catalog.put("MUG", 300);
        let dearer = read(tag).await.expect(200);
        assert_eq!((dearer.json["total"]["amount"].as_i64(), dearer.json["version"].as_i64()), (Some(900), Some(1)));
        shop.inventory.put("MUG", 2);
        let scarce = read(dearer.header("etag").to_owned()).await.expect(200);
        assert_eq!(scarce.json["items"][0]["available"], false);
        shop.inventory.put("MUG", 3);
        assert_eq!(shop.cart(&customer).await["items"][0]["available"], true);
        shop.catalog.retire("MUG");
        assert_eq!(shop.cart(&customer).await["items"][0]["available"], false);
        shop.app.assert_healthy().await;
    }

    async fn reading_stores_nothing_and_an_empty_cart_has_no_id(engine: Engine) {
        let shop = Shop::open(engine).await;
        let empty = shop.cart(&shop.bench.tokens.customer()).await;
        let expected = json!({"id": null, "items": [], "total": {"amount": 0, "currency": "GBP"}, "version": 0});
        assert_eq!(empty, expected);
        let guest = shop.app.get("/cart").send().await.expect(200);
        assert_eq!(guest.json["cart_token"], guest.header("x-cart-token"));
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 0).await.expect(200);
        shop.app.call("DELETE", "/cart/items/mug").by(&customer).send().await.expect(200);
        shop.app.call("DELETE", "/cart").by(&customer).send().await.expect(204);
        assert_eq!(shop.count("carts").await, 0);
    }

    async fn quantities_are_set_and_refused_with_a_reason(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.catalog.put("OLD", 100);
        shop.catalog.retire("OLD");
        for n in [-1, 10_001, i64::MAX, i64::MIN] {
            shop.put(&customer, "MUG", n).await.expect_problem(422, "quantity_out_of_range");
        }
        shop.put(&customer, "NOPE", 1).await.expect_problem(422, "unknown_product");
        shop.put(&customer, "OLD", 1).await.expect_problem(422, "retired_product");
        let raw = |path: &str, body: Value| shop.app.call("PUT", path).by(&customer).json(body).send();
        raw("/cart/items/MUG", json!({"quantity": "2"})).await.expect_problem(400, "invalid_body");
        raw("/cart/items/MUG", json!({"quantity": 1.5})).await.expect_problem(400, "invalid_body");
        raw("/cart/items/MUG", json!({})).await.expect_problem(400, "invalid_body");
        raw("/cart/items/a%21b", json!({"quantity": 1})).await.expect_problem(404, "not_found");
        assert_eq!(shop.count("carts").await, 0);

        // A client's own price has no effect.
        raw("/cart/items/MUG", json!({"quantity": 10_000, "unit_price": {"amount": 1, "currency": "GBP"}})).await.expect(200);
        shop.put(&customer, "CUP", 1).await.expect(200);
        assert_eq!(lines_of(&shop.put(&customer, "mug", 2).await.expect(200).json), [("MUG", 2), ("CUP", 1)]);
        let again = shop.put(&customer, "mug", 2).await.expect(200).json;
        assert_eq!(again["version"], 3, "what changes nothing is no change");
        assert_eq!(lines_of(&shop.put(&customer, "MUG", 0).await.expect(200).json), [("CUP", 1)]);
        shop.catalog.retire("CUP");
        shop.put(&customer, "CUP", 2).await.expect_problem(422, "retired_product");
        assert_eq!(lines_of(&shop.put(&customer, "CUP", 0).await.expect(200).json), []);
        shop.app.assert_healthy().await;
    }

    async fn items_are_removed_and_carts_emptied_however_often(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 1).await.expect(200);
        shop.put(&customer, "CUP", 1).await.expect(200);
        for _again in 0..2 {
            let cart = shop.app.call("DELETE", "/cart/items/mug").by(&customer).send().await.expect(200);
            assert_eq!((lines_of(&cart.json), cart.json["version"].as_i64()), (vec![("CUP", 1)], Some(3)));
        }
        for _again in 0..2 {
            shop.app.call("DELETE", "/cart").by(&customer).send().await.expect(204);
        }
        let cart = shop.cart(&customer).await;
        assert_eq!((lines_of(&cart), cart["version"].as_i64()), (vec![], Some(4)));
    }

    async fn the_hundred_and_first_line_does_not_fit(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        for n in 0..101 {
            shop.catalog.put(&format!("S{n}"), 100);
        }
        for n in 0..100 {
            shop.put(&customer, &format!("S{n}"), 1).await.expect(200);
        }
        shop.put(&customer, "S100", 1).await.expect_problem(422, "too_many_lines");
        assert_eq!(shop.put(&customer, "S7", 7).await.expect(200).json["items"].as_array().unwrap().len(), 100);

        let guest = shop.guest_with(&[("S100", 1)]).await;
        shop.merge(&customer, &guest).await.expect_problem(422, "too_many_lines");
        assert_eq!(lines_of(&shop.guest_cart(&guest).await), [("S100", 1)]);
        shop.put(&customer, "S0", 0).await.expect(200);
        assert_eq!(shop.merge(&customer, &guest).await.expect(200).json["items"].as_array().unwrap().len(), 100);
        shop.app.assert_healthy().await;
    }

    async fn a_stale_if_match_is_refused_and_the_version_alone_will_do(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let put = |tag: &str, n: i64| {
            shop.app.call("PUT", "/cart/items/MUG").by(&customer).header("If-Match", tag).json(json!({"quantity": n})).send()
        };
        let tag = put("\"0\"", 1).await.expect(200).header("etag").to_owned();
        shop.catalog.put("MUG", 999);
        let second = put(&tag, 2).await.expect(200);
        put(&tag, 3).await.expect_problem(412, "precondition_failed");
        put("\"7\"", 3).await.expect_problem(412, "precondition_failed");
        put("nonsense", 3).await.expect_problem(412, "precondition_failed");
        let delete = |path: &str, tag: &str| shop.app.call("DELETE", path).by(&customer).header("If-Match", tag).send();
        delete("/cart/items/MUG", &tag).await.expect_problem(412, "precondition_failed");
        assert_eq!(delete("/cart", &tag).await.expect_problem(412, "precondition_failed").header("etag"), "\"2\"");
        put("*", 3).await.expect(200);
        delete("/cart/items/MUG", second.header("etag")).await.expect_problem(412, "precondition_failed");
        delete("/cart", "\"3\"").await.expect(204);
    }

    async fn changes_at_once_all_survive(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let token = shop.app.get("/cart").send().await.header("x-cart-token").to_owned();
        let names: Vec<String> = (0..20).map(|n| format!("S{n}")).collect();
        for name in &names {
            shop.catalog.put(name, 100);
        }
        join_all(names.iter().map(|name| async {
            shop.put(&customer, name, 2).await.expect(200);
            shop.guest_put(&token, name, 2).await.expect(200);
        })).await;
        for cart in [shop.cart(&customer).await, shop.guest_cart(&token).await] {
            assert_eq!((cart["items"].as_array().unwrap().len(), cart["version"].as_i64()), (20, Some(20)));
        }
        assert_eq!(shop.count("carts").await, 2);

        // Of many who name the same version one wins.
        let tag = "\"20\"";
        let outcomes = join_all((3..13).map(|n| {
            shop.app.call("PUT", "/cart/items/S0").by(&customer).header("If-Match", tag).json(json!({"quantity": n})).send()
        })).await;
        let mut statuses: Vec<u16> = outcomes.iter().map(|outcome| outcome.status).collect();
        statuses.sort_unstable();
        assert_eq!((statuses[0], &statuses[1..]), (200, &[412; 9][..]));
        shop.app.assert_healthy().await;
    }

    async fn guests_know_their_cart_by_a_token_and_see_no_other(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (one, other) = (shop.guest_with(&[("MUG", 1)]).await, shop.guest_with(&[("CUP", 2)]).await);
        assert_ne!(one, other);
        assert_eq!(lines_of(&shop.guest_cart(&one).await), [("MUG", 1)]);
        assert_eq!(lines_of(&shop.guest_cart(&other).await), [("CUP", 2)]);
        let stored = shop.texts("SELECT token_hash AS text FROM carts").await;
        assert!(stored.iter().all(|hash| hash.len() == 64 && *hash != one && *hash != other), "{stored:?}");

        // What the shop never gave out is answered with a fresh token; what it may have given out names an empty cart.
        let nonsense = shop.app.get("/cart").header("X-Cart-Token", "nonsense").send().await.expect(200);
        assert_eq!((nonsense.header("x-cart-token").len(), lines_of(&nonsense.json)), (43, vec![]));
        let kept = nonsense.header("x-cart-token").to_owned();
        assert_eq!(shop.guest_put(&kept, "MUG", 4).await.expect(200).header("x-cart-token"), kept);
        assert_eq!(lines_of(&shop.guest_cart(&kept).await), [("MUG", 4)]);

        // The access token wins over the cart token, and a bad one is not passed over.
        let customer = shop.bench.tokens.customer();
        let both = shop.app.get("/cart").by(&customer).header("X-Cart-Token", &one).send().await.expect(200);
        assert_eq!((lines_of(&both.json), both.header("x-cart-token")), (vec![], ""));
        let bad = shop.app.get("/cart").header("Authorization", "Bearer x").header("X-Cart-Token", &one).send().await;
        bad.expect_problem(401, "unauthenticated");
        shop.app.assert_healthy().await;
    }

    async fn an_address_makes_only_so_many_guest_carts(engine: Engine) {
        let shop = Shop::open(engine).await;
        let app = shop.limited(2).await;
        let put = |address: &str, token: &str, sku: &str| {
            app.call("PUT", &format!("/cart/items/{sku}"))
                .header("X-Forwarded-For", address)
                .header("X-Cart-Token", token)
                .json(json!({"quantity": 1}))
        };
        let mine = put("1.1.1.1", "", "MUG").send().await.expect(200).header("x-cart-token").to_owned();
        // What makes no cart is not counted: nothing put in, a cart that is there, a customer's.
        put("1.1.1.1", "", "NONE").send().await.expect_problem(422, "unknown_product");
        put("1.1.1.1", &mine, "CUP").send().await.expect(200);
        for _ in 0..3 {
            app.get("/cart").header("X-Forwarded-For", "1.1.1.1").send().await.expect(200);
        }
        put("1.1.1.1", "", "MUG").send().await.expect(200);
        let refused = put("1.1.1.1", "", "MUG").send().await.expect_problem(429, "too_many_requests");
        let wait_s: u64 = refused.header("retry-after").parse().unwrap();
        assert_eq!(shop.count("carts").await, 2);
        put("1.1.1.1", &mine, "JUG").send().await.expect(200);
        put("1.1.1.1", "", "MUG").by(&shop.bench.tokens.customer()).send().await.expect(200);
        put("2.2.2.2", "", "MUG").send().await.expect(200);
        shop.bench.clock.advance(Duration::from_secs(wait_s));
        put("1.1.1.1", "", "MUG").send().await.expect(200);
    }

    async fn customers_see_no_other_cart(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (one, other) = (shop.bench.tokens.customer(), shop.bench.tokens.customer());
        shop.put(&one, "MUG", 1).await.expect(200);
        assert_eq!(lines_of(&shop.cart(&other).await), []);
        assert_eq!(lines_of(&shop.cart(&shop.bench.tokens.admin()).await), []);
        shop.app.call("DELETE", "/cart").by(&other).send().await.expect(204);
        assert_eq!(lines_of(&shop.cart(&one).await), [("MUG", 1)]);
    }

    async fn a_guest_cart_joins_the_customers_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (customer, other) = (shop.bench.tokens.customer(), shop.bench.tokens.customer());
        let guest = shop.guest_with(&[("MUG", 9_999), ("CUP", 2)]).await;
        shop.put(&customer, "MUG", 2).await.expect(200);
        let body = json!({"cart_token": guest});
        shop.app.post("/cart/merge").json(body.clone()).send().await.expect_problem(401, "unauthenticated");
        shop.app.post("/cart/merge").by(&customer).json(json!({})).send().await.expect_problem(400, "invalid_body");
        for unknown in ["nonsense", "q1Zk0dM2n6vXv2b7b0m4oT3s8yQWcE5uJr9aHfLxPgI"] {
            shop.merge(&customer, unknown).await.expect_problem(404, "not_found");
        }
        for _again in 0..2 {
            let cart = shop.merge(&customer, &guest).await.expect(200).json;
            assert_eq!((lines_of(&cart), cart["version"].as_i64()), (vec![("CUP", 2), ("MUG", 10_000)], Some(2)));
        }
        shop.merge(&other, &guest).await.expect_problem(404, "not_found");

        // The old token opens nothing any more: the guest starts anew.
        let anew = shop.guest_put(&guest, "CUP", 1).await.expect(200);
        assert_eq!(lines_of(&anew.json), [("CUP", 1)]);
        assert_ne!(anew.header("x-cart-token"), guest);
        assert_eq!(lines_of(&shop.cart(&customer).await), [("CUP", 2), ("MUG", 10_000)]);
        shop.app.assert_healthy().await;
    }

    async fn merging_with_a_key_answers_the_same_again(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let guest = shop.guest_with(&[("MUG", 1)]).await;
        let merge = |token: &str, key: &str| {
            shop.app.post("/cart/merge").by(&customer).key(key).json(json!({"cart_token": token})).send()
        };
        merge("nonsense", "k").await.expect_problem(404, "not_found");
        *shop.catalog.down.lock().unwrap() = true;
        merge(&guest, "k").await.expect_problem(503, "unavailable");
        *shop.catalog.down.lock().unwrap() = false;
        let first = merge(&guest, "k").await.expect(200);
        assert_eq!((lines_of(&first.json), first.header("idempotency-replayed")), (vec![("MUG", 1)], ""));
        shop.put(&customer, "MUG", 5).await.expect(200);
        let again = merge(&guest, "k").await.expect(200);
        assert_eq!((&again.json, again.header("idempotency-replayed")), (&first.json, "true"));
        merge("other", "k").await.expect_problem(422, "idempotency_key_reused");
        let at_once = shop.guest_with(&[("CUP", 2)]).await;
        let outcomes = join_all((0..10).map(|n| merge(&at_once, if n % 2 == 0 { "even" } else { "odd" }))).await;
        assert!(outcomes.iter().all(|outcome| outcome.status == 200), "{outcomes:?}");
        assert_eq!(lines_of(&shop.cart(&customer).await), [("MUG", 5), ("CUP", 2)]);
        shop.app.assert_healthy().await;
    }

    async fn prices_are_never_guessed(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 1).await.expect(200);
        for down in [&shop.catalog.down, &shop.inventory.down] {
            *down.lock().unwrap() = true;
            let read = shop.app.get("/cart").by(&customer).send().await;
            assert_eq!(read.expect_problem(503, "unavailable").header("retry-after"), "1");
            shop.put(&customer, "MUG", 2).await.expect_problem(503, "unavailable");
            shop.put(&customer, "CUP", 0).await.expect_problem(503, "unavailable");
            shop.app.call("DELETE", "/cart/items/CUP").by(&customer).send().await.expect_problem(503, "unavailable");
            *down.lock().unwrap() = false;
        }
        assert_eq!(lines_of(&shop.cart(&customer).await), [("MUG", 1)]);
    }

    async fn a_checkout_makes_an_order_and_empties_the_cart(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let post = || shop.app.post("/cart/checkout").json(address());
        post().key("k").send().await.expect_problem(401, "unauthenticated");
        post().by(&customer).send().await.expect_problem(400, "idempotency_key_required");
        post().by(&customer).key("k").send().await.expect_problem(422, "cart_empty");
        shop.app.post("/cart/checkout").by(&customer).key("k").json(json!({})).send().await.expect_problem(400, "invalid_body");

        shop.put(&customer, "MUG", 2).await.expect(200);
        let cart = shop.put(&customer, "CUP", 1).await.expect(200).json;
        let order = shop.checkout(&customer, "k").await.expect(201);
        assert_eq!((order.json["total"]["amount"].as_i64(), order.header("idempotency-replayed")), (Some(300), ""));
        assert_eq!(order.json["shipping_address"], address()["shipping_address"]);
        let placed = shop.orders.placed.lock().unwrap()[0].clone();
        assert_eq!(Some(placed.cart_id.unwrap().to_string().as_str()), cart["id"].as_str());
        assert_eq!((placed.customer, placed.key.route.as_str(), placed.key.key.as_str()), (customer.id, "POST /cart/checkout", "k"));
        assert!(placed.lines.iter().all(|line| line.expected_price.is_none()), "prices are the catalogue's");

        let after = shop.cart(&customer).await;
        assert_eq!((&after["id"], lines_of(&after), after["version"].as_i64()), (&Value::Null, vec![], Some(3)));
        shop.checkout(&customer, "another").await.expect_problem(422, "cart_empty");
        let next = shop.put(&customer, "CUP", 1).await.expect(200).json;
        assert_eq!(next["version"], 4, "versions go on in the next cart");
        assert_ne!(next["id"], cart["id"]);
        shop.app.assert_healthy().await;
    }

    async fn a_checkout_sent_again_asks_for_the_same_again(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        shop.checkout(&customer, "k").await.expect(201);
        // The next cart must not be touched by a late retry.
        shop.put(&customer, "CUP", 7).await.expect(200);
        let again = shop.checkout(&customer, "k").await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), "true");
        let placed = shop.orders.placed.lock().unwrap().clone();
        assert_eq!((placed.len(), &placed[0]), (2, &placed[1]));
        assert_eq!(lines_of(&shop.cart(&customer).await), [("CUP", 7)]);

        let elsewhere = json!({"shipping_address": {"city": "Leeds"}});
        let post = |body: Value| shop.app.post("/cart/checkout").by(&customer).key("k").json(body).send();
        post(elsewhere).await.expect_problem(422, "idempotency_key_reused");
        let mut with_total = address();
        with_total["expected_total"] = json!({"amount": 1, "currency": "GBP"});
        post(with_total).await.expect_problem(422, "idempotency_key_reused");

        // Another customer's key of the same name is another key.
        let other = shop.bench.tokens.customer();
        shop.put(&other, "MUG", 1).await.expect(200);
        shop.checkout(&other, "k").await.expect(201);
        let placed = shop.orders.placed.lock().unwrap()[2].clone();
        assert_eq!((placed.customer, placed.lines[0].quantity.get()), (other.id, 1));
        shop.app.assert_healthy().await;
    }

    async fn an_order_older_than_the_memory_of_its_key_takes_nothing_from_the_cart_of_now(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        shop.checkout(&customer, "k").await.expect(201);
        shop.execute("DELETE FROM checkouts").await;
        shop.put(&customer, "MUG", 5).await.expect(200);
        shop.checkout(&customer, "k").await.expect(201);
        assert_eq!(lines_of(&shop.cart(&customer).await), [("MUG", 5)]);
    }

    async fn a_hundred_checkouts_at_once_ask_for_one_cart(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (many_keys, one_key) = (shop.bench.tokens.customer(), shop.bench.tokens.customer());
        for customer in [&many_keys, &one_key] {
            shop.put(customer, "MUG", 2).await.expect(200);
        }
        let outcomes = join_all((0..100).map(|n| {
            let (shop, customer) = (&shop, &many_keys);
            async move { shop.checkout(customer, &format!("k{n}")).await }
        })).await;
        // The fake lets everybody have an order; `orders` itself makes one of a cart. After the first, the cart is empty.
        assert!(outcomes.iter().all(|o| o.status == 201 || o.code() == "cart_empty"), "{outcomes:?}");
        assert!(outcomes.iter().any(|o| o.status == 201));
        let carts: std::collections::HashSet<Option<CartId>> = shop.orders.placed.lock().unwrap().drain(..).map(|p| p.cart_id).collect();
        assert_eq!(carts.len(), 1);

        let outcomes = join_all((0..100).map(|_| shop.checkout(&one_key, "same"))).await;
        assert!(outcomes.iter().all(|outcome| outcome.status == 201), "{outcomes:?}");
        let placed = shop.orders.placed.lock().unwrap().clone();
        assert!(placed.len() == 100 && placed.iter().all(|request| *request == placed[0]));
        for customer in [&many_keys, &one_key] {
            assert_eq!(lines_of(&shop.cart(customer).await), []);
        }
        shop.app.assert_healthy().await;
    }

    async fn every_refusal_of_an_order_is_told_and_leaves_the_cart(engine: Engine) {
        use contracts::catalog::ProductRef;
        use contracts::inventory::Shortage;
        use contracts::orders::PlaceRefusal;
        use testkit::fakes::{gbp, sku};
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        let mug = || ProductRef::Sku(sku("MUG"));
        let short = vec![Shortage { sku: sku("MUG"), requested: 2, available: 1 }];
        let table = [
            (PlaceRefusal::InsufficientStock(short), 409, "insufficient_stock"),
            (PlaceRefusal::PriceChanged { sku: sku("MUG"), expected: gbp(1), actual: gbp(2) }, 422, "price_changed"),
            (PlaceRefusal::TotalMismatch { expected: gbp(1), actual: gbp(2) }, 422, "total_mismatch"),
            (PlaceRefusal::UnknownProduct(vec![mug()]), 422, "unknown_product"),
            (PlaceRefusal::RetiredProduct(vec![mug()]), 422, "retired_product"),
            (PlaceRefusal::DuplicateSku(sku("MUG")), 500, "internal"),
            (PlaceRefusal::LineCount, 500, "internal"),
            (PlaceRefusal::PriceTooHigh(sku("MUG")), 422, "price_too_high"),
            (PlaceRefusal::TotalTooLarge, 422, "total_too_large"),
            (PlaceRefusal::CartAlreadyOrdered, 409, "cart_already_ordered"),
            (PlaceRefusal::KeyReused, 422, "idempotency_key_reused"),
            (PlaceRefusal::KeyInProgress, 409, "idempotency_key_in_progress"),
        ];
        for (n, (refusal, status, code)) in table.into_iter().enumerate() {
            *shop.orders.refuse.lock().unwrap() = Some(refusal);
            let answer = shop.checkout(&customer, &format!("k{n}")).await.expect_problem(status, code);
            if code == "insufficient_stock" {
                assert_eq!(answer.json["shortages"], json!([{"sku": "MUG", "requested": 2, "available": 1}]));
            }
        }
        assert_eq!(lines_of(&shop.cart(&customer).await), [("MUG", 2)]);
        shop.app.assert_healthy().await;
    }

    async fn a_refused_key_takes_the_cart_as_it_is_then_and_a_declined_one_as_it_was(engine: Engine) {
        use contracts::orders::PlaceRefusal;
        use testkit::fakes::gbp;
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        let asked = |n: usize| shop.orders.placed.lock().unwrap()[n].lines.iter().map(|l| l.quantity.get()).collect::<Vec<_>>();

        *shop.orders.refuse.lock().unwrap() = Some(PlaceRefusal::InsufficientStock(Vec::new()));
        assert_eq!(shop.checkout(&customer, "declined").await.expect(409).header("idempotency-replayed"), "");
        *shop.orders.refuse.lock().unwrap() = Some(PlaceRefusal::TotalMismatch { expected: gbp(1), actual: gbp(2) });
        shop.checkout(&customer, "refused").await.expect_problem(422, "total_mismatch");
        shop.put(&customer, "MUG", 1).await.expect(200);
        *shop.orders.refuse.lock().unwrap() = Some(PlaceRefusal::InsufficientStock(Vec::new()));
        assert_eq!(shop.checkout(&customer, "declined").await.expect(409).header("idempotency-replayed"), "true");

        *shop.orders.refuse.lock().unwrap() = None;
        shop.put(&customer, "MUG", 0).await.expect(200);
        shop.checkout(&customer, "refused").await.expect_problem(422, "cart_empty");
        shop.put(&customer, "MUG", 3).await.expect(200);
        shop.checkout(&customer, "refused").await.expect(201);
        assert_eq!(asked(0), [3]);
        // The cart of the declined key is closed: it can only ask for what it asked for.
        shop.put(&customer, "CUP", 9).await.expect(200);
        shop.checkout(&customer, "declined").await;
        assert_eq!(asked(1), [2]);
        assert_eq!(lines_of(&shop.cart(&customer).await), [("CUP", 9)]);
    }

    async fn without_orders_the_cart_is_intact_and_a_retry_asks_for_the_same(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        *shop.orders.down.lock().unwrap() = true;
        let answer = shop.checkout(&customer, "k").await.expect_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(lines_of(&shop.cart(&customer).await), [("MUG", 2)]);
        // Nobody knows whether there is an order, so the retry must not ask for anything else.
        shop.put(&customer, "MUG", 3).await.expect(200);
        shop.put(&customer, "CUP", 1).await.expect(200);
        *shop.orders.down.lock().unwrap() = false;
        shop.checkout(&customer, "k").await.expect(201);
        let placed = shop.orders.placed.lock().unwrap()[0].clone();
        assert_eq!(placed.lines.iter().map(|line| line.quantity.get()).collect::<Vec<_>>(), [2]);
        let left = shop.cart(&customer).await;
        assert_eq!(lines_of(&left), [("MUG", 1), ("CUP", 1)]);
        shop.app.assert_healthy().await;
    }

    async fn what_is_put_in_during_a_checkout_stays(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        let before = shop.put(&customer, "JUG", 1).await.expect(200).json;
        // While the order is placed, another tab wants two more mugs, a cup, and no jug.
        shop.orders_port.during_place(&shop, &customer, &[("MUG", 4), ("CUP", 1), ("JUG", 0)]);
        let order = shop.checkout(&customer, "k").await.expect(201).json;
        assert_eq!(lines_of(&order), [("MUG", 2), ("JUG", 1)]);
        let after = shop.cart(&customer).await;
        assert_eq!(lines_of(&after), [("MUG", 2), ("CUP", 1)]);
        assert_ne!(after["id"], before["id"]);
        assert!(after["version"].as_i64() > before["version"].as_i64());
        shop.app.assert_healthy().await;
    }

    async fn a_process_that_dies_after_the_order_is_repaired_by_its_event(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        shop.orders_port.lose_answers(true);
        shop.checkout(&customer, "k").await.expect_problem(503, "unavailable");
        assert_eq!(lines_of(&shop.cart(&customer).await), [("MUG", 2)], "nobody has closed it yet");
        shop.put(&customer, "CUP", 1).await.expect(200);

        let event = shop.orders_port.created();
        let event_id = fresh_id();
        for _redelivery in 0..2 {
            shop.app.deliver(event_id, &event).await.unwrap();
        }
        assert_eq!(lines_of(&shop.cart(&customer).await), [("CUP", 1)]);
        // The next purchase is not mistaken for the old one when the event comes under another id.
        shop.put(&customer, "MUG", 2).await.expect(200);
        shop.app.deliver(fresh_id(), &event).await.unwrap();
        assert_eq!(lines_of(&shop.cart(&customer).await), [("CUP", 1), ("MUG", 2)]);

        shop.orders_port.lose_answers(false);
        let again = shop.checkout(&customer, "k").await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(lines_of(&shop.cart(&customer).await), [("CUP", 1), ("MUG", 2)]);
        shop.app.assert_healthy().await;
    }

    async fn events_of_other_orders_change_no_cart(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (customer, other) = (shop.bench.tokens.customer(), shop.bench.tokens.customer());
        shop.put(&customer, "MUG", 2).await.expect(200);
        let cart_id = shop.cart(&customer).await["id"].as_str().unwrap().parse::<CartId>().unwrap();
        shop.put(&other, "MUG", 2).await.expect(200);
        shop.checkout(&other, "k").await.expect(201);
        let mut event = shop.orders_port.created();
        for cart_id in [None, Some(CartId(fresh_id())), Some(cart_id)] {
            event.cart_id = cart_id;
            shop.app.deliver(fresh_id(), &event).await.unwrap();
        }
        assert_eq!(lines_of(&shop.cart(&customer).await), [("MUG", 2)]);
        shop.app.assert_healthy().await;
    }

    async fn what_nobody_needs_is_purged(engine: Engine) {
        let shop = Shop::open(engine).await;
        let day = Duration::from_secs(24 * 3600);
        let idle = shop.guest_with(&[("MUG", 1)]).await;
        let merged = shop.guest_with(&[("MUG", 1)]).await;
        let customer = shop.bench.tokens.customer();
        shop.merge(&customer, &merged).await.expect(200);
        shop.checkout(&customer, "k").await.expect(201);
        shop.put(&customer, "CUP", 1).await.expect(200);
        shop.bench.clock.advance(day * 20);
        let active = shop.guest_with(&[("CUP", 1)]).await;
        shop.app.work("cart.purge").await;
        assert_eq!((shop.count("carts").await, shop.count("checkouts").await), (5, 0));

        shop.bench.clock.advance(day * 11);
        shop.app.work("cart.purge").await;
        assert_eq!(lines_of(&shop.guest_cart(&idle).await), []);
        assert_eq!(lines_of(&shop.guest_cart(&active).await), [("CUP", 1)]);
        let customer = shop.bench.tokens.user(customer.id, customer.role);
        assert_eq!(lines_of(&shop.cart(&customer).await), [("CUP", 1)], "a customer's cart waits for them");
        assert_eq!((shop.count("carts").await, shop.count("cart_lines").await), (2, 2));
        // The token of the purged cart goes on with a new one.
        assert_eq!(shop.guest_put(&idle, "MUG", 2).await.expect(200).header("x-cart-token"), idle);
        shop.app.assert_healthy().await;
    }

    async fn the_schema_refuses_what_must_not_be_and_the_doctor_names_the_rest(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.put(&customer, "MUG", 2).await.expect(200);
        shop.checkout(&customer, "k").await.expect(201);
        shop.put(&customer, "MUG", 2).await.expect(200);
        for wrong in [
            "UPDATE carts SET state = 'open', order_id = NULL, closed_at_ms = NULL",
            "UPDATE carts SET state = 'ordered', closed_at_ms = 1 WHERE state = 'open'",
            "UPDATE carts SET state = 'merged', closed_at_ms = 1 WHERE state = 'open'",
            "UPDATE carts SET user_id = NULL",
            "UPDATE cart_lines SET quantity = 10001",
            "UPDATE cart_lines SET quantity = 0",
        ] {
            assert!(shop.try_execute(wrong).await.is_err(), "{wrong}");
        }
        shop.app.assert_healthy().await;
        shop.execute("INSERT INTO cart_lines (cart_id, sku, quantity, added_at_ms) SELECT id, 'LEFT', 1, 1 FROM carts WHERE state = 'ordered'").await;
        for n in 0..100 {
            shop.execute(&format!("INSERT INTO cart_lines (cart_id, sku, quantity, added_at_ms) SELECT id, 'X{n}', 1, 1 FROM carts WHERE state = 'open'")).await;
        }
        let found: Vec<_> = shop.app.module().doctor().await.unwrap().into_iter().filter(|check| !check.holds()).collect();
        let names: Vec<_> = found.iter().map(|check| check.name).collect();
        assert_eq!(names, ["cart.closed_are_empty", "cart.at_most_100_lines"]);
        assert!(found[1].violations[0].ends_with(": 101 lines"), "{found:?}");
    }
}
