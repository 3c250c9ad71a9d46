//! What is in a cart, and whose it is.

use serde_json::{Value, json};

use deployments::{Shop, pence};

pub async fn a_guests_cart_joins_the_customers_once(shop: &Shop) {
    let (admin, ada, eve) = (shop.admin().await, shop.newcomer("ada").await, shop.newcomer("eve").await);
    shop.offer(&admin, "MERGE-A", 500, 10).await;
    shop.offer(&admin, "MERGE-B", 700, 10).await;
    let put = |sku: &str, quantity: i64| {
        shop.put(&format!("/cart/items/{sku}")).json(json!({"quantity": quantity}))
    };
    let guest = put("MERGE-A", 1).send().await.expect(200);
    let token = guest.header("x-cart-token").to_owned();
    let more = put("MERGE-B", 2).header("X-Cart-Token", &token).send().await.expect(200);
    assert_eq!(more.json["total"], pence(1_900));
    assert_eq!(
        shop.get("/cart").header("X-Cart-Token", &token).send().await.expect(200).json["id"],
        guest.json["id"]
    );

    put("MERGE-A", 2).bearer(&ada.token).send().await.expect(200);
    let merge = |token: &str| {
        shop.post("/cart/merge").bearer(token).json(json!({"cart_token": &guest.header("x-cart-token")}))
    };
    let merged = merge(&ada.token).key("merge").send().await.expect(200);
    assert_eq!(merged.json["total"], pence(3 * 500 + 2 * 700));
    let again = merge(&ada.token).key("merge").send().await.expect(200);
    assert_eq!((&again.json, again.header("idempotency-replayed")), (&merged.json, "true"));
    assert_eq!(merge(&ada.token).send().await.expect(200).json["total"], merged.json["total"], "merged once");
    merge(&eve.token).send().await.expect_problem(404, "not_found");
    shop.get("/cart").bearer(&eve.token).send().await.expect(200);
    let nobodys = json!({"cart_token": "nobody's"});
    shop.post("/cart/merge").bearer(&ada.token).json(nobodys).send().await.expect_problem(404, "not_found");
}

pub async fn a_cart_is_filled_changed_and_emptied(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "FILL-A", 500, 3).await;
    shop.offer(&admin, "FILL-B", 700, 3).await;
    let put =
        |sku: &str, body: Value| shop.put(&format!("/cart/items/{sku}")).bearer(&ada.token).json(body).send();
    shop.get("/cart").bearer(&ada.token).send().await.expect(200);
    put("fill-a", json!({"quantity": 2})).await.expect(200);
    let cart = put("FILL-B", json!({"quantity": 4})).await.expect(200).json;
    assert_eq!((&cart["items"][1]["available"], &cart["total"]), (&json!(false), &pence(3_800)));
    let less = put("FILL-B", json!({"quantity": 1})).await.expect(200).json;
    assert_eq!((&less["items"][1]["available"], &less["total"]), (&json!(true), &pence(1_700)));
    put("FILL-A", json!({"quantity": -1})).await.expect_problem(422, "quantity_out_of_range");
    put("FILL-A", json!({"quantity": 10_001})).await.expect_problem(422, "quantity_out_of_range");
    let unknown = put("FILL-NONE", json!({"quantity": 1})).await;
    assert!([404, 422].contains(&unknown.status), "{}", unknown.text);
    let one = put("FILL-A", json!({"quantity": 0})).await.expect(200).json;
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    let none = shop.delete("/cart/items/FILL-B").bearer(&ada.token).send().await;
    assert!(none.status < 300, "{}", none.text);
    put("FILL-A", json!({"quantity": 1})).await.expect(200);
    let emptied = shop.delete("/cart").bearer(&ada.token).send().await;
    assert!(emptied.status < 300, "{}", emptied.text);
    let cart = shop.get("/cart").bearer(&ada.token).send().await.expect(200).json;
    assert_eq!((&cart["items"], &cart["total"]), (&json!([]), &pence(0)));
    let nothing = json!({"shipping_address": "12 St James's Square, London"});
    let checkout = shop.post("/cart/checkout").bearer(&ada.token).key("nothing").json(nothing).send().await;
    assert!([409, 422].contains(&checkout.status), "{}", checkout.text);
}

pub async fn a_checkout_keeps_to_the_expected_total(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "TOTAL-MUG", 850, 3).await;
    let put = |quantity: i64| {
        shop.put("/cart/items/TOTAL-MUG").bearer(&ada.token).json(json!({"quantity": quantity})).send()
    };
    put(4).await.expect(200);
    let checkout = |key: &str, total: i64| {
        let body =
            json!({"shipping_address": "12 St James's Square, London", "expected_total": pence(total)});
        shop.post("/cart/checkout").bearer(&ada.token).key(key).json(body).send()
    };
    checkout("too many", 3_400).await.expect_problem(409, "insufficient_stock");
    put(2).await.expect(200);
    checkout("cheap", 1).await.expect_problem(422, "total_mismatch");
    assert_eq!(checkout("right", 1_700).await.expect(201).json["total"], pence(1_700));
    let keyless =
        shop.post("/cart/checkout").bearer(&ada.token).json(json!({"shipping_address": "x"})).send().await;
    keyless.expect_problem(400, "idempotency_key_required");
    let guest = shop.post("/cart/checkout").key("guest").json(json!({"shipping_address": "x"})).send().await;
    guest.expect_problem(401, "unauthenticated");
    shop.until("/cart", &ada, |cart| cart["items"] == json!([])).await;
}
