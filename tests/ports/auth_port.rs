//! The port of `auth`.

use std::sync::Arc;
use std::time::Duration;

use auth::{Auth, Deps, Settings};
use contracts::audit::By;
use contracts::auth::{ApiKeyUse, AuthPort};
use contracts::users::{Role, UserAccessChanged};
use kernel::{ApiKeyId, SessionId, Timestamp, UserId};
use platform::access::TokenVerifier;
use platform::db::Db;
use serde_json::{Value, json};
use testkit::fakes::FakeUsers;
use testkit::{Bench, Engine, TestApp, fresh_id};

use crate::stage::{Form, Sides, assert_silent};

struct Stage {
    port: Arc<dyn AuthPort>,
    verifier: Arc<TokenVerifier>,
    app: TestApp,
    db: Db,
    bench: Bench,
}

const SIDES: Sides<dyn AuthPort> =
    Sides { module: "auth", routes: remote::auth::routes, client: remote::auth::client };

impl Stage {
    async fn open(engine: Engine, form: Form) -> Self {
        let bench = Bench::new(engine).await;
        let db = bench.db("auth").await;
        let verifier = Arc::new(TokenVerifier::new(bench.clock.clone()));
        let module = Auth::open(Deps {
            db: db.clone(),
            settings: Settings { bcrypt_cost: 4, ..Settings::default() },
            users: Arc::new(FakeUsers::default()),
            verifier: verifier.clone(),
        })
        .await
        .unwrap();
        let port = form.of(&bench, &SIDES, module.port());
        Self { port, app: TestApp::start(module, verifier.clone()).await, verifier, db, bench }
    }

    async fn register(&self, email: &str) -> Value {
        let body = json!({"email": email, "password": "correct horse battery staple"});
        self.app.post("/auth/register").json(body).send().await.expect(201).json
    }
}

fn text<'a>(answer: &'a Value, pointer: &str) -> &'a str {
    answer.pointer(pointer).and_then(Value::as_str).unwrap()
}

conformance! { Stage:
    the_keys_verify_what_the_module_signs,
    sessions_that_ended_are_told,
    users_whose_access_changed_are_told,
    api_keys_are_told_while_they_are_valid,
    without_its_database_the_module_is_silent,
}

async fn the_keys_verify_what_the_module_signs(stage: Stage) {
    let keys = stage.port.public_keys().await.unwrap();
    assert_eq!((keys.len(), keys[0].kty.as_str(), keys[0].usage.as_str()), (1, "OKP", "sig"));
    assert_eq!(stage.port.public_keys().await.unwrap(), keys);
    let ada = stage.register("ada@example.com").await;
    // As another process does when it starts.
    let elsewhere = TokenVerifier::new(stage.bench.clock.clone());
    elsewhere.load(stage.port.as_ref()).await.unwrap();
    let claims = elsewhere.verify(text(&ada, "/access_token")).unwrap();
    assert_eq!(claims.email, "ada@example.com");
    assert_eq!(stage.verifier.verify(text(&ada, "/access_token")), Some(claims));
}

async fn sessions_that_ended_are_told(stage: Stage) {
    let nothing = stage.port.revoked().await.unwrap();
    assert!(nothing.sessions.is_empty() && nothing.users.is_empty());
    let (ada, bob) = (stage.register("ada@example.com").await, stage.register("bob@example.com").await);
    let claims = stage.verifier.verify(text(&ada, "/access_token")).unwrap();
    stage.app.post("/auth/logout").bearer(text(&ada, "/access_token")).send().await.expect(204);
    let revoked = stage.port.revoked().await.unwrap();
    let ended: Vec<(SessionId, UserId)> =
        revoked.sessions.iter().map(|ended| (ended.session_id, ended.user_id)).collect();
    assert_eq!(ended, [(claims.sid, claims.sub)]);
    assert!(revoked.sessions[0].tokens_expire_at > stage.bench.system.now());
    assert_eq!(stage.port.revoked().await.unwrap(), revoked);
    let elsewhere = TokenVerifier::new(stage.bench.clock.clone());
    elsewhere.load(stage.port.as_ref()).await.unwrap();
    assert_eq!(elsewhere.verify(text(&ada, "/access_token")), None);
    assert!(elsewhere.verify(text(&bob, "/access_token")).is_some());
}

async fn users_whose_access_changed_are_told(stage: Stage) {
    let ada = stage.register("ada@example.com").await;
    let user_id: UserId = text(&ada, "/user/id").parse().unwrap();
    let changed_at = stage.bench.system.now();
    let changed = UserAccessChanged {
        user_id,
        role: Role::Admin,
        active: true,
        changed_at,
        before: None,
        by: By::Shop,
    };
    stage.app.deliver(fresh_id(), &changed).await.unwrap();
    let revoked = stage.port.revoked().await.unwrap();
    let ended: Vec<_> = revoked.users.iter().map(|ended| (ended.user_id, ended.issued_until)).collect();
    assert_eq!(ended, [(user_id, changed_at)]);
}

async fn api_keys_are_told_while_they_are_valid(stage: Stage) {
    let ada = stage.register("ada@example.com").await;
    let body = json!({"name": "x", "scopes": ["orders:read"]});
    let call = stage.app.post("/auth/api-keys").bearer(text(&ada, "/access_token")).json(body);
    let made = call.send().await.expect(201).json;
    let id: ApiKeyId = text(&made, "/id").parse().unwrap();
    let key = stage.port.api_key(id).await.unwrap().unwrap();
    assert_eq!((key.user_id.to_string().as_str(), key.role), (text(&ada, "/user/id"), Role::Customer));
    assert_eq!((key.scopes.len(), key.secret_hash.len()), (1, 32));
    assert_eq!(stage.port.api_key(ApiKeyId(fresh_id())).await.unwrap(), None);
    let minute = Timestamp::from_ms(60_000);
    let later = ApiKeyUse { id, at: minute.plus(Duration::from_secs(60)) };
    stage.port.note_api_key_uses(vec![later, ApiKeyUse { id, at: minute }]).await.unwrap();
    let listed = stage.app.get("/auth/api-keys").bearer(text(&ada, "/access_token")).send().await.expect(200);
    assert_eq!(text(&listed.json, "/items/0/last_used_at"), later.at.to_string());
    let path = format!("/auth/api-keys/{id}");
    stage.app.call("DELETE", &path).bearer(text(&ada, "/access_token")).send().await.expect(204);
    assert_eq!(stage.port.api_key(id).await.unwrap(), None);
}

async fn without_its_database_the_module_is_silent(stage: Stage) {
    stage.db.close().await.unwrap();
    assert_silent("auth", stage.port.public_keys().await);
    assert_silent("auth", stage.port.revoked().await);
    assert_silent("auth", stage.port.api_key(ApiKeyId(fresh_id())).await);
    let used = ApiKeyUse { id: ApiKeyId(fresh_id()), at: Timestamp::EPOCH };
    assert_silent("auth", stage.port.note_api_key_uses(vec![used]).await);
}
