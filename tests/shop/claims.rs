//! What the contract with clients says, claim by claim, where no other story tells it. `docs/CLAIMS.md` names the test of
//! every claim.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use platform::bus::LocalBus;
use platform::db::{Db, DbOptions, Location};
use platform::relay::{Relay, RelaySettings};
use platform::system::System;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use testkit::{Engine, Response, fresh_id};

use crate::support::{Person, Shop};

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    All,
    Bearer,
    Admin,
}
use Who::{Admin, All, Bearer};

/// Every operation of the contract with who may call it. `Bearer` sees what is their own.
const CONTRACT: &[(&str, &str, Who)] = &[
    ("POST", "/auth/register", All),
    ("POST", "/auth/login", All),
    ("POST", "/auth/refresh", All),
    ("POST", "/auth/logout", Bearer),
    ("POST", "/auth/verify", Bearer),
    ("POST", "/auth/password/change", Bearer),
    ("POST", "/auth/password/forgot", All),
    ("POST", "/auth/password/reset", All),
    ("POST", "/auth/email/verify", All),
    ("POST", "/auth/email/verification", Bearer),
    ("GET", "/auth/account", Bearer),
    ("GET", "/auth/audit", Admin),
    ("POST", "/auth/totp", Bearer),
    ("POST", "/auth/totp/confirm", Bearer),
    ("DELETE", "/auth/totp", Bearer),
    ("GET", "/auth/sessions", Bearer),
    ("DELETE", "/auth/sessions/{id}", Bearer),
    ("GET", "/auth/.well-known/jwks.json", All),
    ("GET", "/auth/api-keys", Bearer),
    ("POST", "/auth/api-keys", Bearer),
    ("DELETE", "/auth/api-keys/{id}", Bearer),
    ("POST", "/users/register", All),
    ("POST", "/users/login", All),
    ("GET", "/users/me", Bearer),
    ("PATCH", "/users/me", Bearer),
    ("GET", "/users/me/addresses", Bearer),
    ("POST", "/users/me/addresses", Bearer),
    ("PUT", "/users/me/addresses/{id}", Bearer),
    ("DELETE", "/users/me/addresses/{id}", Bearer),
    ("GET", "/users/{id}", Bearer),
    ("GET", "/users", Bearer),
    ("PATCH", "/users/{id}", Admin),
    ("POST", "/users/import", Admin),
    ("GET", "/users/export", Admin),
    ("GET", "/catalog/products", All),
    ("GET", "/catalog/products/{id}", All),
    ("POST", "/catalog/products", Admin),
    ("PUT", "/catalog/products/{id}", Admin),
    ("PATCH", "/catalog/products/{id}", Admin),
    ("DELETE", "/catalog/products/{id}", Admin),
    ("PATCH", "/catalog/products/{id}/stock", Admin),
    ("GET", "/catalog/categories", All),
    ("POST", "/catalog/import", Admin),
    ("GET", "/catalog/export", Admin),
    ("GET", "/inventory", Bearer),
    ("GET", "/inventory/{sku}", Bearer),
    ("PUT", "/inventory/{sku}", Admin),
    ("PATCH", "/inventory/{sku}", Admin),
    ("GET", "/inventory/{sku}/movements", Admin),
    ("POST", "/inventory/import", Admin),
    ("GET", "/inventory/export", Admin),
    ("GET", "/cart", All),
    ("PUT", "/cart/items/{sku}", All),
    ("DELETE", "/cart/items/{sku}", All),
    ("DELETE", "/cart", All),
    ("POST", "/cart/checkout", Bearer),
    ("POST", "/cart/merge", Bearer),
    ("POST", "/orders", Bearer),
    ("GET", "/orders", Bearer),
    ("GET", "/orders/{id}", Bearer),
    ("GET", "/orders/user/{user_id}", Bearer),
    ("PATCH", "/orders/{id}/status", Bearer),
    ("POST", "/orders/{id}/cancel", Bearer),
    ("GET", "/orders/{id}/timeline", Bearer),
    ("GET", "/orders/analytics", Admin),
    ("POST", "/orders/import", Admin),
    ("GET", "/orders/export", Admin),
    ("POST", "/payments", Bearer),
    ("GET", "/payments", Bearer),
    ("GET", "/payments/{id}", Bearer),
    ("POST", "/payments/{id}/capture", Admin),
    ("POST", "/payments/{id}/void", Admin),
    ("POST", "/payments/{id}/refund", Admin),
    ("POST", "/payments/webhooks/{provider}", All),
    ("GET", "/notifications", Bearer),
    ("GET", "/notifications/webhooks", Admin),
    ("POST", "/notifications/webhooks", Admin),
    ("DELETE", "/notifications/webhooks/{id}", Admin),
    ("GET", "/notifications/webhooks/{id}/deliveries", Admin),
    ("POST", "/notifications/webhooks/{id}/deliveries/{delivery_id}/replay", Admin),
];

/// Fails unless an object has these fields.
#[track_caller]
fn has_fields(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "no {field}: {value}");
    }
}

fn skus(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().filter_map(|item| item["sku"].as_str()).collect()
}

fn pence(amount: i64) -> Value {
    json!({"amount": amount, "currency": "GBP"})
}

/// A module's database of a running shop, for what no client can do.
async fn database(shop: &Shop, module: &'static str) -> Db {
    let location = match shop.settings.database.url.as_str() {
        "" => Location::Sqlite { folder: shop.settings.data.dir.clone() },
        url => Location::Postgres { url: url.to_owned() },
    };
    Db::open(module, &DbOptions::new(location), System::real()).await.unwrap()
}

