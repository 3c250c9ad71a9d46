//! Fields that a client has no business with, put into the JSON body of every operation: they change nothing, or the answer is 400.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use deployments::{PASSWORD, Person, Shop, Topology, block_on, path_of, pence, report};
use serde_json::{Value, json};
use souk::wiring::MODULE_NAMES;

/// An id that nobody may choose.
const SENTINEL: &str = "01900000-dead-7000-8000-00000000beef";

const OTHER_PASSWORD: &str = "seven red boats at noon";

/// What is put in. A field that an operation documents is its own business, and left out there.
fn injected() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("role", json!("admin")),
        ("user_id", json!(SENTINEL)),
        ("price", json!({"amount": 66600066, "currency": "GBP"})),
        ("status", json!("delivered")),
        ("id", json!(SENTINEL)),
        ("active", json!(false)),
    ])
}

/// An operation with a body that it takes, by whom, and where to look afterwards.
struct Attempt {
    method: &'static str,
    /// As in the document.
    operation: &'static str,
    path: String,
    by: Option<String>,
    body: Value,
    status: u16,
}

pub fn story(topology: Topology) -> Result<(), String> {
    let running = topology.start()?;
    let shop = Shop::at(&running.address, "mass_assignment");
    block_on(async {
        let bodies = documented(&shop).await;
        let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
        let attempts = attempts(&shop, &admin, &ada).await;
        let listed: BTreeSet<String> =
            attempts.iter().map(|one| format!("{} {}", one.method, one.operation)).collect();
        let there: BTreeSet<String> = bodies.keys().cloned().collect();
        let unlisted: Vec<_> = there.symmetric_difference(&listed).collect();
        assert!(unlisted.is_empty(), "bodies without an attempt, or attempts without a body: {unlisted:#?}");
        for attempt in &attempts {
            try_it(&shop, attempt, &bodies[&format!("{} {}", attempt.method, attempt.operation)]).await;
        }
        nothing_came_of_it(&shop, &admin, &ada).await;
        report(&format!(
            "{} bodies x {} fields x {}: without effect",
            attempts.len(),
            injected().len(),
            topology.name()
        ));
    });
    running.assert_healthy()?;
    running.stop()
}

/// Every operation that takes JSON, with the names of its own fields.
async fn documented(shop: &Shop) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for module in MODULE_NAMES {
        let path = format!("/{module}/openapi.json");
        let document = shop.get(&path).unrecorded().send().await.expect(200).json;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                if !schema.is_null() {
                    let mut fields = BTreeSet::new();
                    collect_fields(schema, &document, &mut fields);
                    found.insert(format!("{} {path}", method.to_uppercase()), fields);
                }
            }
        }
    }
    found
}

/// The properties of a schema at its top, through references and alternatives.
fn collect_fields(schema: &Value, document: &Value, fields: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        collect_fields(document.pointer(reference.trim_start_matches('#')).unwrap(), document, fields);
    }
    for name in ["allOf", "oneOf", "anyOf"] {
        for part in schema[name].as_array().into_iter().flatten() {
            collect_fields(part, document, fields);
        }
    }
    fields.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
}

async fn try_it(shop: &Shop, attempt: &Attempt, own: &BTreeSet<String>) {
    let Attempt { method, operation, path, by, body, status } = attempt;
    let mut body = body.clone();
    for (name, value) in injected() {
        if !own.contains(name) {
            body[name] = value;
        }
    }
    let key = testkit::fresh_id().to_string();
    let call = shop.call(method, path).key(&key).json(body).unrecorded();
    let call = match by {
        Some(token) => call.bearer(token),
        None => call,
    };
    let answer = call.send().await;
    assert!(answer.status == *status || answer.status == 400, "{method} {operation}: {}", answer.text);
    let told = answer.json.as_object().cloned().unwrap_or_default();
    assert!(!answer.text.contains(SENTINEL), "{method} {operation} took an id: {}", answer.text);
    assert!(!answer.text.contains("66600066"), "{method} {operation} took a price: {}", answer.text);
    if answer.status < 300 {
        for (name, value) in [("status", json!("delivered")), ("active", json!(false))] {
            assert!(
                own.contains(name) || told.get(name) != Some(&value),
                "{method} {operation} took {name}: {}",
                answer.text
            );
        }
        let role = told.get("user").map_or(told.get("role"), |user| user.get("role"));
        let is_the_admins = *operation == "/auth/login" || *operation == "/users/login";
        assert!(
            own.contains("role") || is_the_admins || role != Some(&json!("admin")),
            "{method} {operation} took a role: {}",
            answer.text
        );
    }
}

