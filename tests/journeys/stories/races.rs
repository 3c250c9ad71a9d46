//! Many at once: stock is never oversold, nothing is done twice, and no money moves twice.

use futures_util::future::join_all;
use serde_json::{Value, json};

use deployments::{Shop, path_of, pence, tally};

pub async fn two_hundred_buyers_at_once_share_fifty_pieces(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "RACE-LAMP", 4_500, 50).await;
    let keys: Vec<String> = (0..200).map(|n| format!("buyer-{n}")).collect();
    let orders = keys.iter().map(|key| shop.order(&ada, key, "RACE-LAMP", 1).unrecorded().send());
    let answers = join_all(orders).await;
    shop.note("two hundred orders for one piece each", tally(&answers));
    assert_eq!(tally(&answers), "50 x 201, 150 x 409 insufficient_stock");
    assert_eq!(shop.available(&ada, "RACE-LAMP").await, 0);
    assert_eq!(shop.all("/orders", &ada).await.len(), 50);
}

pub async fn one_order_posted_a_hundred_times_at_once_is_one_order(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "RACE-MUG", 850, 60).await;
    let post = || shop.order(&ada, "same", "race-mug", 3);
    let answers = join_all((0..100).map(|_| post().unrecorded().send())).await;
    shop.note("one order a hundred times", tally(&answers));
    let first = answers[0].clone().expect(201);
    assert!(answers.iter().all(|answer| (answer.status, &answer.text) == (201, &first.text)));
    let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(fresh, 1);
    assert_eq!(shop.available(&ada, "RACE-MUG").await, 57);
    let list = shop.get("/orders").bearer(&ada.token).send().await.expect(200);
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
    shop.order(&ada, "same", "RACE-MUG", 4).send().await.expect_problem(422, "idempotency_key_reused");
    let body = json!({"items": [{"sku": "RACE-MUG", "quantity": 4}]});
    let keyless = shop.post("/orders").bearer(&ada.token).json(body).send().await;
    keyless.expect_problem(400, "idempotency_key_required");
}

pub async fn one_cart_checked_out_a_hundred_times_at_once_is_one_order(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "RACE-CANDLE", 900, 80).await;
    let put = shop.put("/cart/items/RACE-CANDLE").bearer(&ada.token).json(json!({"quantity": 1}));
    put.send().await.expect(200);
    let keys: Vec<String> = (0..100).map(|n| format!("checkout-{n}")).collect();
    let address = json!({"shipping_address": "12 St James's Square, London"});
    let checkout = |key: &str| {
        shop.post("/cart/checkout").bearer(&ada.token).key(key).json(address.clone()).unrecorded().send()
    };
    let answers = join_all(keys.iter().map(|key| checkout(key))).await;
    // Which of the refusals a request meets depends on how far the first has come.
    let placed = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| [409, 422].contains(&answer.status)).count();
    shop.note("one cart a hundred times", format!("{placed} placed, {refused} refused"));
    assert_eq!((placed, refused), (1, 99), "{}", tally(&answers));
    shop.until("/inventory/RACE-CANDLE", &ada, |level| level["available"] == 79).await;
    assert_eq!(shop.all("/orders", &ada).await.len(), 1);
}

/// An order of one customer that is paid.
async fn paid_order(shop: &Shop, sku: &str, price: i64) -> (deployments::Person, Value, Value) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, sku, price, 5).await;
    let order = shop.order(&ada, "order", sku, 1).send().await.expect(201).json;
    let payment = shop.pay(&ada, "pay", &order, "tok_ok").send().await.expect(201).json;
    shop.until(&path_of("/orders", &order), &ada, |order| order["status"] == "confirmed").await;
    (admin, order, payment)
}

pub async fn fifty_refunds_at_once_never_give_back_more_than_was_paid(shop: &Shop) {
    let (admin, order, payment) = paid_order(shop, "RACE-CLOCK", 3_400).await;
    let keys: Vec<String> = (0..50).map(|n| format!("refund-{n}")).collect();
    let refund = |key: &str| {
        let body = json!({"amount": pence(1_000), "reason": "a scratch"});
        shop.operate(&admin, &payment, "refund", key, body).unrecorded().send()
    };
    let answers = join_all(keys.iter().map(|key| refund(key))).await;
    shop.note("fifty refunds of 10.00 on 34.00", tally(&answers));
    assert_eq!(tally(&answers), "3 x 200, 47 x 409 refund_exceeds_captured");
    let rest = shop.operate(&admin, &payment, "refund", "rest", json!({"amount": pence(400)})).send().await;
    assert_eq!(rest.expect(200).json["refunded"], pence(3_400));
    let nothing = shop.operate(&admin, &payment, "refund", "more", json!({"amount": pence(1)})).send().await;
    nothing.expect_problem(409, "refund_exceeds_captured");
    shop.until(&path_of("/orders", &order), &admin, |order| order["payment_status"] == "refunded").await;
}

pub async fn one_order_paid_fifty_times_at_once_is_paid_once(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "RACE-VASE", 2_800, 5).await;
    let order = shop.order(&ada, "order", "RACE-VASE", 1).send().await.expect(201).json;
    let keys: Vec<String> = (0..50).map(|n| format!("pay-{n}")).collect();
    let answers =
        join_all(keys.iter().map(|key| shop.pay(&ada, key, &order, "tok_ok").unrecorded().send())).await;
    let paid = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 409).count();
    shop.note("one order paid fifty times", format!("{paid} paid, {refused} refused"));
    assert_eq!((paid, refused), (1, 49), "{}", tally(&answers));
    shop.until(&path_of("/orders", &order), &ada, |order| order["status"] == "confirmed").await;
    let captured: i64 = shop
        .all("/payments", &ada)
        .await
        .iter()
        .filter_map(|payment| payment["captured"]["amount"].as_i64())
        .sum();
    assert_eq!(captured, 2_800);
}
