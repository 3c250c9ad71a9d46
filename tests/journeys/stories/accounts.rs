//! Who is who, and for how long.

use std::time::Duration;

use serde_json::json;

use deployments::{PASSWORD, Shop, path_of, person};

/// Within this time a session that ended is over in every module.
const EVERYWHERE: Duration = Duration::from_secs(1);

/// A path in each module that wants a token.
const GUARDED: &[&str] =
    &["/users/me", "/orders", "/payments", "/inventory", "/notifications", "/cart", "/users"];

pub async fn a_newcomer_registers_logs_in_refreshes_and_logs_out(shop: &Shop) {
    let email = shop.email("ada");
    let body = json!({"email": email, "password": PASSWORD, "username": "ada-the-newcomer", "name": "Ada"});
    let registered = shop.post("/auth/register").json(body.clone()).send().await.expect(201);
    shop.post("/auth/register").json(body).send().await.expect(409);
    shop.post("/users/register")
        .json(json!({"email": "no address", "password": "x"}))
        .send()
        .await
        .expect(400);
    let ada = person(&registered);
    let verified = shop.post("/auth/verify").bearer(&ada.token).send().await.expect(200);
    assert_eq!(verified.json["user_id"].as_str(), Some(ada.id.as_str()));

    let by_name = json!({"username": "ada-the-newcomer", "password": PASSWORD});
    let session = person(&shop.post("/users/login").json(by_name).send().await.expect(200));
    for body in [
        json!({"email": email, "password": "wrong"}),
        json!({"email": "nobody@example.com", "password": "wrong"}),
    ] {
        shop.post("/auth/login").json(body).send().await.expect_problem(401, "invalid_credentials");
    }
    let spent = json!({"refresh_token": session.refresh_token});
    let refreshed = person(&shop.post("/auth/refresh").json(spent.clone()).send().await.expect(200));
    shop.get("/users/me").bearer(&refreshed.token).send().await.expect(200);
    // Asked twice in a moment, it gives the same again: one lineage.
    let again = person(&shop.post("/auth/refresh").json(spent.clone()).send().await.expect(200));
    assert_eq!(again.refresh_token, refreshed.refresh_token);
    let next = json!({"refresh_token": refreshed.refresh_token});
    shop.post("/auth/refresh").json(next).send().await.expect(200);
    // A token that comes again after its successor was used has been stolen by someone: the whole session ends.
    shop.post("/auth/refresh").json(spent).send().await.expect(401);
    shop.until_refused("/orders", &refreshed.token, EVERYWHERE).await;
    // The session of the registration is another one.
    shop.get("/orders").bearer(&ada.token).send().await.expect(200);
    shop.post("/auth/logout").bearer(&ada.token).send().await.expect(204);
    shop.until_refused("/users/me", &ada.token, EVERYWHERE).await;
}

pub async fn a_session_that_was_ended_is_ended_in_every_module(shop: &Shop) {
    let ada = shop.newcomer("ada").await;
    for path in GUARDED {
        shop.get(path).bearer(&ada.token).unrecorded().send().await.expect(200);
    }
    shop.post("/auth/logout").bearer(&ada.token).send().await.expect(204);
    for path in GUARDED {
        shop.until_refused(path, &ada.token, EVERYWHERE).await;
    }
    let refresh = json!({"refresh_token": ada.refresh_token});
    shop.post("/auth/refresh").json(refresh).send().await.expect(401);
    // The account itself is well.
    let back = shop.log_in(&ada.email, PASSWORD).await;
    shop.get("/users/me").bearer(&back.token).send().await.expect(200);
}