async fn execute(shop: &Shop, module: &'static str, sql: &str) {
    let db = database(shop, module).await;
    db.writer().execute_unprepared(sql).await.unwrap();
    db.close().await.unwrap();
}

/// The answer to an administrator's request about a payment.
async fn operate(shop: &Shop, admin: &Person, payment: &str, what: &str, body: Value) -> Response {
    let key = fresh_id().to_string();
    shop.post(&format!("/payments/{payment}/{what}")).bearer(&admin.token).key(&key).json(body).send().await
}

// Conventions.
testkit::on_every_database! {
    async fn every_operation_of_the_contract_is_there_for_those_it_is_for(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let mut documented = BTreeSet::new();
        for module in souk::wiring::MODULE_NAMES {
            let document = shop.get(&format!("/{module}/openapi.json")).send().await.expect(200).json;
            for (path, item) in document["paths"].as_object().unwrap() {
                documented.extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
            }
        }
        for (method, path, who) in CONTRACT {
            assert!(documented.contains(&format!("{method} {path}")), "{method} {path} is not in the documents");
            let id = fresh_id().to_string();
            let path = ["{id}", "{user_id}", "{delivery_id}"].iter().fold((*path).to_owned(), |path, name| path.replace(name, &id));
            let path = path.replace("{sku}", "MUG-BLUE").replace("{provider}", "sandbox");
            let call = || match *method {
                "GET" | "DELETE" => shop.call(method, &path),
                _ => shop.call(method, &path).key(&id).json(json!({})),
            };
            let nobody = call().send().await;
            assert_ne!(nobody.code(), "method_not_allowed", "{method} {path}");
            assert_eq!(nobody.code() == "unauthenticated", *who != All, "{method} {path}: {}", nobody.text);
            if *who != All {
                nobody.expect_problem(401, "unauthenticated");
                // A logout would end the story.
                if path != "/auth/logout" {
                    let customer = call().bearer(&ada.token).send().await;
                    assert_eq!(customer.status == 403, *who == Admin, "{method} {path}: {}", customer.text);
                }
            }
        }
    }

    async fn every_list_has_one_shape_and_the_same_bounds(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.admin().await;
        let hook = json!({"url": "https://example.com/hook", "events": ["order.created"]});
        let hook = shop.post("/notifications/webhooks").bearer(&admin.token).json(hook).send().await.expect(201).json;
        let lists = [
            "/catalog/products".to_owned(), "/products".to_owned(), "/inventory".to_owned(), "/inventory/MUG-BLUE/movements".to_owned(),
            "/auth/audit".to_owned(), "/orders".to_owned(), format!("/orders/user/{}", admin.id), "/payments".to_owned(), "/pay".to_owned(), "/users".to_owned(),
            "/auth/sessions".to_owned(), "/users/me/addresses".to_owned(), "/auth/api-keys".to_owned(), "/notifications".to_owned(), "/notifications/webhooks".to_owned(),
            format!("/notifications/webhooks/{}/deliveries", hook["id"].as_str().unwrap()),
        ];
        for list in &lists {
            let get = |query: &str| shop.get(&format!("{list}{query}")).bearer(&admin.token).send();
            let page = get("").await.expect(200).json;
            assert!(page["items"].is_array() && page.get("next_cursor").is_some(), "{list}: {page}");
            assert!(page["items"].as_array().unwrap().len() <= 20, "{list}: 20 unless told");
            assert_eq!(get("?limit=100").await.expect(200).json["next_cursor"], Value::Null, "{list}");
            for bad in ["?limit=0", "?limit=101", "?limit=x", "?cursor=nonsense", "?colour=red"] {
                get(bad).await.expect_problem(400, "invalid_query");
            }
        }
        // The demo shop has 38 goods: the first page is full, and its cursor leads to the rest.
        for list in ["/catalog/products", "/inventory"] {
            let first = shop.get(list).bearer(&admin.token).send().await.expect(200).json;
            let next = format!("{list}?cursor={}", first["next_cursor"].as_str().unwrap());
            let second = shop.get(&next).bearer(&admin.token).send().await.expect(200).json;
            assert_eq!((skus(&first).len(), skus(&second).len(), &second["next_cursor"]), (20, 18, &Value::Null), "{list}");
        }
    }

    async fn ids_are_of_version_7_and_times_are_in_utc(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let order = shop.order(&ada, "MUG-BLUE", 1).await.expect(201).json;
        let id = order["id"].as_str().unwrap();
        let payment = shop.pay(&ada, id, "tok_ok").await.expect(201).json;
        let cart = shop.call("PUT", "/cart/items/MUG-BLUE").bearer(&ada.token).json(json!({"quantity": 1})).send().await.expect(200).json;
        let product = shop.get("/products/MUG-BLUE").send().await.expect(200).json;
        let me = shop.get("/users/me").bearer(&ada.token).send().await.expect(200).json;
        let mails = shop.until("/notifications", &ada, |page| page["items"].as_array().is_some_and(|items| !items.is_empty())).await;
        let timeline = shop.get(&format!("/orders/{id}/timeline")).bearer(&ada.token).send().await.expect(200).json;
        let level = shop.get("/inventory/MUG-BLUE").bearer(&ada.token).send().await.expect(200).json;
        let verified = shop.post("/auth/verify").bearer(&ada.token).send().await.expect(200).json;
        for thing in [&order, &payment, &cart, &product, &me, &mails["items"][0]] {
            let id = thing["id"].as_str().unwrap();
            assert_eq!((id.len(), id.chars().nth(14)), (36, Some('7')), "{thing}");
        }
        let times = [
            &order["created_at"], &order["updated_at"], &payment["created_at"], &product["created_at"], &product["updated_at"],
            &me["created_at"], &mails["items"][0]["created_at"], &timeline["events"][0]["at"], &level["updated_at"], &verified["expires_at"],
        ];
        for time in times {
            let text = time.as_str().unwrap();
            assert!(text.ends_with('Z') && text.as_bytes()[10] == b'T', "{text}");
            kernel::Timestamp::parse(text).unwrap();
        }
        for name in order.as_object().unwrap().keys().chain(payment.as_object().unwrap().keys()) {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name} is not snake_case");
        }
    }

    async fn every_refusal_has_one_shape_and_tells_nothing_of_the_inside(engine: Engine) {
        let shop = Shop::open_with(engine, |settings| settings.modules.auth.max_failures_per_account = 1).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let login = || shop.post("/auth/login").json(json!({"email": "nobody@example.com", "password": "wrong"})).send();
        let order = || shop.post("/orders").bearer(&ada.token).key("k");
        let refusals = [
            (shop.get("/orders?limit=0").bearer(&ada.token).send().await, 400),
            (shop.get("/orders").send().await, 401),
            (login().await, 401),
            (shop.get("/orders/analytics").bearer(&ada.token).send().await, 403),
            (shop.get("/products/NOTHING").send().await, 404),
            (shop.call("PATCH", "/orders").send().await, 405),
            (shop.post("/auth/register").json(json!({"email": "demo@test.com", "password": "correct horse"})).send().await, 409),
            (shop.call("DELETE", "/products/MUG-BLUE").bearer(&admin.token).header("If-Match", "\"0\"").send().await, 412),
            (order().body("application/json", "x".repeat(300_000)).send().await, 413),
            (order().body("text/plain", "x").send().await, 415),
            (order().json(json!({"items": []})).send().await, 422),
            (login().await, 429),
        ];
        execute(&shop, "orders", "DROP TABLE order_lines").await;
        let broken = order().json(json!({"items": [{"sku": "MUG-BLUE", "quantity": 1}]})).send().await;
        for (refusal, status) in refusals.into_iter().chain([(broken, 500)]) {
            assert_eq!(refusal.status, status, "{}", refusal.text);
            let code = refusal.code().to_owned();
            let refusal = refusal.expect_problem(status, &code);
            assert_eq!(refusal.json["status"], status);
            assert_eq!(refusal.json["type"], format!("/docs/errors#{code}"));
            assert_eq!(refusal.json["trace_id"], refusal.header("trace-id"));
            for field in ["title", "detail"] {
                assert!(refusal.json[field].as_str().is_some_and(|text| !text.is_empty()), "{}", refusal.text);
            }
            for inner in ["order_lines", "SELECT", "INSERT", "no such table", "relation", "sqlx", "sea_orm", ".rs", "panicked"] {
                assert!(!refusal.text.contains(inner), "{inner}: {}", refusal.text);
            }
        }
    }

    async fn a_request_that_does_not_arrive_is_given_up_with_408(engine: Engine) {
        let shop = Shop::open_with(engine, |settings| settings.server.request_head_timeout_ms = 2_000).await;
        let address = shop.address.trim_start_matches("http://").to_owned();
        let answer = actix_web::rt::task::spawn_blocking(move || {
            let mut connection = std::net::TcpStream::connect(address).unwrap();
            connection.write_all(b"GET /livez HTTP/1.1\r\nHost: shop\r\n").unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).unwrap();
            answer
        }).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        shop.get("/livez").send().await.expect(200);
    }

    async fn a_later_request_that_does_not_arrive_is_given_up_too(engine: Engine) {
        let shop = Shop::open_with(engine, |settings| {
            settings.server.request_head_timeout_ms = 1_000;
            settings.server.keep_alive_s = 1;
        }).await;
        let address = shop.address.trim_start_matches("http://").to_owned();
        let ended = actix_web::rt::task::spawn_blocking(move || {
            let mut connection = std::net::TcpStream::connect(address).unwrap();
            connection.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
            connection.write_all(b"GET /livez HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap();
            let mut answer = [0; 4_096];
            let read = connection.read(&mut answer).unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200 "));
            connection.write_all(b"GET /livez HTTP/1.1\r\nHost: shop\r\n").unwrap();
            connection.read(&mut answer)
        }).await.unwrap();
        assert!(matches!(ended, Ok(0)), "{ended:?}");
        shop.get("/livez").send().await.expect(200);
    }

    async fn a_key_has_1_to_255_characters_and_is_needed_where_goods_or_money_move(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let order = |key: &str| shop.post("/orders").bearer(&ada.token).key(key).json(json!({"items": [{"sku": "MUG-BLUE", "quantity": 1}]})).send();
        order("").await.expect_problem(400, "invalid_header");
        order(&"k".repeat(256)).await.expect_problem(400, "invalid_header");
        order("k").await.expect(201);
        let order = order(&"k".repeat(255)).await.expect(201).json;
        let payment = shop.pay(&ada, order["id"].as_str().unwrap(), "tok_ok").await.expect(201).json;
        let of_payment = |what: &str| format!("/payments/{}/{what}", payment["id"].as_str().unwrap());
        let address = json!({"shipping_address": "12 St James's Square, London"});
        let paying = json!({"order_id": order["id"], "method": {"type": "card", "token": "tok_ok"}});
        for (person, path, body) in [
            (&ada, "/orders".to_owned(), json!({"items": [{"sku": "MUG-BLUE", "quantity": 1}]})),
            (&ada, "/cart/checkout".to_owned(), address),
            (&ada, "/payments".to_owned(), paying.clone()),
            (&ada, "/pay".to_owned(), paying),
            (&admin, of_payment("capture"), json!({})),
            (&admin, of_payment("void"), json!({})),
            (&admin, of_payment("refund"), json!({})),
        ] {
            shop.post(&path).bearer(&person.token).json(body).send().await.expect_problem(400, "idempotency_key_required");
        }
    }

    async fn a_key_is_of_one_principal_and_one_route_and_lives_a_day(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, bob) = (shop.newcomer().await, shop.newcomer().await);
        let order = |buyer: &Person| shop.post("/orders").bearer(&buyer.token).key("one key").json(json!({"items": [{"sku": "MUG-BLUE", "quantity": 1}]})).send();
        let first = order(&ada).await.expect(201);
        assert_ne!(order(&bob).await.expect(201).json["id"], first.json["id"], "another principal");
        let paying = json!({"order_id": first.json["id"], "method": {"type": "card", "token": "tok_ok"}});
        let pay = || shop.post("/payments").bearer(&ada.token).key("one key").json(paying.clone()).send();
        assert_eq!(pay().await.expect(201).header("idempotency-replayed"), "", "another route");
        assert_eq!(pay().await.expect(201).header("idempotency-replayed"), "true");
        // A day and an hour go by, for one of them ten days; the shop forgets what is old.
        execute(&shop, "orders", "UPDATE idempotency_keys SET created_at_ms = created_at_ms - 90000000").await;
        let of_bob = format!("UPDATE idempotency_keys SET created_at_ms = created_at_ms - 864000000 WHERE principal LIKE '%{}%'", bob.id);
        execute(&shop, "orders", &of_bob).await;
        let db = database(&shop, "orders").await;
        let bus = Arc::new(LocalBus::new(Vec::new()));
        Relay::new(db.clone(), bus, RelaySettings::default()).purge().await.unwrap();
        db.close().await.unwrap();
        let replay = order(&ada).await.expect(201);
        assert_eq!((&replay.json, replay.header("idempotency-replayed")), (&first.json, "true"));
        assert_eq!(order(&bob).await.expect(201).header("idempotency-replayed"), "", "what is old was really forgotten");
    }

    async fn a_key_whose_request_is_still_running_is_answered_409(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let order = || shop.post("/orders").bearer(&ada.token).key("k").json(json!({"items": [{"sku": "MUG-BLUE", "quantity": 1}]})).send();
        order().await.expect(201);
        // As if the first request had not ended: its lease runs for years.
        execute(&shop, "orders", "UPDATE idempotency_keys SET state = 'open', outcome = NULL, lease_until_ms = 9000000000000").await;
        let waiting = order().await.expect_problem(409, "idempotency_key_in_progress");
        assert_eq!(waiting.header("retry-after"), "1");
    }

    async fn posts_that_create_or_move_take_a_key(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let product = json!({"sku": "KEYED", "name": "Keyed", "price": pence(100), "category": "Keys"});
        let hook = json!({"url": "https://example.com/hook", "events": ["order.created"]});
        let order = shop.order(&ada, "MUG-BLUE", 1).await.expect(201).json;
        let cancel = format!("/orders/{}/cancel", order["id"].as_str().unwrap());
        for (person, path, body) in [
            (&admin, "/catalog/products", product),
            (&admin, "/notifications/webhooks", hook),
            (&ada, "/users/me/addresses", json!({"name": "Ada", "city": "London", "country": "GB"})),
            (&ada, cancel.as_str(), json!({})),
        ] {
            let post = |body: &Value| shop.post(path).bearer(&person.token).key("k").json(body.clone()).send();
            let first = post(&body).await;
            let again = post(&body).await;
            assert_eq!((again.status, &again.text, again.header("idempotency-replayed")), (first.status, &first.text, "true"), "{path}");
        }
    }

    async fn products_carts_stock_and_orders_have_tags(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        shop.call("PUT", "/cart/items/MUG-BLUE").bearer(&ada.token).json(json!({"quantity": 1})).send().await.expect(200);
        let order = shop.order(&ada, "MUG-BLUE", 1).await.expect(201).json;
        let order_path = format!("/orders/{}", order["id"].as_str().unwrap());
        let product = json!({"sku": "MUG-BLUE", "name": "Blue mug", "price": pence(850), "category": "Kitchen"});
        for (person, path, changes) in [
            (&admin, "/products/MUG-BLUE", vec![("PUT", String::new(), product), ("PATCH", String::new(), json!({"name": "x"}))]),
            (&ada, "/cart", vec![("PUT", "/items/MUG-BLUE".to_owned(), json!({"quantity": 2}))]),
            (&admin, "/inventory/MUG-BLUE", vec![
                ("PUT", String::new(), json!({"on_hand": 50})),
                ("PATCH", String::new(), json!({"change": 1, "reason": "found"})),
            ]),
            (&admin, order_path.as_str(), vec![("PATCH", "/status".to_owned(), json!({"status": "confirmed"}))]),
        ] {
            let read = |tag: &str| shop.get(path).bearer(&person.token).header("If-None-Match", tag).send();
            let tag = read("\"none\"").await.expect(200).header("etag").to_owned();
            assert!(tag.starts_with('"'), "{path}: {tag}");
            let unchanged = read(&tag).await.expect(304);
            assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", tag.as_str()), "{path}");
            for (method, below, body) in changes {
                let call = |tag: &str| shop.call(method, &format!("{path}{below}")).bearer(&person.token).header("If-Match", tag).json(body.clone()).send();
                call("\"stale\"").await.expect_problem(412, "precondition_failed");
                let now = shop.get(path).bearer(&person.token).send().await.expect(200).header("etag").to_owned();
                call(&now).await.expect(200);
            }
            read(&tag).await.expect(200);
        }
    }
}