async fn attempts(shop: &Shop, admin: &Person, ada: &Person) -> Vec<Attempt> {
    let sku = "MASS-MUG";
    let product = shop.offer(admin, sku, 850, 500).await;
    let held = shop.order(ada, "held", sku, 2).send().await.expect(201).json;
    let method = json!({"type": "card", "token": "tok_ok"});
    let hold = |order: &Value, key: &str| {
        let body = json!({"order_id": order["id"], "method": method, "capture": false});
        shop.post("/payments").bearer(&ada.token).key(key).json(body).unrecorded().send()
    };
    let payment = hold(&held, "hold").await.expect(201).json;
    let (paid, second) = (
        shop.order(ada, "paid", sku, 1).send().await.expect(201).json,
        shop.order(ada, "second", sku, 1).send().await.expect(201).json,
    );
    let address = json!({"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"});
    let home = shop.post("/users/me/addresses").bearer(&ada.token).key("home").json(address.clone());
    let home = home.unrecorded().send().await.expect(201).json;
    let guest = shop
        .put(&format!("/cart/items/{sku}"))
        .json(json!({"quantity": 1}))
        .unrecorded()
        .send()
        .await
        .expect(200);
    let guest_cart = guest.header("x-cart-token").to_owned();
    let login = json!({"email": ada.email, "password": PASSWORD});
    let spare = shop.log_in(&ada.email, PASSWORD).await;
    let carol = shop.newcomer("carol").await;
    let newcomer = |name: &str| json!({"email": shop.email(name), "password": PASSWORD});
    let goods = json!({"sku": "MASS-CUP", "name": "A cup", "price": pence(900), "category": "cups"});
    let mut attempts = Vec::new();
    let mut add =
        |method, operation: &'static str, path: String, by: Option<&Person>, body: Value, status| {
            let path = if path.is_empty() { operation.to_owned() } else { path };
            attempts.push(Attempt {
                method,
                operation,
                path,
                by: by.map(|person| person.token.clone()),
                body,
                status,
            });
        };
    let none = String::new;
    let of = |list: &str, thing: &Value, end: &str| format!("{}{end}", path_of(list, thing));
    add("POST", "/auth/register", none(), None, newcomer("one"), 201);
    add("POST", "/users/register", none(), None, newcomer("two"), 201);
    add("POST", "/auth/login", none(), None, login.clone(), 200);
    add("POST", "/users/login", none(), None, login, 200);
    add("POST", "/auth/refresh", none(), None, json!({"refresh_token": spare.refresh_token}), 200);
    add("POST", "/auth/password/forgot", none(), None, json!({"email": carol.email}), 202);
    let unknown = "mTtWm4mTnkPZ0Zq0Hf9zUq0w6rjRr1v4e0bY8m2xqkE";
    add(
        "POST",
        "/auth/password/reset",
        none(),
        None,
        json!({"token": unknown, "new_password": OTHER_PASSWORD}),
        400,
    );
    add("POST", "/auth/email/verify", none(), None, json!({"token": unknown}), 400);
    add("POST", "/auth/totp", none(), Some(&carol), json!({"password": PASSWORD}), 200);
    add("POST", "/auth/totp/confirm", none(), Some(&carol), json!({"code": "000000"}), 400);
    add("DELETE", "/auth/totp", none(), Some(&carol), json!({"password": PASSWORD, "code": "000000"}), 409);
    let change = json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD});
    add("POST", "/auth/password/change", none(), Some(&carol), change, 200);
    add("POST", "/auth/api-keys", none(), Some(ada), json!({"name": "x", "scopes": ["cart:read"]}), 201);
    add("PATCH", "/users/me", none(), Some(ada), json!({"name": "Ada"}), 200);
    add("POST", "/users/me/addresses", none(), Some(ada), address.clone(), 201);
    add("PUT", "/users/me/addresses/{id}", of("/users/me/addresses", &home, ""), Some(ada), address, 200);
    add("PATCH", "/users/{id}", format!("/users/{}", ada.id), Some(admin), json!({"active": true}), 200);
    add("POST", "/cart/merge", none(), Some(ada), json!({"cart_token": guest_cart}), 200);
    add("PUT", "/cart/items/{sku}", format!("/cart/items/{sku}"), Some(ada), json!({"quantity": 1}), 200);
    let to = json!({"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"});
    add("POST", "/cart/checkout", none(), Some(ada), json!({"shipping_address": to}), 201);
    add("POST", "/catalog/products", none(), Some(admin), goods.clone(), 201);
    add(
        "PUT",
        "/catalog/products/{id}",
        of("/catalog/products", &product, ""),
        Some(admin),
        json!({"sku": sku, "name": "A mug", "price": pence(850), "category": "mugs"}),
        200,
    );
    add(
        "PATCH",
        "/catalog/products/{id}",
        of("/catalog/products", &product, ""),
        Some(admin),
        json!({"name": "Mug"}),
        200,
    );
    add(
        "PATCH",
        "/catalog/products/{id}/stock",
        of("/catalog/products", &product, "/stock"),
        Some(admin),
        json!({"change": 1}),
        200,
    );
    add(
        "PATCH",
        "/inventory/{sku}",
        format!("/inventory/{sku}"),
        Some(admin),
        json!({"change": 1, "reason": "found"}),
        200,
    );
    add("PUT", "/inventory/{sku}", format!("/inventory/{sku}"), Some(admin), json!({"on_hand": 500}), 200);
    add(
        "POST",
        "/notifications/webhooks",
        none(),
        Some(admin),
        json!({"url": "https://example.com/mass", "events": ["order.created"]}),
        201,
    );
    add("POST", "/orders", none(), Some(ada), json!({"items": [{"sku": sku, "quantity": 1}]}), 201);
    add(
        "PATCH",
        "/orders/{id}/status",
        of("/orders", &second, "/status"),
        Some(admin),
        json!({"status": "confirmed"}),
        200,
    );
    add("POST", "/payments", none(), Some(ada), json!({"order_id": paid["id"], "method": method}), 201);
    add("POST", "/payments/{id}/capture", of("/payments", &payment, "/capture"), Some(admin), json!({}), 200);
    add(
        "POST",
        "/payments/{id}/refund",
        of("/payments", &payment, "/refund"),
        Some(admin),
        json!({"amount": pence(1)}),
        200,
    );
    // Nobody signed it.
    add(
        "POST",
        "/payments/webhooks/{provider}",
        "/payments/webhooks/sandbox".to_owned(),
        None,
        json!({"type": "payment.captured"}),
        401,
    );
    attempts
}

