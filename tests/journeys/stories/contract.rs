//! What every path has in common.

use serde_json::json;
use souk::wiring::MODULE_NAMES;

use deployments::Shop;

pub async fn every_error_is_a_problem(shop: &Shop) {
    let ada = shop.newcomer("ada").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let traced = shop.get("/orders/nowhere/at/all").header("traceparent", &parent).send().await;
    let traced = traced.expect_problem(404, "not_found");
    assert_eq!((traced.json["trace_id"].as_str(), traced.header("trace-id")), (Some(trace), trace));
    assert_eq!(traced.json["type"], "/docs/errors#not_found");
    for path in ["/nowhere", "/ordersx", "/productsx", "/internal/orders/place"] {
        shop.get(path).send().await.expect_problem(404, "not_found");
    }
    for (method, path) in [
        ("PUT", "/orders"),
        ("DELETE", "/cart/checkout"),
        ("POST", "/catalog/products/X"),
        ("PATCH", "/auth/login"),
    ] {
        let wrong = shop.call(method, path).send().await.expect_problem(405, "method_not_allowed");
        assert!(!wrong.header("allow").is_empty(), "{method} {path}");
    }
    let order = || shop.post("/orders").bearer(&ada.token).key("k");
    order().body("text/plain", "x").send().await.expect_problem(415, "unsupported_media_type");
    order().body("application/json", "{").send().await.expect_problem(400, "malformed_json");
    let deep = format!("{{\"items\":{}{}}}", "[".repeat(200), "]".repeat(200));
    order().body("application/json", deep).send().await.expect_problem(400, "malformed_json");
    let large = format!("{{\"items\":[],\"note\":\"{}\"}}", "x".repeat(300_000));
    order().body("application/json", large).send().await.expect_problem(413, "payload_too_large");
    order().key("second").json(json!({})).send().await.expect_problem(400, "invalid_header");
    for path in ["/orders", "/payments", "/notifications", "/inventory", "/catalog/products"] {
        shop.get(&format!("{path}?colour=red"))
            .bearer(&ada.token)
            .send()
            .await
            .expect_problem(400, "invalid_query");
    }
    for authorization in ["Bearer x.y.z", "Basic eDp5", "Bearer"] {
        let call = shop.get("/orders").header("Authorization", authorization).send().await;
        call.expect_problem(401, "unauthenticated");
    }
}

pub async fn strangers_and_customers_are_kept_from_what_is_not_theirs(shop: &Shop) {
    let ada = shop.newcomer("ada").await;
    for (method, path) in [
        ("GET", "/users/me"),
        ("GET", "/users"),
        ("GET", "/users/me/addresses"),
        ("GET", "/inventory"),
        ("POST", "/cart/checkout"),
        ("POST", "/cart/merge"),
        ("GET", "/orders"),
        ("POST", "/orders"),
        ("GET", "/payments"),
        ("POST", "/payments"),
        ("GET", "/notifications"),
        ("POST", "/auth/logout"),
        ("POST", "/auth/verify"),
    ] {
        let call = shop.call(method, path).key("k");
        let call = if method == "GET" { call } else { call.json(json!({})) };
        call.send().await.expect_problem(401, "unauthenticated");
    }
    let id = "01900000-0000-7000-8000-000000000000";
    for (method, path) in [
        ("PATCH", format!("/users/{id}")),
        ("GET", "/users/export".to_owned()),
        ("POST", "/catalog/products".to_owned()),
        ("PUT", format!("/catalog/products/{id}")),
        ("PATCH", format!("/catalog/products/{id}")),
        ("DELETE", format!("/catalog/products/{id}")),
        ("PATCH", format!("/catalog/products/{id}/stock")),
        ("PUT", "/inventory/MUG-BLUE".to_owned()),
        ("PATCH", "/inventory/MUG-BLUE".to_owned()),
        ("GET", "/inventory/MUG-BLUE/movements".to_owned()),
        ("GET", "/orders/analytics".to_owned()),
        ("GET", "/orders/export".to_owned()),
        ("POST", format!("/payments/{id}/capture")),
        ("POST", format!("/payments/{id}/void")),
        ("POST", format!("/payments/{id}/refund")),
        ("GET", "/notifications/webhooks".to_owned()),
        ("DELETE", format!("/notifications/webhooks/{id}")),
        ("GET", format!("/notifications/webhooks/{id}/deliveries")),
    ] {
        let call = |token: Option<&str>| {
            let call = shop.call(method, &path);
            let call = token.map_or(shop.call(method, &path), |token| call.bearer(token));
            match method {
                "GET" | "DELETE" => call,
                _ => call.key("k").json(json!({})),
            }
        };
        call(None).send().await.expect_problem(401, "unauthenticated");
        call(Some(&ada.token)).send().await.expect_problem(403, "forbidden");
    }
}