// Accounts and the catalogue.
testkit::on_every_database! {
    async fn registering_and_logging_in_give_the_promised_body(engine: Engine) {
        let shop = Shop::open(engine).await;
        let fields = ["user", "access_token", "token", "token_type", "expires_in", "refresh_token"];
        for (register, login, name) in [("/auth/register", "/auth/login", "ada"), ("/users/register", "/users/login", "bob")] {
            let email = format!("{name}@example.com");
            let body = json!({"email": email, "password": "correct horse", "username": name, "name": "A name"});
            let registered = shop.post(register).json(body).send().await.expect(201).json;
            let by_name = shop.post(login).json(json!({"username": name, "password": "correct horse"})).send().await.expect(200).json;
            for answer in [&registered, &by_name] {
                has_fields(answer, &fields);
                has_fields(&answer["user"], &["id", "email", "username", "name", "role"]);
                assert_eq!((&answer["token"], &answer["token_type"]), (&answer["access_token"], &json!("Bearer")));
            }
            assert_eq!(registered["user"], by_name["user"]);
            let refreshed = shop.post("/auth/refresh").json(json!({"refresh_token": by_name["refresh_token"]})).send().await.expect(200).json;
            has_fields(&refreshed, &fields);
            assert_ne!(refreshed["refresh_token"], by_name["refresh_token"]);
        }
    }

    async fn the_demo_shop_has_the_promised_accounts_and_goods(engine: Engine) {
        let shop = Shop::open(engine).await;
        let by_name = shop.post("/auth/login").json(json!({"username": "admin", "password": "password"})).send().await.expect(200).json;
        assert_eq!(by_name["user"]["role"], "admin");
        for (email, role) in [("admin@test.com", "admin"), ("demo@test.com", "customer")] {
            let person = shop.log_in(email, "password123").await;
            let me = shop.get("/users/me").bearer(&person.token).send().await.expect(200).json;
            has_fields(&me, &["id", "email", "username", "name", "role", "created_at"]);
            assert_eq!((me["email"].as_str(), me["role"].as_str()), (Some(email), Some(role)));
        }
        let admin = shop.admin().await;
        let goods = shop.get("/products?limit=100").send().await.expect(200).json;
        let levels = shop.get("/inventory?limit=100").bearer(&admin.token).send().await.expect(200).json;
        let in_stock = levels["items"].as_array().unwrap().iter().filter(|level| level["available"].as_i64() > Some(0)).count();
        assert_eq!((skus(&goods).len(), in_stock), (38, 38));
    }

    async fn products_are_filtered_searched_and_sorted_as_asked(engine: Engine) {
        let shop = Shop::open(engine).await;
        let list = async |query: &str| shop.get(&format!("/catalog/products?limit=100&{query}")).send().await.expect(200).json;
        let bath = list("category=Bath").await;
        assert!(skus(&bath).len() == 4 && bath["items"].as_array().unwrap().iter().all(|item| item["category"] == "Bath"), "{bath}");
        let priced = list("category=Bath&min_price=520&max_price=1250&sort=-price").await;
        assert_eq!((skus(&priced).len(), skus(&priced)[0]), (3, "BRUSH-BATH"));
        assert_eq!(skus(&list("search=CHARCOAL").await), ["SOAP-CHARCOAL"]);
        assert_eq!(skus(&list("search=%25").await), Vec::<&str>::new());
        let keys = |page: &Value, key: fn(&Value) -> i64| page["items"].as_array().unwrap().iter().map(key).collect::<Vec<_>>();
        let price: fn(&Value) -> i64 = |item| item["price"]["amount"].as_i64().unwrap();
        let up = keys(&list("sort=price").await, price);
        assert!(up.is_sorted() && up.len() == 38, "{up:?}");
        let down = keys(&list("sort=-price").await, price);
        assert_eq!(down, up.into_iter().rev().collect::<Vec<_>>());
        for (sort, field) in [("name", "name"), ("created_at", "created_at")] {
            let texts = |page: &Value| page["items"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_lowercase()).collect::<Vec<_>>();
            assert!(texts(&list(&format!("sort={sort}")).await).is_sorted(), "{sort}");
            assert!(texts(&list(&format!("sort=-{sort}")).await).is_sorted_by(|a, b| a >= b), "-{sort}");
        }
    }

    async fn a_retired_product_stays_on_the_orders_that_have_it(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let product = shop.get("/products/mug-blue").send().await.expect(200).json;
        let by_id = json!({"items": [{"product_id": product["id"], "quantity": 2}]});
        let order = shop.post("/orders").bearer(&ada.token).key("k").json(by_id).send().await.expect(201).json;
        shop.call("DELETE", &format!("/catalog/products/{}", product["id"].as_str().unwrap())).bearer(&admin.token).send().await.expect(204);
        assert_eq!(shop.get("/products/MUG-BLUE").send().await.expect(200).json["active"], false);
        let kept = shop.get(&format!("/orders/{}", order["id"].as_str().unwrap())).bearer(&ada.token).send().await.expect(200).json;
        assert_eq!((&kept["items"], kept["items"][0]["name"].as_str()), (&order["items"], Some("Blue mug")));
        shop.order(&ada, "MUG-BLUE", 1).await.expect_problem(422, "retired_product");
    }

    async fn stock_is_set_by_a_movement_and_changed_by_a_movement(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let call = |method: &str, path: &str, body: Value| shop.call(method, path).bearer(&admin.token).json(body).send();
        call("PUT", "/inventory/trowel", json!({"on_hand": 30, "low_stock_threshold": 40})).await.expect(200);
        call("PATCH", "/inventory/TROWEL", json!({"change": -2, "reason": "broken"})).await.expect(200);
        let level = call("PATCH", "/catalog/products/trowel/stock", json!({"change": 5})).await.expect(200).json;
        has_fields(&level, &["sku", "on_hand", "reserved", "available", "low_stock_threshold", "updated_at"]);
        let read = shop.get("/inventory/TROWEL").bearer(&ada.token).send().await.expect(200).json;
        assert_eq!((&read, read["on_hand"].as_i64(), read["low_stock_threshold"].as_i64()), (&level, Some(33), Some(40)));
        let ledger = shop.get("/inventory/TROWEL/movements").bearer(&admin.token).send().await.expect(200).json;
        let changes: Vec<_> = ledger["items"].as_array().unwrap().iter().map(|item| item["change"].as_i64().unwrap()).collect();
        assert_eq!(changes, [5, -2, 6, 24]);
        let low = shop.get("/inventory?low_stock=true").bearer(&ada.token).send().await.expect(200).json;
        assert!(skus(&low).contains(&"TROWEL") && !skus(&low).contains(&"MUG-BLUE"), "{low}");
        // What orders hold cannot be taken away by either way.
        shop.order(&ada, "TROWEL", 30).await.expect(201);
        call("PATCH", "/inventory/TROWEL", json!({"change": -4, "reason": "broken"})).await.expect_problem(409, "insufficient_stock");
        call("PATCH", "/catalog/products/TROWEL/stock", json!({"change": -4})).await.expect_problem(409, "insufficient_stock");
    }
}

