//! Who is told of what.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use deployments::{Shop, path_of};

/// Whether mails of these templates have been sent, each once, and no others.
fn sent(page: &Value, templates: &[&str]) -> bool {
    let items = page["items"].as_array().unwrap();
    let mut told: Vec<&str> = items
        .iter()
        .filter(|item| item["status"] == "sent")
        .filter_map(|item| item["template"].as_str())
        .collect();
    let mut wanted = templates.to_vec();
    told.sort_unstable();
    wanted.sort_unstable();
    told == wanted
}

pub async fn each_step_of_a_purchase_is_told_by_mail(shop: &Shop) {
    let (admin, ada, eve) = (shop.admin().await, shop.newcomer("ada").await, shop.newcomer("eve").await);
    shop.offer(&admin, "MAIL-MUG", 850, 5).await;
    let mut told = vec!["welcome", "verify_email"];
    shop.until("/notifications", &ada, |page| sent(page, &told)).await;
    let order = shop.order(&ada, "order", "MAIL-MUG", 1).send().await.expect(201).json;
    let path = path_of("/orders", &order);
    told.push("order_created");
    shop.until("/notifications", &ada, |page| sent(page, &told)).await;
    shop.pay(&ada, "pay", &order, "tok_ok").send().await.expect(201);
    told.extend(["payment_captured", "order_confirmed"]);
    shop.until("/notifications", &ada, |page| sent(page, &told)).await;
    shop.post(&format!("{path}/cancel")).bearer(&ada.token).send().await.expect(200);
    told.extend(["order_cancelled", "payment_refunded"]);
    let page = shop.until("/notifications", &ada, |page| sent(page, &told)).await;
    let subjects = page.to_string();
    assert!(
        subjects.contains("8.50 GBP") && subjects.contains(order["number"].as_str().unwrap()),
        "{subjects}"
    );
    let mails = shop.get("/notifications").bearer(&eve.token);
    assert!(!mails.in_any_order().send().await.expect(200).text.contains(order["number"].as_str().unwrap()));
    shop.get("/notifications").send().await.expect_problem(401, "unauthenticated");
}

pub async fn who_forgot_a_password_gets_a_letter(shop: &Shop) {
    let ada = shop.newcomer("ada").await;
    let nobody = shop.email("nobody");
    let mut answers = Vec::new();
    for email in [&ada.email, &nobody] {
        let forgot = shop.post("/auth/password/forgot").json(json!({"email": email}));
        answers.push(forgot.send().await.expect(202).text);
    }
    assert_eq!(answers, ["", ""], "nobody learns who has an account");
    let told = ["welcome", "verify_email", "reset_password"];
    shop.until("/notifications", &ada, |page| sent(page, &told)).await;
    let wrong = json!({"token": "x", "new_password": "seven red boats at noon"});
    shop.post("/auth/password/reset").json(wrong).send().await.expect_problem(400, "invalid_mailed_token");
}

pub async fn an_endpoint_is_told_of_every_event(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "HOOK-MUG", 850, 5).await;
    let events = [
        "order.created",
        "order.status_changed",
        "order.updated",
        "order.deleted",
        "payment.captured",
        "payment.refunded",
    ];
    let body = json!({"url": "https://example.com/hook", "events": events, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let create = || shop.post("/notifications/webhooks").bearer(&admin.token).key("hook").json(body.clone());
    shop.post("/notifications/webhooks")
        .bearer(&ada.token)
        .json(body.clone())
        .send()
        .await
        .expect_problem(403, "forbidden");
    let hook = create().send().await.expect(201).json;
    assert_eq!(create().send().await.expect(201).header("idempotency-replayed"), "true");
    for bad in [
        json!({"url": "ftp://example.com", "events": events}),
        json!({"url": "https://example.com", "events": ["x"]}),
    ] {
        shop.post("/notifications/webhooks").bearer(&admin.token).json(bad).send().await.expect(400);
    }
    let order = shop.order(&ada, "order", "HOOK-MUG", 1).send().await.expect(201).json;
    let path = path_of("/orders", &order);
    shop.pay(&ada, "pay", &order, "tok_ok").send().await.expect(201);
    shop.until(&path, &ada, |order| order["status"] == "confirmed").await;
    shop.post(&format!("{path}/cancel")).bearer(&ada.token).send().await.expect(200);
    shop.until(&path, &ada, |order| order["payment_status"] == "refunded").await;

    // The endpoint hears of every customer's orders; this story looks at its own.
    let deliveries = format!("{}/deliveries", path_of("/notifications/webhooks", &hook));
    let id = order["id"].as_str().unwrap();
    let give_up = Instant::now() + Duration::from_secs(15);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let told = loop {
        ticks.tick().await;
        let all = shop.all(&deliveries, &admin).await;
        let own: Vec<_> =
            all.into_iter().filter(|delivery| delivery["payload"].to_string().contains(id)).collect();
        let kinds: BTreeSet<_> = own.iter().filter_map(|delivery| delivery["event"].as_str()).collect();
        if ["order.created", "order.status_changed", "order.updated", "payment.captured", "payment.refunded"]
            .iter()
            .all(|kind| kinds.contains(kind))
        {
            break own;
        }
        assert!(Instant::now() < give_up, "told only of {kinds:?}");
    };
    for delivery in &told {
        let fields: BTreeSet<_> =
            delivery["payload"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(["event", "data", "timestamp"]));
    }
    let first = path_of(&deliveries, &told[0]);
    shop.post(&format!("{first}/replay"))
        .bearer(&admin.token)
        .send()
        .await
        .expect_problem(409, "delivery_pending");
    let hook = path_of("/notifications/webhooks", &hook);
    shop.delete(&hook).bearer(&admin.token).send().await.expect(204);
    shop.delete(&hook).bearer(&admin.token).send().await.expect_problem(404, "not_found");
    shop.get(&deliveries).bearer(&admin.token).send().await.expect_problem(404, "not_found");
}
