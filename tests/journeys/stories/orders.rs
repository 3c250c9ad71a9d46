//! What may be ordered, and what becomes of an order.

use serde_json::{Value, json};

use deployments::{Person, Shop, path_of};

pub async fn an_order_is_placed_once_a_key(shop: &Shop) {
    let (admin, ada, bob) = (shop.admin().await, shop.newcomer("ada").await, shop.newcomer("bob").await);
    shop.offer(&admin, "KEY-MUG", 850, 10).await;
    let first = shop.order(&ada, "one key", "KEY-MUG", 2).send().await.expect(201).json;
    let replay = shop.order(&ada, "one key", "KEY-MUG", 2).send().await.expect(201);
    assert_eq!((&replay.json, replay.header("idempotency-replayed")), (&first, "true"));
    shop.order(&ada, "one key", "KEY-MUG", 3).send().await.expect_problem(422, "idempotency_key_reused");
    let of_bob = shop.order(&bob, "one key", "KEY-MUG", 2).send().await.expect(201).json;
    assert_ne!(of_bob["id"], first["id"], "a key is of one principal");
    let paid = shop.pay(&ada, "one key", &first, "tok_ok").send().await.expect(201);
    assert_eq!(paid.header("idempotency-replayed"), "", "a key is of one route");
    let again = shop.pay(&ada, "one key", &first, "tok_ok").send().await.expect(201);
    assert_eq!((&again.json, again.header("idempotency-replayed")), (&paid.json, "true"));
    shop.order(&ada, &"k".repeat(255), "KEY-MUG", 1).send().await.expect(201);
    shop.order(&ada, &"k".repeat(256), "KEY-MUG", 1).send().await.expect_problem(400, "invalid_header");
    // A refusal of validation is not remembered: the key is free.
    shop.order(&ada, "second key", "KEY-NONE", 1).send().await.expect(422);
    shop.order(&ada, "second key", "KEY-MUG", 1).send().await.expect(201);
    assert_eq!(shop.available(&ada, "KEY-MUG").await, 10 - 2 - 2 - 1 - 1);
}

pub async fn what_may_not_be_ordered_is_refused_with_its_place(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "RULE-MUG", 850, 3).await;
    shop.offer(&admin, "RULE-CUP", 650, 5).await;
    let post = |body: Value| shop.post("/orders").bearer(&ada.token).key("rules").json(body).send();
    let line = |sku: &str, quantity: i64| json!({"sku": sku, "quantity": quantity});
    let many: Vec<_> = (0..101).map(|n| line(&format!("RULE-{n}"), 1)).collect();
    for items in [
        json!([]),
        json!(many),
        json!([line("RULE-MUG", 0)]),
        json!([line("RULE-MUG", 10_001)]),
        json!([line("RULE-MUG", 1), line("rule-mug", 1)]),
        json!([line("RULE-CUP", 1), line("RULE-NONE", 1)]),
    ] {
        post(json!({"items": items})).await.expect(422);
    }
    let misplaced = post(json!({"items": [{"sku": "RULE-MUG", "quantity": "many"}]})).await;
    assert_eq!(
        misplaced.expect_problem(400, "invalid_body").json["errors"][0]["pointer"],
        "/items/0/quantity"
    );
    // All or nothing: the cups that are there are not held for an order that cannot be.
    let short = post(json!({"items": [line("RULE-CUP", 5), line("RULE-MUG", 4)]})).await;
    let short = short.expect_problem(409, "insufficient_stock");
    assert_eq!(short.json["shortages"], json!([{"sku": "RULE-MUG", "requested": 4, "available": 3}]));
    assert_eq!(shop.available(&ada, "RULE-CUP").await, 5);
    assert_eq!(shop.all("/orders", &ada).await.len(), 0);
}

/// The answer to a change of an order's status.
fn to<'a>(shop: &'a Shop, person: &Person, order: &Value, status: &str) -> deployments::Call<'a> {
    shop.patch(&format!("{}/status", path_of("/orders", order)))
        .bearer(&person.token)
        .json(json!({"status": status}))
}

