//! Who did what, and that nobody can deny it afterwards.

use contracts::audit::By;
use contracts::catalog::PriceChanged;
use contracts::inventory::StockAdjusted;
use contracts::users::Role;
use kernel::{ApiKeyId, Currency, Money, ProductId, Sku};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Engine, Response, TestUser, fresh_id};

use crate::{EMAIL, Gate, NEW_PASSWORD, PASSWORD, account};

async fn admin(gate: &Gate) -> TestUser {
    gate.auth.create_account(account("admin@example.com", PASSWORD, Role::Admin)).await.unwrap();
    gate.login("admin@example.com").await.user
}

async fn list(gate: &Gate, admin: &TestUser, query: &str) -> Response {
    gate.app.get(&format!("/auth/audit?{query}")).by(admin).send().await
}

async fn actions(gate: &Gate, admin: &TestUser, query: &str) -> Vec<String> {
    let page = list(gate, admin, query).await.expect(200).json;
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect()
}

fn price(by: By, before: Option<i64>, now: i64) -> PriceChanged {
    let pence = |amount| Money::new(amount, Currency::parse("GBP").unwrap());
    PriceChanged {
        product_id: ProductId(fresh_id()),
        sku: Sku::parse("MUG-BLUE").unwrap(),
        before: before.map(pence),
        price: pence(now),
        by,
    }
}

testkit::on_every_database! {
    async fn what_is_done_to_an_account_and_its_keys_is_in_the_log(engine: Engine) {
        let gate = Gate::open(engine).await;
        let admin = admin(&gate).await;
        let ada = gate.register(EMAIL).await;
        gate.change_password(&ada, PASSWORD, NEW_PASSWORD).await.expect(200);
        let letter = gate.forgot(EMAIL).await;
        gate.reset(&letter, PASSWORD).await.expect(204);
        let ada = gate.login(EMAIL).await;
        let (_, codes) = gate.enrol(&ada).await;
        let remove = json!({"password": PASSWORD, "code": codes[0]});
        gate.app.call("DELETE", "/auth/totp").by(&ada.user).json(remove).send().await.expect(204);
        let body = json!({"name": "export", "scopes": ["orders:read"]});
        let key = gate.app.post("/auth/api-keys").by(&ada.user).json(body).send().await.expect(201).json;
        let id = key["id"].as_str().unwrap();
        gate.app.call("DELETE", &format!("/auth/api-keys/{id}")).by(&admin).send().await.expect(204);

        let expected = ["account.second_factor_removed", "account.second_factor_added", "account.password_reset", "account.password_changed"];
        assert_eq!(actions(&gate, &admin, &format!("target={}", ada.user.id)).await, expected);
        let of_key = list(&gate, &admin, &format!("target={id}")).await.expect(200).json;
        let doers: Vec<&Value> = of_key["items"].as_array().unwrap().iter().map(|entry| &entry["by"]["user_id"]).collect();
        assert_eq!(doers, [&json!(admin.id), &json!(ada.user.id)], "made by its owner, revoked by an admin");

        let rotated = gate.auth.rotate_keys(false).await.unwrap();
        let rotation = list(&gate, &admin, &format!("target={}", rotated.kid)).await.expect(200).json;
        assert_eq!(rotation["items"][0]["by"], json!({"kind": "operator", "user_id": null, "api_key_id": null}));
        let all = list(&gate, &admin, "limit=100").await.expect(200).text;
        for secret in [PASSWORD, NEW_PASSWORD, EMAIL, &letter, &codes[0], key["key"].as_str().unwrap()] {
            assert!(!all.contains(secret), "{secret}");
        }
        gate.app.assert_healthy().await;
    }

    async fn what_did_not_happen_is_not_in_the_log(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (admin, ada) = (admin(&gate).await, gate.register(EMAIL).await);
        gate.change_password(&ada, "not the password", NEW_PASSWORD).await.expect(403);
        gate.reset("no token", NEW_PASSWORD).await.expect(400);
        gate.app.call("DELETE", &format!("/auth/api-keys/{}", fresh_id())).by(&admin).send().await.expect(404);
        assert_eq!(actions(&gate, &admin, "").await, Vec::<String>::new());
    }

    async fn the_log_is_filtered_and_read_page_by_page(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (admin, ada) = (admin(&gate).await, gate.register(EMAIL).await);
        let by = By::ApiKey { user_id: ada.user.id, api_key_id: ApiKeyId(fresh_id()) };
        let began = gate.bench.system.now();
        for round in 0..3 {
            gate.bench.clock.advance(Duration::from_secs(60));
            let changed = price(by, (round > 0).then_some(800 + round), 801 + round);
            let id = gate.bench.system.id();
            for _redelivery in 0..2 {
                gate.app.deliver(id, &changed).await.unwrap();
            }
        }
        let stock = StockAdjusted { stock_id: fresh_id(), sku: Sku::parse("MUG-BLUE").unwrap(), change: -2, on_hand: 3, reason: "broken".to_owned(), by: By::Shop };
        gate.app.deliver(gate.bench.system.id(), &stock).await.unwrap();

        let three = ["product.price_changed"; 3];
        assert_eq!(actions(&gate, &admin, &format!("user_id={}", ada.user.id)).await, three);
        assert_eq!(actions(&gate, &admin, "action=product.price_changed").await, three);
        assert_eq!(actions(&gate, &admin, "target=MUG-BLUE").await, ["stock.adjusted"]);
        let second = began.plus(Duration::from_secs(120));
        assert_eq!(actions(&gate, &admin, &format!("action=product.price_changed&to={second}")).await.len(), 1);
        assert_eq!(actions(&gate, &admin, &format!("action=product.price_changed&from={second}")).await.len(), 2);

        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&gate, &admin, &format!("limit=2{cursor}")).await.expect(200).json;
            seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["id"].clone()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let distinct: std::collections::HashSet<String> = seen.iter().map(Value::to_string).collect();
        assert_eq!((seen.len(), distinct.len()), (4, 4));

        for wrong in ["action=everything", "user_id=ada", "from=2026-02-01&to=2026-01-01", "who=ada", "limit=0", "cursor=x", &format!("target={}", "x".repeat(201))] {
            list(&gate, &admin, wrong).await.expect_problem(400, "invalid_query");
        }
        list(&gate, &ada.user, "").await.expect_problem(403, "forbidden");
        gate.app.get("/auth/audit").send().await.expect_problem(401, "unauthenticated");
    }

    async fn the_database_keeps_every_entry_as_it_was_written(engine: Engine) {
        let gate = Gate::open(engine.clone()).await;
        let admin = admin(&gate).await;
        gate.auth.rotate_keys(false).await.unwrap();
        let mut statements = vec!["UPDATE audit_log SET by_kind = 'shop'", "DELETE FROM audit_log"];
        if matches!(engine, Engine::Postgres(_)) {
            statements.push("TRUNCATE audit_log");
        }
        for statement in statements {
            let refused = gate.execute(statement).await.unwrap_err().to_string();
            assert!(refused.contains("rows of audit_log are never"), "{refused}");
        }
        assert_eq!(actions(&gate, &admin, "").await, ["signing_key.rotated"]);
        let unnamed = "INSERT INTO audit_log SELECT session_id, 1, 'user', NULL, NULL, 'x', 'x', 'x', '{}', NULL FROM spent_refresh_tokens";
        gate.refresh(&gate.register(EMAIL).await).await;
        assert!(gate.execute(unnamed).await.is_err(), "a user without a name");
    }
}
