//! Who did what.

use serde_json::{Value, json};

use deployments::{Person, Shop, path_of, pence};

/// What the log says was done to a thing, newest first, once it says so many things of it.
async fn done_to(shop: &Shop, admin: &Person, target: &str, entries: usize) -> Vec<Value> {
    let path = format!("/auth/audit?target={target}");
    let page = shop.until(&path, admin, |page| page["items"].as_array().unwrap().len() == entries).await;
    page["items"].as_array().unwrap().clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry["action"].as_str()).collect()
}

pub async fn the_audit_log_names_who_did_what(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.get("/auth/audit").send().await.expect_problem(401, "unauthenticated");
    shop.get("/auth/audit").bearer(&ada.token).send().await.expect_problem(403, "forbidden");

    // A machine of the admin's sets another price.
    let key = json!({"name": "prices", "scopes": ["catalog:write", "auth:read"]});
    let key =
        shop.post("/auth/api-keys").bearer(&admin.token).json(key).unrecorded().send().await.expect(201).json;
    let mug = shop.offer(&admin, "AUDIT-MUG", 850, 5).await;
    let path = path_of("/catalog/products", &mug);
    let machine = Person { token: key["key"].as_str().unwrap().to_owned(), ..admin.clone() };
    let rename = json!({"name": "A mug with a history"});
    shop.patch(&path).bearer(&admin.token).json(rename).send().await.expect(200);
    shop.patch(&path).bearer(&machine.token).json(json!({"price": pence(900)})).send().await.expect(200);
    let prices = done_to(shop, &admin, mug["id"].as_str().unwrap(), 2).await;
    assert_eq!(actions(&prices), ["product.price_changed"; 2], "another name is another matter");
    let by_machine = json!({"kind": "api_key", "user_id": admin.id, "api_key_id": key["id"]});
    assert_eq!((&prices[0]["by"], &prices[0]["details"]["before"]), (&by_machine, &pence(850)));
    assert_eq!(
        (&prices[0]["details"]["price"], &prices[0]["details"]["sku"]),
        (&pence(900), &json!("AUDIT-MUG"))
    );
    let by_admin = json!({"kind": "user", "user_id": admin.id, "api_key_id": null});
    assert_eq!((&prices[1]["by"], &prices[1]["details"]["before"]), (&by_admin, &Value::Null));
    let made = done_to(shop, &machine, key["id"].as_str().unwrap(), 1).await;
    assert_eq!((actions(&made), &made[0]["by"]), (vec!["api_key.created"], &by_admin));
    assert!(!made[0].to_string().contains(machine.token.rsplit('_').next().unwrap()), "no secret");

    let break_two = json!({"change": -2, "reason": "broken in transit"});
    let changed = shop.patch(&format!("{path}/stock")).bearer(&admin.token).key("two").json(break_two);
    changed.send().await.expect(200);
    let stock = done_to(shop, &admin, "AUDIT-MUG", 2).await;
    assert_eq!(actions(&stock), ["stock.adjusted"; 2]);
    assert_eq!(stock[0]["details"], json!({"change": -2, "on_hand": 3, "reason": "broken in transit"}));
    assert_eq!((&stock[0]["by"], &stock[1]["details"]["change"]), (&by_admin, &json!(5)));

    // A refund by hand, and one that a rule makes.
    let mut payments = Vec::new();
    for key in ["by hand", "by rule"] {
        let order = shop.order(&ada, key, "AUDIT-MUG", 1).send().await.expect(201).json;
        payments.push(shop.pay(&ada, &format!("pay {key}"), &order, "tok_ok").send().await.expect(201).json);
        shop.until(&path_of("/orders", &order), &ada, |order| order["status"] == "confirmed").await;
        if key == "by rule" {
            shop.post(&format!("{}/cancel", path_of("/orders", &order)))
                .bearer(&ada.token)
                .send()
                .await
                .expect(200);
        }
    }
    let chip = json!({"amount": pence(100), "reason": "a chip"});
    for _retry in 0..2 {
        shop.operate(&admin, &payments[0], "refund", "chip", chip.clone()).send().await.expect(200);
    }
    shop.operate(&admin, &payments[0], "refund", "all the money", json!({"amount": pence(10_000)}))
        .send()
        .await
        .expect(409);
    let by_hand = done_to(shop, &admin, payments[0]["id"].as_str().unwrap(), 1).await;
    assert_eq!((actions(&by_hand), &by_hand[0]["by"]), (vec!["payment.refund_requested"], &by_admin));
    assert_eq!(
        (&by_hand[0]["details"]["amount"], &by_hand[0]["details"]["reason"]),
        (&pence(100), &json!("a chip"))
    );
    let by_rule = done_to(shop, &admin, payments[1]["id"].as_str().unwrap(), 1).await;
    assert_eq!(
        (actions(&by_rule), &by_rule[0]["by"]["kind"]),
        (vec!["payment.refund_requested"], &json!("shop"))
    );

    // An account from its beginning to its end.
    let fired = json!({"role": "admin", "active": false});
    shop.patch(&format!("/users/{}", ada.id)).bearer(&admin.token).json(fired).send().await.expect(200);
    let account = done_to(shop, &admin, &ada.id, 2).await;
    assert_eq!(actions(&account), ["account.access_changed", "account.created"]);
    let access = json!({"before": {"role": "customer", "active": true}, "role": "admin", "active": false});
    assert_eq!((&account[0]["details"], &account[0]["by"]), (&access, &by_admin));
    assert_eq!(account[1]["by"], json!({"kind": "user", "user_id": ada.id, "api_key_id": null}));
}