// Buying.
testkit::on_every_database! {
    async fn a_cart_shows_what_the_contract_names_and_keeps_to_the_expected_total(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        let cart = shop.call("PUT", "/cart/items/mug-blue").bearer(&ada.token).json(json!({"quantity": 2})).send().await.expect(200).json;
        has_fields(&cart, &["id", "items", "total", "version"]);
        has_fields(&cart["items"][0], &["sku", "name", "quantity", "unit_price", "line_total", "available"]);
        let checkout = |key: &'static str, total: i64| {
            let body = json!({"shipping_address": "12 St James's Square, London", "expected_total": pence(total)});
            shop.post("/cart/checkout").bearer(&ada.token).key(key).json(body).send()
        };
        checkout("cheap", 1).await.expect_problem(422, "total_mismatch");
        assert_eq!(checkout("right", 1_700).await.expect(201).json["total"], pence(1_700));
    }

    async fn an_order_its_timeline_and_its_sums_have_the_promised_fields(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let order = shop.order(&ada, "MUG-BLUE", 2).await.expect(201).json;
        has_fields(&order, &["id", "number", "user_id", "status", "items", "total", "shipping_address", "payment_status", "created_at", "updated_at"]);
        has_fields(&order["items"][0], &["sku", "product_id", "name", "quantity", "unit_price", "line_total"]);
        let path = format!("/orders/{}", order["id"].as_str().unwrap());
        assert_eq!(shop.get(&path).bearer(&ada.token).send().await.expect(200).json, order);
        let timeline = shop.get(&format!("{path}/timeline")).bearer(&admin.token).send().await.expect(200).json;
        has_fields(&timeline["events"][0], &["type", "at", "actor_id", "from", "to", "data"]);
        let sums = shop.get("/orders/analytics").bearer(&admin.token).send().await.expect(200).json;
        has_fields(&sums, &["orders", "revenue", "average_order_value", "by_status", "top_products", "series"]);
        let short = shop.order(&ada, "CAN-ZINC", 4).await.expect_problem(409, "insufficient_stock");
        assert_eq!(short.json["shortages"], json!([{"sku": "CAN-ZINC", "requested": 4, "available": 3}]));
    }

    async fn an_order_that_nobody_pays_is_cancelled_after_the_window_and_gives_its_stock_back(engine: Engine) {
        let shop = Shop::open_with(engine, |settings| {
            settings.modules.orders.payment_window_s = 1;
            settings.modules.orders.expire_every_ms = 50;
        }).await;
        let ada = shop.newcomer().await;
        let before = shop.available(&ada, "MUG-BLUE").await;
        let order = shop.order(&ada, "MUG-BLUE", 2).await.expect(201).json;
        shop.until(&format!("/orders/{}", order["id"].as_str().unwrap()), &ada, |order| order["status"] == "cancelled").await;
        shop.until("/inventory/MUG-BLUE", &ada, |level| level["available"] == json!(before)).await;
        shop.assert_healthy().await;
    }

    async fn a_cancelled_order_that_an_admin_takes_up_again_takes_its_stock_again(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let before = shop.available(&ada, "MUG-BLUE").await;
        let order = shop.order(&ada, "MUG-BLUE", 2).await.expect(201).json;
        let status = format!("/orders/{}/status", order["id"].as_str().unwrap());
        let to = |person: &Person, status_text: &str| shop.call("PATCH", &status).bearer(&person.token).json(json!({"status": status_text})).send();
        to(&ada, "confirmed").await.expect_problem(403, "forbidden");
        to(&ada, "cancelled").await.expect(200);
        shop.until("/inventory/MUG-BLUE", &ada, |level| level["available"] == json!(before)).await;
        to(&ada, "pending").await.expect_problem(403, "forbidden");
        assert_eq!(to(&admin, "pending").await.expect(200).json["status"], "pending");
        assert_eq!(shop.available(&ada, "MUG-BLUE").await, before - 2);
        shop.assert_healthy().await;
    }

    async fn money_is_held_captured_voided_and_given_back_under_either_path(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let hold = async |path: &str| {
            let order = shop.order(&ada, "MUG-BLUE", 2).await.expect(201).json;
            let body = json!({"order_id": order["id"], "method": {"type": "card", "token": "tok_ok"}, "capture": false});
            let key = fresh_id().to_string();
            let payment = shop.post(path).bearer(&ada.token).key(&key).json(body).send().await.expect(201).json;
            assert_eq!((&payment["status"], &payment["captured"]), (&json!("authorized"), &pence(0)));
            has_fields(&payment, &["id", "order_id", "status", "amount", "captured", "refunded", "provider", "created_at"]);
            payment["id"].as_str().unwrap().to_owned()
        };
        let (first, second) = (hold("/payments").await, hold("/pay").await);
        let part = operate(&shop, &admin, &first, "capture", json!({"amount": pence(1_000)})).await.expect(200).json;
        assert_eq!((&part["status"], &part["captured"]), (&json!("captured"), &pence(1_000)));
        operate(&shop, &admin, &first, "refund", json!({"amount": pence(1_001)})).await.expect_problem(409, "refund_exceeds_captured");
        let back = operate(&shop, &admin, &first, "refund", json!({"amount": pence(400), "reason": "a chip"})).await.expect(200).json;
        assert_eq!(back["refunded"], pence(400));
        assert_eq!(operate(&shop, &admin, &second, "void", json!({})).await.expect(200).json["status"], "voided");
        let page = shop.get("/pay").bearer(&ada.token).send().await.expect(200).json;
        assert_eq!(page, shop.get("/payments").bearer(&ada.token).send().await.expect(200).json);
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let cancelled = shop.order(&ada, "MUG-BLUE", 1).await.expect(201).json;
        let id = cancelled["id"].as_str().unwrap();
        shop.post(&format!("/orders/{id}/cancel")).bearer(&ada.token).send().await.expect(200);
        shop.pay(&ada, id, "tok_ok").await.expect_problem(409, "order_not_payable");
        // Revenue is what was sold less what was given back.
        shop.until("/orders/analytics", &admin, |sums| sums["revenue"]["amount"] == 2 * 1_700 - 400).await;
        shop.assert_healthy().await;
    }

    async fn endpoints_are_told_of_every_event_in_one_form(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        let events = ["order.created", "order.status_changed", "order.updated", "order.deleted", "payment.captured", "payment.refunded"];
        let body = json!({"url": "https://example.com/hook", "events": events, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
        let hook = shop.post("/notifications/webhooks").bearer(&admin.token).json(body).send().await.expect(201).json;
        let order = shop.order(&ada, "MUG-BLUE", 1).await.expect(201).json;
        let id = order["id"].as_str().unwrap();
        shop.pay(&ada, id, "tok_ok").await.expect(201);
        shop.until(&format!("/orders/{id}"), &ada, |order| order["status"] == "confirmed").await;
        shop.post(&format!("/orders/{id}/cancel")).bearer(&ada.token).send().await.expect(200);
        let deliveries = format!("/notifications/webhooks/{}/deliveries?limit=100", hook["id"].as_str().unwrap());
        let told = shop.until(&deliveries, &admin, |page| {
            let told: BTreeSet<_> = page["items"].as_array().unwrap().iter().filter_map(|item| item["payload"]["event"].as_str()).collect();
            ["order.created", "order.status_changed", "order.updated", "payment.captured", "payment.refunded"].iter().all(|event| told.contains(event))
        }).await;
        for delivery in told["items"].as_array().unwrap() {
            let fields: BTreeSet<_> = delivery["payload"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(fields, BTreeSet::from(["event", "data", "timestamp"]));
        }
        let mails = shop.get("/notifications").bearer(&ada.token).send().await.expect(200).json;
        has_fields(&mails["items"][0], &["id", "channel", "template", "subject", "status", "created_at", "sent_at"]);
    }
}

// Import, export, and what is around the modules.
testkit::on_every_database! {
    async fn every_table_goes_in_and_out_over_http(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.newcomer().await, shop.admin().await);
        shop.order(&ada, "MUG-BLUE", 1).await.expect(201);
        for (module, bad_line) in [
            ("catalog", "sku,name,category,price\nGOOD,Good,Things,29.99\nBAD,Bad,Things,abc\n"),
            ("inventory", "sku,on_hand\nMUG-BLUE,60\nBAD,-1\n"),
            ("users", "email,name\ngood@example.com,Good\nno address,Bad\n"),
            ("orders", "order_number,placed_at,customer,country,sku,quantity,unit_price,currency\nG1,2011-01-01T10:00:00Z,c,France,MUG-BLUE,1,1.00,GBP\nB1,yesterday,c,France,MUG-BLUE,1,1.00,GBP\n"),
        ] {
            let path = format!("/{module}/import");
            let import = |text: String| shop.post(&path).bearer(&admin.token).body("text/csv", text).send();
            let summary = import(bad_line.to_owned()).await.expect(200).json;
            assert_eq!((&summary["rows_read"], &summary["refused"], &summary["refusals"][0]["line"]), (&json!(2), &json!(1), &json!(3)), "{module}: {summary}");
            let exported = shop.get(&format!("/{module}/export")).bearer(&admin.token).send().await.expect(200);
            assert!(exported.header("content-type").starts_with("text/csv"), "{module}");
            let rows = exported.text.lines().count() - 1;
            let again = import(exported.text.clone()).await.expect(200).json;
            let boundary = "a-boundary";
            let form = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"t.csv\"\r\nContent-Type: text/csv\r\n\r\n{}\r\n--{boundary}--\r\n", exported.text);
            let multipart = format!("multipart/form-data; boundary={boundary}");
            let by_form = shop.post(&path).bearer(&admin.token).body(&multipart, form).send().await.expect(200).json;
            for summary in [&again, &by_form] {
                assert_eq!((&summary["rows_read"], &summary["refused"], &summary["created"], &summary["updated"]), (&json!(rows), &json!(0), &json!(0), &json!(0)), "{module}: {summary}");
            }
        }
        let good = shop.get("/products/GOOD").send().await.expect(200).json;
        assert_eq!(good["price"], pence(2_999), "a decimal price is read from CSV");
        shop.assert_healthy().await;
    }

    async fn a_shop_on_an_old_schema_lives_but_is_not_ready(engine: Engine) {
        let shop = Shop::open(engine).await;
        let db = database(&shop, "notifications").await;
        migrations::down("notifications", db.orm(), Some(1)).await.unwrap();
        shop.get("/livez").send().await.expect(200);
        for path in ["/readyz", "/health"] {
            let answer = shop.get(path).send().await.expect(503).json;
            assert_eq!(answer["status"], "unhealthy");
            assert!(answer["failed"].as_str().unwrap().contains("notifications"), "{answer}");
        }
        migrations::up("notifications", db.orm()).await.unwrap();
        db.close().await.unwrap();
        shop.get("/readyz").send().await.expect(200);
    }

    async fn a_module_whose_database_is_gone_says_which_check_failed(engine: Engine) {
        // The files of SQLite stay open, whatever becomes of them.
        let Engine::Postgres(server) = engine.clone() else {
            return;
        };
        let shop = Shop::open(engine).await;
        let name = shop.settings.database.url.rsplit('/').next().unwrap().split('?').next().unwrap();
        let elsewhere = sea_orm::Database::connect(server).await.unwrap();
        elsewhere.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        elsewhere.close().await.unwrap();
        for path in ["/orders/health", "/orders/healthz"] {
            let answer = shop.get(path).send().await.expect(503).json;
            assert_eq!((&answer["status"], &answer["service"]), (&json!("unhealthy"), &json!("orders")));
            assert!(answer["failed"].as_str().unwrap().contains("database"), "{answer}");
        }
        shop.get("/livez").send().await.expect(200);
        shop.get("/readyz").send().await.expect(503);
    }
}

