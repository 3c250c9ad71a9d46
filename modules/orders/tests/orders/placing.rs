//! Placing orders: what is refused, what is remembered, and what holds in a crowd.

use contracts::catalog::ProductRef;
use contracts::orders::{NewOrderLine, OrderCreated, PlaceOrder, PlaceRefusal, PlacementKey};
use contracts::port::PortError;
use futures_util::future::join_all;
use kernel::{CartId, Quantity};
use serde_json::{Value, json};
use testkit::fakes::sku;
use testkit::{Engine, TestUser, fresh_id};

use crate::support::{Shop, basket};

fn from_cart(customer: &TestUser, cart: CartId, key: &str) -> PlaceOrder {
    PlaceOrder {
        customer: customer.id,
        key: PlacementKey {
            route: "POST /cart/checkout".to_owned(),
            key: key.to_owned(),
            request_hash: "the cart".to_owned(),
        },
        lines: vec![NewOrderLine {
            product: ProductRef::Sku(sku("MUG")),
            quantity: Quantity::parse(2).unwrap(),
            expected_price: None,
        }],
        expected_total: None,
        shipping_address: None,
        cart_id: Some(cart),
    }
}

testkit::on_every_database! {
    async fn an_order_is_priced_by_the_catalogue_and_holds_its_stock(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let lamp = shop.catalog.put("LAMP", 2_999);
        let body = json!({
            "items": [
                {"sku": "mug", "quantity": 2, "price": {"amount": 850, "currency": "GBP"}},
                {"product_id": lamp.product_id, "quantity": 1},
            ],
            "total": {"amount": 4_699, "currency": "GBP"},
            "shipping_address": {"line1": "1 High Street", "country": "GB"},
            "status": "delivered", "user_id": fresh_id(), "payment_status": "captured",
        });
        let placed = shop.post(&customer, "k", body).await.expect(201);
        let order = &placed.json;
        assert_eq!(order["status"], "pending");
        assert_eq!(order["payment_status"], "unpaid");
        assert_eq!(order["user_id"], customer.id.to_string());
        assert_eq!(order["total"], json!({"amount": 4_699, "currency": "GBP"}));
        assert_eq!(order["items"][0]["line_total"]["amount"], 1_700);
        assert_eq!(order["items"][1]["sku"], "LAMP");
        assert_eq!(order["items"][1]["product_id"], lamp.product_id.to_string());
        assert_eq!(order["shipping_address"]["country"], "GB");
        assert_eq!(order["imported"], false);
        assert_eq!(order["number"].as_str().unwrap().len(), "261121-7K3QF9XM2A".len());
        assert_eq!(placed.header("location"), format!("/orders/{}", order["id"].as_str().unwrap()));
        assert_eq!((shop.available("MUG"), shop.available("LAMP")), (98, 49));
        assert_eq!(shop.order(&customer, order["id"].as_str().unwrap()).await, *order);

        let events = shop.app.published::<OrderCreated>().await;
        assert_eq!(events.len(), 1);
        assert_eq!(serde_json::to_value(&events[0].order).unwrap(), *order);
        // The order keeps its price when the catalogue changes.
        shop.catalog.put("MUG", 999);
        assert_eq!(shop.order(&customer, order["id"].as_str().unwrap()).await["total"]["amount"], 4_699);
        shop.app.assert_healthy().await;
    }

    async fn the_same_order_posted_a_hundred_times_at_once_is_one_order(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let answers = join_all((0..100).map(|_| shop.post(&customer, "same", basket(&[("MUG", 3)])))).await;
        let first = answers.first().unwrap();
        assert!(answers.iter().all(|answer| answer.status == 201 && answer.text == first.text), "{answers:?}");
        let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
        assert_eq!(fresh, 1);
        assert_eq!((shop.count("orders").await, shop.available("MUG")), (1, 97));
        assert_eq!(shop.app.published::<OrderCreated>().await.len(), 1);
        shop.app.assert_healthy().await;
    }

    async fn a_key_belongs_to_one_request_of_one_customer(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, bob) = (shop.bench.tokens.customer(), shop.bench.tokens.customer());
        let first = shop.post(&ada, "k", basket(&[("MUG", 1)])).await.expect(201);
        shop.post(&ada, "k", basket(&[("MUG", 2)])).await.expect_problem(422, "idempotency_key_reused");
        let other = shop.post(&bob, "k", basket(&[("MUG", 2)])).await.expect(201);
        assert_ne!(first.json["id"], other.json["id"]);
        let no_key = shop.app.post("/orders").by(&ada).json(basket(&[("MUG", 1)])).send().await;
        no_key.expect_problem(400, "idempotency_key_required");
        let anonymous = shop.app.post("/orders").key("k").json(basket(&[("MUG", 1)])).send().await;
        anonymous.expect_problem(401, "unauthenticated");
    }

    async fn a_shortage_names_the_skus_and_is_the_final_word_for_its_key(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.sell("RARE", 100, 1);
        let order = || shop.post(&customer, "k", basket(&[("MUG", 1), ("RARE", 3)]));
        let refused = order().await.expect_problem(409, "insufficient_stock");
        assert_eq!(refused.json["shortages"], json!([{"sku": "RARE", "requested": 3, "available": 1}]));
        assert_eq!(refused.header("idempotency-replayed"), "");
        // The id was released, which burns it: a twin of the call to inventory that comes late holds nothing.
        assert_eq!((shop.count("abandoned_reservations").await, shop.stock.held().len()), (0, 0));
        shop.stock.put("RARE", 10);
        let again = order().await.expect_problem(409, "insufficient_stock");
        assert_eq!((again.text, again.headers["idempotency-replayed"].to_str().unwrap()), (refused.text, "true"));
        shop.post(&customer, "another", basket(&[("MUG", 1), ("RARE", 3)])).await.expect(201);
        assert_eq!(shop.available("MUG"), 99);
        shop.app.assert_healthy().await;
    }

    async fn two_hundred_buyers_of_fifty_pieces_get_fifty(engine: Engine) {
        let shop = Shop::open(engine).await;
        let buyers: Vec<_> = (0..200).map(|_| shop.bench.tokens.customer()).collect();
        let answers = join_all(buyers.iter().map(|buyer| shop.post(buyer, "k", basket(&[("LAMP", 1)])))).await;
        let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((of(201), of(409)), (50, 150));
        assert_eq!((shop.count("orders").await, shop.available("LAMP")), (50, 0));
        shop.app.assert_healthy().await;
    }

    async fn what_may_not_be_ordered_is_refused_with_its_place_and_not_remembered(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        shop.sell("OLD", 100, 9);
        shop.catalog.retire("OLD");
        shop.sell("GOLD", 100_000_001, 9);
        let mug_id = shop.catalog.put("MUG", 850).product_id;
        let money = |amount: i64| json!({"amount": amount, "currency": "GBP"});
        let lines = |n: usize| json!({"items": (0..n).map(|at| json!({"sku": format!("S{at}"), "quantity": 1})).collect::<Vec<_>>()});
        let refused: Vec<(Value, u16, &str, &str)> = vec![
            (json!({"items": [{"sku": "LAMP", "quantity": 1}, {"sku": "MUG", "quantity": 1, "price": money(1)}]}), 422, "price_changed", "/items/1/price"),
            (json!({"items": [{"sku": "MUG", "quantity": 1, "price": {"amount": 850, "currency": "EUR"}}]}), 422, "price_changed", "/items/0/price"),
            (json!({"items": [{"sku": "MUG", "quantity": 1}], "total": money(1)}), 422, "total_mismatch", "/total"),
            (json!({"items": [{"sku": "MUG", "quantity": 1}, {"sku": "NONE", "quantity": 1}]}), 422, "unknown_product", "/items/1"),
            (json!({"items": [{"product_id": fresh_id(), "quantity": 1}]}), 422, "unknown_product", "/items/0"),
            (json!({"items": [{"sku": "OLD", "quantity": 1}]}), 422, "retired_product", "/items/0"),
            (json!({"items": [{"sku": "MUG", "quantity": 1}, {"sku": "mug", "quantity": 2}]}), 422, "duplicate_sku", "/items/1"),
            (json!({"items": [{"sku": "MUG", "quantity": 1}, {"product_id": mug_id, "quantity": 2}]}), 422, "duplicate_sku", "/items/1"),
            (json!({"items": [{"sku": "GOLD", "quantity": 1}]}), 422, "price_too_high", "/items/0"),
            (json!({"items": [{"sku": "MUG", "quantity": 0}]}), 422, "quantity_out_of_range", "/items/0/quantity"),
            (json!({"items": [{"sku": "MUG", "quantity": 1}, {"sku": "LAMP", "quantity": 10_001}]}), 422, "quantity_out_of_range", "/items/1/quantity"),
            (json!({"items": [{"sku": "MUG", "quantity": -1}]}), 422, "quantity_out_of_range", "/items/0/quantity"),
            (lines(0), 422, "line_count_out_of_range", "/items"),
            (lines(101), 422, "line_count_out_of_range", "/items"),
            (json!({"items": [{"quantity": 1}]}), 400, "invalid_body", "/items/0"),
            (json!({"items": [{"sku": "MUG", "product_id": mug_id, "quantity": 1}]}), 400, "invalid_body", "/items/0"),
            (json!({"items": [{"sku": "a/b", "quantity": 1}]}), 400, "invalid_body", "/items/0/sku"),
            (json!({"items": [{"sku": "MUG", "quantity": 1.5}]}), 400, "invalid_body", "/items/0/quantity"),
            (json!({"items": [{"sku": "MUG", "quantity": 1}], "shipping_address": {}}), 400, "invalid_body", "/shipping_address"),
        ];
        for (body, status, code, pointer) in refused {
            let answer = shop.post(&customer, "k", body.clone()).await.expect_problem(status, code);
            assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{body}");
        }
        shop.assert_nothing_is_held().await;
        // None of them used up the key.
        shop.post(&customer, "k", basket(&[("MUG", 1)])).await.expect(201);
        shop.post(&customer, "hundred", lines(100)).await.expect_problem(422, "unknown_product");
    }

    async fn a_module_that_does_not_answer_costs_nothing(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let order = || shop.post(&customer, "k", basket(&[("MUG", 1)]));
        *shop.catalog.down.lock().unwrap() = true;
        order().await.expect_problem(503, "unavailable");
        *shop.catalog.down.lock().unwrap() = false;
        *shop.stock.down.lock().unwrap() = true;
        order().await.expect_problem(503, "unavailable");
        // Whether the stock is held is not known, so it is still to be released.
        assert_eq!(shop.count("abandoned_reservations").await, 1);
        *shop.stock.down.lock().unwrap() = false;
        order().await.expect(201);
        shop.app.work("orders.recover_placements").await;
        assert_eq!((shop.count("abandoned_reservations").await, shop.available("MUG")), (0, 99));
        shop.app.assert_healthy().await;
    }

    async fn a_cart_becomes_one_order_whatever_the_keys(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let (port, cart) = (shop.module.port(), CartId(fresh_id()));
        let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
        let answers = join_all(keys.iter().map(|key| port.place(from_cart(&customer, cart, key)))).await;
        let placed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(placed.len(), 1, "{answers:?}");
        let refused = |answer: &Result<_, PortError<PlaceRefusal>>| matches!(answer, Err(PortError::Refused(PlaceRefusal::CartAlreadyOrdered)));
        assert_eq!(answers.iter().filter(|answer| refused(answer)).count(), 19, "{answers:?}");
        assert_eq!((shop.count("orders").await, shop.available("MUG")), (1, 98));
        assert_eq!(shop.stock.held().len(), 1);
        // A later one does not even ask for stock; the first key still replays.
        assert!(refused(&port.place(from_cart(&customer, cart, "late")).await));
        let won = answers.iter().position(Result::is_ok).unwrap();
        let replay = port.place(from_cart(&customer, cart, &keys[won])).await.unwrap();
        assert!(replay.replayed && replay.order == placed[0].order);
        let event = shop.app.published::<OrderCreated>().await;
        assert_eq!((event.len(), event[0].cart_id), (1, Some(cart)));
        shop.app.assert_healthy().await;
    }

    async fn the_port_refuses_in_its_own_words(engine: Engine) {
        let shop = Shop::open(engine).await;
        let customer = shop.bench.tokens.customer();
        let port = shop.module.port();
        let request = || from_cart(&customer, CartId(fresh_id()), "k");
        let refusal = |answer: Result<_, PortError<PlaceRefusal>>| match answer {
            Err(PortError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        let empty = PlaceOrder { lines: Vec::new(), ..request() };
        assert_eq!(refusal(port.place(empty).await), PlaceRefusal::LineCount);
        shop.stock.put("MUG", 1);
        assert!(matches!(refusal(port.place(request()).await), PlaceRefusal::InsufficientStock(short) if short.len() == 1));
        let mut other = request();
        other.key.request_hash = "another".to_owned();
        assert_eq!(refusal(port.place(other).await), PlaceRefusal::KeyReused);
        *shop.catalog.down.lock().unwrap() = true;
        let mut later = request();
        later.key.key = "later".to_owned();
        assert!(matches!(port.place(later).await, Err(PortError::Unavailable { .. })));
    }
}