pub async fn a_path_means_the_same_with_a_slash_and_under_its_alias(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "SLASH-MUG", 850, 5).await;
    let category = shop.category().replace(' ', "%20");
    let canonical = shop.get(&format!("/catalog/products?category={category}")).send().await.expect(200);
    for alias in ["/catalog/products/", "/products", "/products/"] {
        let listed = shop.get(&format!("{alias}?category={category}")).send().await.expect(200);
        assert_eq!(listed.json, canonical.json, "{alias}");
    }
    shop.get("/products/SLASH-MUG/").send().await.expect(200);
    for path in ["/pay", "/pay/", "/payments/", "/orders/", "/cart/", "/users/me/"] {
        shop.get(path).bearer(&ada.token).send().await.expect(200);
    }
    // A POST with a slash at its end stays a POST.
    let log_in = json!({"email": ada.email, "password": deployments::PASSWORD});
    for path in ["/auth/login/", "/users/login/", "/users/login"] {
        shop.post(path).json(log_in.clone()).send().await.expect(200);
    }
    let body = json!({"items": [{"sku": "SLASH-MUG", "quantity": 1}]});
    let order =
        shop.post("/orders/").bearer(&ada.token).key("slash").json(body.clone()).send().await.expect(201);
    let replay = shop.post("/orders").bearer(&ada.token).key("slash").json(body).send().await.expect(201);
    assert_eq!((&replay.json, replay.header("idempotency-replayed")), (&order.json, "true"));
    shop.pay(&ada, "slash", &order.json, "tok_ok").send().await.expect(201);
}

pub async fn a_head_is_answered_as_a_get_without_its_body(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "HEAD-MUG", 850, 5).await;
    for path in [
        "/products/HEAD-MUG",
        "/catalog/products?limit=1",
        "/orders",
        "/cart",
        "/docs",
        "/orders/openapi.json",
    ] {
        let head = shop.call("HEAD", path).bearer(&ada.token).send().await.expect(200);
        assert!(head.text.is_empty(), "{path}");
    }
    shop.call("HEAD", "/orders").send().await.expect(401);
    shop.call("HEAD", "/products/HEAD-NONE").send().await.expect(404);
}

pub async fn every_module_documents_itself(shop: &Shop) {
    let home = shop.get("/").send().await.expect(303);
    assert!(home.header("location").ends_with("/docs"), "{}", home.header("location"));
    let index = shop.get("/docs").send().await.expect(200).text;
    let errors = shop.get("/docs/errors").send().await.expect(200).text;
    for code in ["insufficient_stock", "not_found", "card_declined", "invalid_credentials", "sku_taken"] {
        assert!(errors.contains(&format!("id=\"{code}\"")), "{code}");
    }
    for module in MODULE_NAMES {
        assert!(index.contains(&format!("href=\"/{module}/docs\"")), "{index}");
        shop.get(&format!("/{module}/docs")).send().await.expect(200);
        let page = shop.get(&format!("/{module}/docs/")).send().await.expect(200).text;
        let files: Vec<&str> =
            page.split('"').filter(|text| text.starts_with(&format!("/{module}/docs/"))).collect();
        assert!(files.len() >= 4 && !page.contains("https://") && !page.contains("\"./"), "{page}");
        for file in files {
            shop.get(file).unrecorded().send().await.expect(200);
        }
        let document = shop.get(&format!("/{module}/openapi.json")).send().await.expect(200).json;
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    }
}

pub async fn the_shop_and_every_module_tell_their_health(shop: &Shop) {
    let whole = shop.get("/health").send().await.expect(200);
    assert_eq!(whole.json, json!({"status": "healthy", "service": "souk"}));
    for module in MODULE_NAMES {
        for path in ["health", "healthz", "health/"] {
            let answer = shop.get(&format!("/{module}/{path}")).send().await.expect(200);
            assert_eq!(answer.json, json!({"status": "healthy", "service": module}));
        }
    }
    let wrong = shop.delete("/orders/health").send().await;
    wrong.expect_problem(405, "method_not_allowed");
}