pub async fn an_order_follows_its_states_and_no_others(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "STATE-MUG", 850, 10).await;
    let order = shop.order(&ada, "order", "STATE-MUG", 1).send().await.expect(201).json;
    to(shop, &ada, &order, "confirmed").send().await.expect_problem(403, "forbidden");
    for refused in ["shipped", "delivered"] {
        to(shop, &admin, &order, refused).send().await.expect_problem(409, "invalid_transition");
    }
    to(shop, &admin, &order, "lost").send().await.expect(400);
    for status in ["confirmed", "processing", "shipped"] {
        to(shop, &admin, &order, status).send().await.expect(200);
    }
    to(shop, &admin, &order, "cancelled").send().await.expect_problem(409, "invalid_transition");
    to(shop, &admin, &order, "delivered").send().await.expect(200);
    to(shop, &admin, &order, "pending").send().await.expect_problem(409, "invalid_transition");
    shop.until("/inventory/STATE-MUG", &ada, |level| level["on_hand"] == 9).await;
    let path = path_of("/orders", &order);
    let timeline = shop.get(&format!("{path}/timeline")).bearer(&ada.token).send().await.expect(200).json;
    let states: Vec<_> =
        timeline["events"].as_array().unwrap().iter().filter_map(|event| event["to"].as_str()).collect();
    assert_eq!(states, ["confirmed", "processing", "shipped", "delivered"]);
    shop.get("/orders/not-an-id").bearer(&ada.token).send().await.expect_problem(404, "not_found");
}

pub async fn a_cancelled_order_that_is_taken_up_again_takes_its_stock_again(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "AGAIN-MUG", 850, 3).await;
    let order = shop.order(&ada, "order", "AGAIN-MUG", 2).send().await.expect(201).json;
    to(shop, &ada, &order, "cancelled").send().await.expect(200);
    shop.until("/inventory/AGAIN-MUG", &ada, |level| level["available"] == 3).await;
    to(shop, &ada, &order, "pending").send().await.expect_problem(403, "forbidden");
    let late = shop.pay(&ada, "late", &order, "tok_ok").send().await;
    late.expect_problem(409, "order_not_payable");
    assert_eq!(to(shop, &admin, &order, "pending").send().await.expect(200).json["status"], "pending");
    assert_eq!(shop.available(&ada, "AGAIN-MUG").await, 1);
    let cancel =
        shop.post(&format!("{}/cancel", path_of("/orders", &order))).bearer(&ada.token).key("cancel");
    cancel.send().await.expect(200);
    shop.until("/inventory/AGAIN-MUG", &ada, |level| level["available"] == 3).await;
    // Meanwhile somebody else takes them: there is nothing to take up again.
    let bob = shop.newcomer("bob").await;
    shop.order(&bob, "order", "AGAIN-MUG", 2).send().await.expect(201);
    to(shop, &admin, &order, "pending").send().await.expect_problem(409, "insufficient_stock");
}

pub async fn a_customer_lists_their_own_orders_page_by_page(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "LIST-MUG", 850, 10).await;
    let mut placed = Vec::new();
    for n in 1..=5 {
        placed.push(shop.order(&ada, &format!("order-{n}"), "LIST-MUG", 1).send().await.expect(201).json);
    }
    let cancel = shop.post(&format!("{}/cancel", path_of("/orders", &placed[0]))).bearer(&ada.token);
    cancel.send().await.expect(200);
    let list = async |person: &Person, query: &str| {
        shop.get(&format!("/orders{query}")).bearer(&person.token).send().await.expect(200).json
    };
    let first = list(&ada, "?limit=3").await;
    let next = first["next_cursor"].as_str().unwrap();
    let second = list(&ada, &format!("?limit=3&cursor={next}")).await;
    let ids = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|order| order["id"].clone()).collect::<Vec<_>>()
    };
    let newest_first: Vec<Value> = placed.iter().rev().map(|order| order["id"].clone()).collect();
    assert_eq!([ids(&first), ids(&second)].concat(), newest_first);
    assert_eq!(ids(&list(&ada, "?status=cancelled").await), [placed[0]["id"].clone()]);
    assert_eq!(ids(&list(&ada, "?from=2000-01-01&to=2000-01-02").await), Vec::<Value>::new());
    assert_eq!(ids(&list(&admin, &format!("?user_id={}", ada.id)).await), newest_first);
    let of_user =
        shop.get(&format!("/orders/user/{}", ada.id)).bearer(&admin.token).send().await.expect(200).json;
    assert_eq!(ids(&of_user), newest_first);
    for bad in
        ["?limit=0", "?status=lost", "?colour=red", "?from=yesterday", "?from=2001-01-01&to=2000-01-01"]
    {
        shop.get(&format!("/orders{bad}"))
            .bearer(&ada.token)
            .send()
            .await
            .expect_problem(400, "invalid_query");
    }
}