/// What the answers may not have told.
async fn nothing_came_of_it(shop: &Shop, admin: &Person, ada: &Person) {
    for name in ["one", "two"] {
        let person = shop.log_in(&shop.email(name), PASSWORD).await;
        let me = shop.get("/users/me").bearer(&person.token).unrecorded().send().await.expect(200).json;
        assert_eq!(me["role"], "customer");
    }
    let me = shop.log_in(&ada.email, PASSWORD).await;
    let me = shop.get("/users/me").bearer(&me.token).unrecorded().send().await.expect(200).json;
    assert_eq!((&me["role"], &me["id"]), (&json!("customer"), &json!(ada.id)));
    let path = format!("/users/{SENTINEL}");
    shop.get(&path).bearer(&admin.token).unrecorded().send().await.expect_problem(404, "not_found");
    let theirs = format!("/orders/user/{SENTINEL}");
    let theirs = shop.get(&theirs).bearer(&admin.token).unrecorded().send().await;
    assert!(theirs.status == 404 || theirs.json["items"] == json!([]), "{}", theirs.text);
    for order in shop.all("/orders", admin).await {
        assert_ne!(order["status"], "delivered", "{order}");
    }
    let mug = shop.get("/catalog/products/MASS-MUG").unrecorded().send().await.expect(200).json;
    assert_eq!((&mug["price"], &mug["active"]), (&pence(850), &json!(true)));
}