/// The binary, told where its data is.
fn souk(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_souk"));
    command.args(arguments).arg("--data-dir").arg(folder.join("data")).stdin(Stdio::null());
    command.env("SOUK__AUTH__BCRYPT_COST", "4");
    command
}

#[test]
fn souk_alone_serves_and_fills_an_empty_shop() {
    testkit::run(async {
        let folder = tempfile::tempdir().unwrap();
        let mut serving = souk(folder.path(), &["--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
        let log = std::io::BufReader::new(serving.stderr.take().unwrap());
        let mut lines = std::io::BufRead::lines(log).map(Result::unwrap);
        let listening = lines.find(|line| line.contains("listening on")).unwrap();
        let address = listening.split("listening on ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let client = reqwest::Client::new();
        let product = testkit::Sent::new(client.get(format!("{address}/products/MUG-BLUE"))).send().await;
        serving.kill().unwrap();
        serving.wait().unwrap();
        assert_eq!(product.expect(200).json["name"], "Blue mug");
    });
}

#[test]
fn every_command_says_that_it_takes_the_common_flags() {
    for command in [
        &[][..],
        &["serve"],
        &["migrate", "up"],
        &["migrate", "down"],
        &["migrate", "status"],
        &["demo"],
        &["user", "create"],
        &["import"],
        &["export"],
        &["doctor"],
        &["openapi"],
        &["config", "check"],
        &["config", "show"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_souk")).args(command).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command:?}");
        for flag in ["--data-dir", "--database-url", "--config", "--profile"] {
            assert!(help.contains(flag), "{command:?} does not take {flag}:\n{help}");
        }
    }
}

#[test]
fn a_file_of_settings_and_the_list_of_webhooks_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    std::fs::write(&file, "[server]\nport = 1234\n").unwrap();
    let file = file.to_str().unwrap();
    let show = |arguments: &[&str]| {
        let mut command = souk(folder.path(), &["config", "show", "--config", file]);
        command.args(arguments).env("WEBHOOK_URLS", "https://example.com/a, https://example.com/b");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let shown = show(&[]);
    assert!(shown.contains("port = 1234"), "{shown}");
    assert!(shown.contains("https://example.com/a") && shown.contains("https://example.com/b"), "{shown}");
    let mut louder = souk(folder.path(), &["config", "show", "--config", file]);
    let louder = louder.env("SOUK__SERVER__PORT", "4321").output().unwrap();
    assert!(String::from_utf8(louder.stdout).unwrap().contains("port = 4321"));
}

#[test]
fn every_claim_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/CLAIMS.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| claim |"));
    let (mut named, mut wrong) = (0, Vec::new());
    for row in rows {
        let names: Vec<_> = row.split('`').filter_map(|cell| cell.split_once(".rs::")).collect();
        if names.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        for (file, test) in names {
            named += 1;
            let path = root.join(format!("{file}.rs"));
            let there =
                std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("fn {test}(")));
            if !there {
                wrong.push(format!("{file}.rs has no test {test}"));
            }
        }
    }
    assert!(wrong.is_empty() && named > 100, "{named} named: {wrong:#?}");
}