pub async fn a_new_role_reaches_every_module(shop: &Shop) {
    let (admin, eve) = (shop.admin().await, shop.newcomer("eve").await);
    shop.get("/orders/analytics").bearer(&eve.token).send().await.expect_problem(403, "forbidden");
    let path = format!("/users/{}", eve.id);
    shop.patch(&path)
        .bearer(&eve.token)
        .json(json!({"role": "admin"}))
        .send()
        .await
        .expect_problem(403, "forbidden");
    shop.patch(&path).bearer(&admin.token).json(json!({"role": "admin"})).send().await.expect(200);
    // The old token no longer says the truth: its owner must log in anew.
    for path in GUARDED {
        shop.until_refused(path, &eve.token, EVERYWHERE).await;
    }
    let promoted = shop.log_in(&eve.email, PASSWORD).await;
    for path in
        ["/orders/analytics", "/notifications/webhooks", "/users/export", "/catalog/products?active=false"]
    {
        shop.get(path).bearer(&promoted.token).unrecorded().send().await.expect(200);
    }
    let own = shop.patch(&path).bearer(&promoted.token).json(json!({"role": "customer"})).send().await;
    own.expect_problem(409, "own_access");
    shop.patch(&path).bearer(&admin.token).json(json!({"role": "customer"})).send().await.expect(200);
    for path in ["/orders/analytics", "/inventory/export", "/notifications/webhooks"] {
        shop.until_refused(path, &promoted.token, EVERYWHERE).await;
    }
}

pub async fn an_account_that_is_switched_off_is_out(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    let path = format!("/users/{}", ada.id);
    shop.patch(&path).bearer(&admin.token).json(json!({"active": false})).send().await.expect(200);
    for path in GUARDED {
        shop.until_refused(path, &ada.token, EVERYWHERE).await;
    }
    let log_in = || shop.post("/auth/login").json(json!({"email": ada.email, "password": PASSWORD}));
    log_in().send().await.expect_problem(401, "invalid_credentials");
    shop.patch(&path).bearer(&admin.token).json(json!({"active": true})).send().await.expect(200);
    log_in().send().await.expect(200);
}

pub async fn a_profile_and_its_addresses_are_their_owners(shop: &Shop) {
    let (ada, eve) = (shop.newcomer("ada").await, shop.newcomer("eve").await);
    let me = || shop.patch("/users/me").bearer(&ada.token);
    me().json(json!({"name": "Ada Lovelace", "preferences": {"newsletter": false}})).send().await.expect(200);
    me().json(json!({"name": "x".repeat(201)})).send().await.expect(400);
    let named = shop.get("/users/me").bearer(&ada.token).send().await.expect(200);
    assert_eq!(named.json["name"], "Ada Lovelace");
    me().header("If-Match", "\"0\"")
        .json(json!({"name": null}))
        .send()
        .await
        .expect_problem(412, "precondition_failed");

    let address = json!({"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"});
    let add = || shop.post("/users/me/addresses").bearer(&ada.token).key("home").json(address.clone());
    let home = add().send().await.expect(201).json;
    let again = add().send().await.expect(201);
    assert_eq!((&again.json, again.header("idempotency-replayed")), (&home, "true"));
    shop.post("/users/me/addresses").bearer(&ada.token).json(json!(7)).send().await.expect(400);
    let path = path_of("/users/me/addresses", &home);
    let moved = json!({"name": "Ada", "line1": "1 rue de Rivoli", "city": "Paris", "country": "FR"});
    shop.put(&path).bearer(&eve.token).json(moved.clone()).send().await.expect_problem(404, "not_found");
    shop.put(&path).bearer(&ada.token).json(moved).send().await.expect(200);
    shop.delete(&path).bearer(&eve.token).send().await.expect_problem(404, "not_found");
    let book = shop.get("/users/me/addresses").bearer(&ada.token).send().await.expect(200).json;
    assert_eq!(book["items"][0]["address"]["city"], "Paris");
    shop.delete(&path).bearer(&ada.token).send().await.expect(204);
    shop.get("/users/me/addresses").bearer(&ada.token).send().await.expect(200);

    shop.get("/users").bearer(&ada.token).send().await.expect(200);
    let admin = shop.admin().await;
    let found =
        shop.get(&format!("/users?email={}", ada.email)).bearer(&admin.token).send().await.expect(200).json;
    assert_eq!(found["items"][0]["id"].as_str(), Some(ada.id.as_str()));
    shop.get(&format!("/users/{}", ada.id)).bearer(&admin.token).send().await.expect(200);
}
