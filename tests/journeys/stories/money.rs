//! Money that is asked for, held, taken and given back.

use serde_json::{Value, json};

use deployments::{Person, Shop, path_of, pence};

pub async fn a_declined_card_leaves_the_order_to_be_paid_again(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "DECLINE-MUG", 850, 5).await;
    let order = shop.order(&ada, "order", "DECLINE-MUG", 1).send().await.expect(201).json;
    let path = path_of("/orders", &order);
    for (key, token) in [("a", "tok_declined"), ("b", "tok_insufficient_funds")] {
        shop.pay(&ada, key, &order, token).send().await.expect_problem(402, "card_declined");
        let unpaid = shop.until(&path, &ada, |order| order["payment_status"] == "unpaid").await;
        assert_eq!(unpaid["status"], "pending");
    }
    // The same key gives the same refusal; a new one is a new attempt.
    shop.pay(&ada, "a", &order, "tok_declined").send().await.expect_problem(402, "card_declined");
    let foreign = shop.pay(&ada, "foreign", &order, "tok_from_another_bank").send().await;
    assert!([400, 402, 422].contains(&foreign.status), "{}", foreign.text);
    shop.pay(&ada, "c", &order, "tok_ok").send().await.expect(201);
    shop.until(&path, &ada, |order| order["status"] == "confirmed").await;
    shop.pay(&ada, "d", &order, "tok_ok").send().await.expect_problem(409, "already_paid");
    let unknown = json!({"id": "01900000-0000-7000-8000-000000000000"});
    shop.pay(&ada, "e", &unknown, "tok_ok").send().await.expect_problem(404, "not_found");
}

pub async fn a_charge_whose_answer_is_lost_or_late_is_made_once(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "LOST-MUG", 850, 5).await;
    for token in ["tok_timeout_then_ok", "tok_slow"] {
        let order = shop.order(&ada, &format!("order {token}"), "LOST-MUG", 1).send().await.expect(201).json;
        shop.pay(&ada, &format!("pay {token}"), &order, token).send().await.expect(201);
        shop.until(&path_of("/orders", &order), &ada, |order| order["status"] == "confirmed").await;
        let replay = shop.pay(&ada, &format!("pay {token}"), &order, token).send().await.expect(201);
        assert_eq!(replay.header("idempotency-replayed"), "true");
    }
    let paid = shop.get("/payments").bearer(&ada.token).send().await.expect(200).json;
    assert_eq!(paid["items"].as_array().unwrap().len(), 2);
}

/// An order of two mugs whose money is held, not taken.
async fn held(shop: &Shop, ada: &Person, sku: &str, path: &str) -> (Value, Value) {
    let order = shop.order(ada, &format!("order {path}"), sku, 2).send().await.expect(201).json;
    let body =
        json!({"order_id": order["id"], "method": {"type": "card", "token": "tok_ok"}, "capture": false});
    let key = format!("hold {path}");
    let payment = shop.post(path).bearer(&ada.token).key(&key).json(body).send().await.expect(201).json;
    assert_eq!((&payment["status"], &payment["captured"]), (&json!("authorized"), &pence(0)));
    shop.until(&path_of("/orders", &order), ada, |order| order["payment_status"] == "authorized").await;
    (order, payment)
}

pub async fn money_is_held_captured_in_part_and_given_back(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "HOLD-MUG", 850, 5).await;
    let (order, payment) = held(shop, &ada, "HOLD-MUG", "/payments").await;
    let step = |what: &str, key: &str, body: Value| shop.operate(&admin, &payment, what, key, body).send();
    let by_owner = shop.operate(&ada, &payment, "capture", "own", json!({})).send().await;
    by_owner.expect_problem(403, "forbidden");
    step("refund", "early", json!({"amount": pence(1)})).await.expect(409);
    step("capture", "too much", json!({"amount": pence(1_701)})).await.expect(409);
    let part = step("capture", "part", json!({"amount": pence(1_000)})).await.expect(200).json;
    assert_eq!((&part["status"], &part["captured"]), (&json!("captured"), &pence(1_000)));
    let again = step("capture", "part", json!({"amount": pence(1_000)})).await.expect(200);
    assert_eq!((&again.json, again.header("idempotency-replayed")), (&part, "true"));
    shop.until(&path_of("/orders", &order), &ada, |order| order["status"] == "confirmed").await;
    step("refund", "over", json!({"amount": pence(1_001)}))
        .await
        .expect_problem(409, "refund_exceeds_captured");
    let back =
        step("refund", "chip", json!({"amount": pence(400), "reason": "a chip"})).await.expect(200).json;
    assert_eq!(back["refunded"], pence(400));
    let rest = step("refund", "rest", json!({})).await.expect(200).json;
    assert_eq!((&rest["status"], &rest["refunded"]), (&json!("refunded"), &pence(1_000)));
    step("void", "late", json!({})).await.expect(409);
    let refunded = |order: &Value| order["payment_status"] == "refunded";
    shop.until(&path_of("/orders", &order), &ada, refunded).await;
    shop.get(&format!("{}/timeline", path_of("/orders", &order))).bearer(&ada.token).send().await.expect(200);
    let unkeyed =
        shop.post(&format!("{}/refund", path_of("/payments", &payment))).bearer(&admin.token).json(json!({}));
    unkeyed.send().await.expect_problem(400, "idempotency_key_required");
}

pub async fn money_that_is_held_is_let_go(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "VOID-MUG", 850, 10).await;
    let (order, payment) = held(shop, &ada, "VOID-MUG", "/pay").await;
    let voided = shop.operate(&admin, &payment, "void", "void", json!({})).send().await.expect(200).json;
    assert_eq!(voided["status"], "voided");
    let unpaid =
        shop.until(&path_of("/orders", &order), &ada, |order| order["payment_status"] == "unpaid").await;
    assert_eq!(unpaid["status"], "pending");
    shop.operate(&admin, &payment, "capture", "late", json!({})).send().await.expect(409);
    // Cancelling an order lets go what is held for it.
    let (order, payment) = held(shop, &ada, "VOID-MUG", "/payments").await;
    shop.post(&format!("{}/cancel", path_of("/orders", &order))).bearer(&ada.token).send().await.expect(200);
    shop.until(&path_of("/payments", &payment), &ada, |payment| payment["status"] == "voided").await;
    shop.until("/inventory/VOID-MUG", &ada, |level| level["available"] == 8).await;
    let page = shop.get("/pay").bearer(&ada.token).send().await.expect(200).json;
    assert_eq!(page, shop.get("/payments").bearer(&ada.token).send().await.expect(200).json);
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}

pub async fn only_a_signed_word_of_the_provider_counts(shop: &Shop) {
    let word = json!({"type": "payment.captured", "provider_key": "charge-019357a07b2c7c3e9f005d1c2b3a4f5e"});
    let post = |path: &str| shop.post(path).json(word.clone());
    post("/payments/webhooks/sandbox").send().await.expect_problem(401, "invalid_signature");
    let forged =
        post("/pay/webhooks/sandbox").header("webhook-id", "msg_1").header("webhook-timestamp", "1614265330");
    forged.header("webhook-signature", "v1,Zm9yZ2Vk").send().await.expect_problem(401, "invalid_signature");
    post("/payments/webhooks/another").send().await.expect_problem(404, "not_found");
}
