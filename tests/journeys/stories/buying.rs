//! From the shelf to the refund.

use serde_json::{Value, json};

use deployments::{Shop, path_of, pence};

pub async fn a_customer_fills_a_cart_pays_and_is_refunded(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "REFUND-MUG", 850, 10).await;

    // A guest looks around, then logs in and keeps the cart.
    let guest = shop.put("/cart/items/REFUND-MUG").json(json!({"quantity": 2})).send().await.expect(200);
    let cart_token = guest.header("x-cart-token").to_owned();
    assert!(!cart_token.is_empty(), "{}", guest.text);
    let merge = shop.post("/cart/merge").bearer(&ada.token).json(json!({"cart_token": cart_token}));
    assert_eq!(merge.send().await.expect(200).json["total"], pence(1_700));

    let address = json!({"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"});
    let wanted = json!({"shipping_address": address, "expected_total": pence(1_700)});
    let checkout = || shop.post("/cart/checkout").bearer(&ada.token).key("checkout-1").json(wanted.clone());
    let order = checkout().send().await.expect(201).json;
    assert_eq!((order["status"].as_str(), &order["shipping_address"]), (Some("pending"), &address));
    let replay = checkout().send().await.expect(201);
    assert_eq!((&replay.json, replay.header("idempotency-replayed")), (&order, "true"));
    assert_eq!(shop.available(&ada, "REFUND-MUG").await, 8);
    shop.until("/cart", &ada, |cart| cart["items"] == json!([])).await;

    // Payment captured -> order confirmed, with no module calling another for it.
    let payment = shop.pay(&ada, "pay-1", &order, "tok_ok").send().await.expect(201).json;
    assert_eq!((payment["status"].as_str(), &payment["captured"]), (Some("captured"), &pence(1_700)));
    let path = path_of("/orders", &order);
    let confirmed = shop.until(&path, &ada, |order| order["status"] == "confirmed").await;
    assert_eq!(confirmed["payment_status"], "captured");

    // The customer changes their mind: stock and money come back.
    shop.post(&format!("{path}/cancel")).bearer(&ada.token).send().await.expect(200);
    let given_back = |payment: &Value| payment["status"] == "refunded";
    shop.until(&path_of("/payments", &payment), &ada, given_back).await;
    let refunded = shop.until(&path, &ada, |order| order["payment_status"] == "refunded").await;
    assert_eq!(refunded["status"], "cancelled");
    shop.until("/inventory/REFUND-MUG", &ada, |level| level["available"] == 10).await;
    let timeline = shop.get(&format!("{path}/timeline")).bearer(&ada.token).send().await.expect(200).json;
    let kinds: Vec<&str> =
        timeline["events"].as_array().unwrap().iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds.first(), Some(&"created"));
    for kind in ["payment_captured", "status_changed", "payment_refunded"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

pub async fn an_order_is_shipped_and_its_stock_leaves(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "SHIP-TROWEL", 1_480, 9).await;
    let order = shop.order(&ada, "order", "SHIP-TROWEL", 4).send().await.expect(201).json;
    let path = path_of("/orders", &order);
    shop.pay(&ada, "pay", &order, "tok_ok").send().await.expect(201);
    shop.until(&path, &ada, |order| order["status"] == "confirmed").await;
    for status in ["processing", "shipped", "delivered"] {
        let change = shop.patch(&format!("{path}/status")).bearer(&admin.token);
        change.json(json!({"status": status})).send().await.expect(200);
    }
    let level = shop.until("/inventory/SHIP-TROWEL", &ada, |level| level["on_hand"] == 5).await;
    assert_eq!((level["reserved"].as_i64(), level["available"].as_i64()), (Some(0), Some(5)));
    let late = shop.post(&format!("{path}/cancel")).bearer(&admin.token).send().await;
    late.expect_problem(409, "invalid_transition");
    shop.get(&format!("{path}/timeline")).bearer(&ada.token).send().await.expect(200);
}

pub async fn the_client_does_not_set_prices(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "PRICE-KNIFE", 4_900, 5).await;
    let post = |key: &str, body: Value| shop.post("/orders").bearer(&ada.token).key(key).json(body).send();
    let line = |price: i64| json!([{"sku": "PRICE-KNIFE", "quantity": 1, "price": pence(price)}]);
    post("a", json!({"items": line(1)})).await.expect_problem(422, "price_changed");
    let wrong_total = post("b", json!({"items": line(4_900), "total": pence(1)})).await;
    wrong_total.expect_problem(422, "total_mismatch");
    let agreed = post("c", json!({"items": line(4_900), "total": pence(4_900)})).await;
    assert_eq!(agreed.expect(201).json["total"], pence(4_900));
    assert_eq!(shop.available(&ada, "PRICE-KNIFE").await, 4);
}

pub async fn what_is_another_customers_does_not_exist(shop: &Shop) {
    let (admin, ada, eve) = (shop.admin().await, shop.newcomer("ada").await, shop.newcomer("eve").await);
    shop.offer(&admin, "OTHERS-MUG", 850, 5).await;
    let order = shop.order(&ada, "order", "OTHERS-MUG", 1).send().await.expect(201).json;
    let payment = shop.pay(&ada, "pay", &order, "tok_ok").send().await.expect(201).json;
    let path = path_of("/orders", &order);
    shop.until(&path, &ada, |order| order["status"] == "confirmed").await;
    let paths = [
        path.clone(),
        format!("{path}/timeline"),
        format!("/orders/user/{}", ada.id),
        path_of("/payments", &payment),
        format!("/users/{}", ada.id),
    ];
    for path in &paths {
        shop.get(path).bearer(&ada.token).send().await.expect(200);
        shop.get(path).bearer(&eve.token).send().await.expect_problem(404, "not_found");
        shop.get(path).send().await.expect_problem(401, "unauthenticated");
    }
    shop.post(&format!("{path}/cancel")).bearer(&eve.token).send().await.expect_problem(404, "not_found");
    shop.pay(&eve, "theft", &order, "tok_ok").send().await.expect_problem(404, "not_found");
    shop.get(&format!("/orders?user_id={}", ada.id))
        .bearer(&eve.token)
        .send()
        .await
        .expect_problem(404, "not_found");
    for path in ["/orders", "/payments", "/notifications"] {
        let list = shop.get(path).bearer(&eve.token).unrecorded().send().await.expect(200);
        assert!(!list.text.contains(order["id"].as_str().unwrap()), "{}", list.text);
    }
}
