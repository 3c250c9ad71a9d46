//! Stories of accounts, logins and tokens, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

mod audit;

use std::sync::Arc;
use std::time::Duration;

use auth::{AccountError, Auth, Deps, KeyError, ListedKey, NewAccount, SecondFactorError, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::audit::By;
use contracts::auth::{
    AccessClaims, ApiKeyRevoked, EmailVerificationRequested, PasswordChanged, PasswordResetRequested,
    SecondFactorRemoved, SessionEnded, SigningKeysChanged, UserSessionsEnded,
};
use contracts::event::{Envelope, Event};
use contracts::users::{Profile, Role, UserAccessChanged, UserRegistered, UsersPort};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use futures_util::future::{join, join_all};
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{EmailAddress, EventId, UserId};
use platform::access::{FollowRevocations, TokenVerifier};
use platform::bus::EventHandler;
use platform::module::Module;
use platform::rate_limit::{self as limits, RateLimiter};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use sha1::Sha1;
use testkit::fakes::FakeUsers;
use testkit::{Bench, Engine, Response, TestApp, TestUser};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery staple";

fn cheap() -> Settings {
    Settings { bcrypt_cost: 4, ..Settings::default() }
}

/// Another good password.
const NEW_PASSWORD: &str = "seven red boats at noon";

struct Gate {
    app: TestApp,
    auth: Auth,
    users: Arc<FakeUsers>,
    verifier: Arc<TokenVerifier>,
    bench: Bench,
}

/// What a client keeps after it has logged in.
#[derive(Clone)]
struct Client {
    user: TestUser,
    refresh_token: String,
}

impl Client {
    fn of(response: &Response) -> Self {
        let body = &response.json;
        let user = TestUser {
            id: body["user"]["id"].as_str().unwrap().parse().unwrap(),
            role: Role::parse(body["user"]["role"].as_str().unwrap()).unwrap(),
            email: body["user"]["email"].as_str().unwrap().to_owned(),
            token: body["access_token"].as_str().unwrap().to_owned(),
        };
        Self { user, refresh_token: body["refresh_token"].as_str().unwrap().to_owned() }
    }

    fn claims(&self) -> Value {
        part(&self.user.token, 1)
    }
}

/// A part of a token, as JSON.
fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

impl Gate {
    async fn open(engine: Engine) -> Self {
        Self::open_with(engine, cheap()).await
    }

    async fn open_with(engine: Engine, settings: Settings) -> Self {
        let bench = Bench::new(engine).await;
        bench.db("auth").await.close().await.unwrap();
        Self::on(bench, Arc::default(), settings).await
    }

    /// Starts another process on the same database.
    async fn on(bench: Bench, users: Arc<FakeUsers>, settings: Settings) -> Self {
        let verifier = Arc::new(TokenVerifier::new(bench.system.clock.clone()));
        let db = bench.open("auth").await;
        let deps = Deps { db, settings, users: users.clone(), verifier: verifier.clone() };
        let auth = Auth::open(deps).await.unwrap();
        let app = TestApp::start(auth.clone(), verifier.clone()).await;
        Self { app, auth, users, verifier, bench }
    }

    async fn restart(self, settings: Settings) -> Self {
        Self::on(self.bench, self.users, settings).await
    }

    /// Another process on the same database while this one runs.
    async fn beside(&self) -> Auth {
        let verifier = Arc::new(TokenVerifier::new(self.bench.system.clock.clone()));
        let db = self.bench.open("auth").await;
        Auth::open(Deps { db, settings: cheap(), users: self.users.clone(), verifier }).await.unwrap()
    }

    /// The verifier hears of a change of keys, as it does from the bus.
    async fn follow(&self, change: &SigningKeysChanged) {
        let envelope = Envelope {
            id: EventId(testkit::fresh_id()),
            event_type: SigningKeysChanged::TYPE.to_owned(),
            aggregate_id: change.aggregate_id(),
            occurred_at: change.changed_at,
            trace_id: None,
            payload: serde_json::to_value(change).unwrap(),
        };
        FollowRevocations(self.verifier.clone()).handle(&envelope).await.unwrap();
    }

    /// The key that signs, which only its database knows.
    async fn private_key(&self) -> EncodingKey {
        let db = self.bench.open("auth").await;
        let backend = db.reader().get_database_backend();
        let sql = "SELECT private_key FROM signing_keys WHERE state = 'active'";
        let row = db.reader().query_one_raw(Statement::from_string(backend, sql)).await.unwrap().unwrap();
        EncodingKey::from_ed_der(&row.try_get::<Vec<u8>>("", "private_key").unwrap())
    }

    async fn register(&self, email: &str) -> Client {
        let body = json!({"email": email, "password": PASSWORD});
        Client::of(&self.app.post("/auth/register").json(body).send().await.expect(201))
    }

    async fn try_login(&self, email: &str, password: &str) -> Response {
        self.app.post("/auth/login").json(json!({"email": email, "password": password})).send().await
    }

    async fn login(&self, email: &str) -> Client {
        Client::of(&self.try_login(email, PASSWORD).await.expect(200))
    }

    async fn try_refresh(&self, refresh_token: &str) -> Response {
        self.app.post("/auth/refresh").json(json!({"refresh_token": refresh_token})).send().await
    }

    /// Asks for a letter, and waits for the token in it.
    async fn forgot(&self, email: &str) -> String {
        let before = self.app.published::<PasswordResetRequested>().await.len();
        self.app.post("/auth/password/forgot").json(json!({"email": email})).send().await.expect(202);
        let asked = std::time::Instant::now();
        loop {
            let letters = self.app.published::<PasswordResetRequested>().await;
            if let Some(letter) = letters.get(before) {
                return letter.token.0.clone();
            }
            assert!(asked.elapsed() < Duration::from_secs(10), "no letter");
            tokio::task::yield_now().await;
        }
    }

    async fn reset(&self, token: &str, new_password: &str) -> Response {
        let body = json!({"token": token, "new_password": new_password});
        self.app.post("/auth/password/reset").json(body).send().await
    }

    async fn change_password(&self, client: &Client, current: &str, new: &str) -> Response {
        let body = json!({"current_password": current, "new_password": new});
        self.app.post("/auth/password/change").by(&client.user).json(body).send().await
    }

    /// Sets up an authenticator app; gives its secret and the recovery codes.
    async fn enrol(&self, client: &Client) -> (Vec<u8>, Vec<String>) {
        let secret = self.begin_totp(client).await;
        let code = self.code(&secret, 0);
        let confirmed = self.confirm_totp(client, &code).await.expect(200);
        assert_eq!(confirmed.header("cache-control"), "no-store");
        let codes = confirmed.json["recovery_codes"].as_array().unwrap();
        (secret, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
    }

    async fn begin_totp(&self, client: &Client) -> Vec<u8> {
        let begun = self
            .app
            .post("/auth/totp")
            .by(&client.user)
            .json(json!({"password": PASSWORD}))
            .send()
            .await
            .expect(200);
        assert_eq!(begun.header("cache-control"), "no-store");
        let secret = begun.json["secret"].as_str().unwrap();
        assert!(begun.json["otpauth_uri"].as_str().unwrap().contains(&format!("secret={secret}&")));
        unbase32(secret)
    }

    async fn confirm_totp(&self, client: &Client, code: &str) -> Response {
        self.app.post("/auth/totp/confirm").by(&client.user).json(json!({"code": code})).send().await
    }

    /// What an app shows some steps from now.
    fn code(&self, secret: &[u8], steps: i64) -> String {
        let step = self.bench.system.now().ms() / 30_000 + steps;
        let mut mac = Hmac::<Sha1>::new_from_slice(secret).unwrap();
        mac.update(&u64::try_from(step).unwrap().to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = usize::from(digest[19] & 15);
        let number = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    async fn login_with(&self, email: &str, code: &str) -> Response {
        self.app
            .post("/auth/login")
            .json(json!({"email": email, "password": PASSWORD, "code": code}))
            .send()
            .await
    }

    /// Moves the clock to the next code, and to its beginning, so that a slow test stays within it.
    fn next_code(&self) {
        let into = u64::try_from(self.bench.system.now().ms() % 30_000).unwrap();
        self.bench.clock.advance(Duration::from_millis(30_001 - into));
    }

    async fn account(&self, client: &Client) -> Value {
        self.app.get("/auth/account").by(&client.user).send().await.expect(200).json
    }

    async fn refresh(&self, client: &Client) -> Client {
        Client::of(&self.try_refresh(&client.refresh_token).await.expect(200))
    }

    async fn verify(&self, user: &TestUser) -> Response {
        self.app.post("/auth/verify").by(user).send().await
    }

    async fn verify_token(&self, user: &TestUser, token: &str) -> Response {
        self.verify(&TestUser { token: token.to_owned(), ..user.clone() }).await
    }

    async fn profile(&self, id: UserId) -> Profile {
        self.users.profile(id).await.unwrap().unwrap()
    }

    /// As `users` does when an admin changes a role or switches an account on or off.
    async fn change_access(&self, id: UserId, role: Role, active: bool) -> UserAccessChanged {
        let changed_at = self.bench.system.now();
        self.users.put(Profile { role, active, ..self.profile(id).await });
        UserAccessChanged { user_id: id, role, active, changed_at, before: None, by: By::Shop }
    }

    async fn count(&self, table: &str) -> i64 {
        let db = self.auth.db();
        let sql = format!("SELECT COUNT(*) AS n FROM {table}");
        let row =
            db.reader().query_one_raw(Statement::from_string(db.backend(), sql)).await.unwrap().unwrap();
        row.try_get("", "n").unwrap()
    }

    async fn execute(&self, sql: &str) -> Result<(), sea_orm::DbErr> {
        self.auth.db().writer().execute_unprepared(sql).await.map(|_| ())
    }
}

fn unbase32(text: &str) -> Vec<u8> {
    let bits: String = text
        .bytes()
        .map(|byte| {
            format!(
                "{:05b}",
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|digit| *digit == byte).unwrap()
            )
        })
        .collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|bits| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap())
        .collect()
}

fn account(email: &str, password: &str, role: Role) -> NewAccount {
    NewAccount {
        email: EmailAddress::parse(email).unwrap(),
        username: None,
        name: None,
        password: password.to_owned(),
        role,
    }
}

testkit::on_every_database! {
    async fn a_customer_registers_logs_in_and_is_known_by_the_token(engine: Engine) {
        let gate = Gate::open(engine).await;
        let body = json!({"email": "Ada@Example.com", "password": PASSWORD, "username": "ada", "name": "Ada Lovelace", "role": "admin"});
        let registered = gate.app.post("/auth/register").key("a-key").json(body).send().await.expect(201);
        assert_eq!(registered.header("cache-control"), "no-store");
        let answer = &registered.json;
        assert_eq!(answer["token"], answer["access_token"]);
        assert_eq!((answer["token_type"].as_str(), answer["expires_in"].as_i64()), (Some("Bearer"), Some(900)));
        let user = &answer["user"];
        assert_eq!(
            *user,
            json!({"id": user["id"], "email": EMAIL, "username": "ada", "name": "Ada Lovelace", "role": "customer"})
        );

        let login = gate.try_login(" ADA@example.com ", PASSWORD).await.expect(200);
        assert_eq!(login.json["user"], *user);
        assert_ne!(login.json["refresh_token"], answer["refresh_token"]);
        let client = Client::of(&login);
        let verified = gate.verify(&client.user).await.expect(200).json;
        assert_eq!(
            verified,
            json!({"valid": true, "user_id": user["id"], "email": EMAIL, "role": "customer", "expires_at": verified["expires_at"]})
        );
        let claims: AccessClaims = serde_json::from_value(client.claims()).unwrap();
        assert_eq!((claims.iss.as_str(), claims.aud.as_str(), claims.exp - claims.iat), ("souk", "souk", 900));
        assert_eq!(part(&client.user.token, 0)["typ"], "at+jwt");
        assert_eq!(part(&client.user.token, 0)["alg"], "EdDSA");
        gate.app.assert_healthy().await;
    }

    async fn an_address_logs_in_and_registers_only_so_often(engine: Engine) {
        let gate = Gate::open(engine).await;
        let settings = limits::Settings { login_per_minute: 3, register_per_minute: 2, ..limits::Settings::default() };
        let limiter = RateLimiter::new(settings, gate.bench.clock.clone(), None);
        let app = TestApp::start_limited(gate.auth.clone(), gate.bench.tokens.verifier(), limiter).await;
        let post = |path: &str, address: &str, body: &Value| app.post(path).header("X-Forwarded-For", address).json(body.clone()).send();
        let registered = |n: usize| json!({"email": format!("{n}@example.com"), "password": PASSWORD});
        post("/auth/register", "1.1.1.1", &registered(0)).await.expect(201);
        post("/users/register", "1.1.1.1", &registered(1)).await.expect(201);
        post("/users/register", "1.1.1.1", &registered(2)).await.expect_problem(429, "too_many_requests");
        post("/auth/register", "2.2.2.2", &registered(2)).await.expect(201);
        // Logins count together, right or wrong, whatever the client says before the proxy.
        let login = json!({"email": "0@example.com", "password": PASSWORD});
        let wrong = json!({"email": "0@example.com", "password": "wrong"});
        post("/auth/login", "6.6.6.1, 1.1.1.1", &login).await.expect(200);
        post("/users/login", "6.6.6.2, 1.1.1.1", &wrong).await.expect(401);
        post("/auth/login", "6.6.6.3, 1.1.1.1", &login).await.expect(200);
        let refused = post("/users/login", "6.6.6.4, 1.1.1.1", &login).await.expect_problem(429, "too_many_requests");
        let wait_s: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait_s), "{wait_s}");
        post("/auth/login", "2.2.2.2", &login).await.expect(200);
        gate.bench.clock.advance(Duration::from_secs(wait_s));
        post("/auth/login", "1.1.1.1", &login).await.expect(200);
    }

    async fn users_register_and_login_are_the_same_as_those_of_auth(engine: Engine) {
        let gate = Gate::open(engine).await;
        let body = json!({"email": EMAIL, "password": PASSWORD, "username": "ada"});
        gate.app.post("/users/register").json(body.clone()).send().await.expect(201);
        gate.app.post("/users/register").json(body).send().await.expect_problem(409, "email_taken");
        let login = gate.app.post("/users/login").json(json!({"username": "ada", "password": PASSWORD})).send().await;
        gate.verify(&Client::of(&login.expect(200)).user).await.expect(200);
        let wrong = gate.app.post("/users/login").json(json!({"email": EMAIL, "password": "wrong"})).send().await;
        wrong.expect_problem(401, "invalid_credentials");
    }

    async fn a_registration_is_refused_with_the_place_at_fault(engine: Engine) {
        let gate = Gate::open(engine).await;
        let register = |body: Value| gate.app.post("/auth/register").json(body).send();
        let long = "x".repeat(129);
        for (body, pointer) in [
            (json!({"email": "ada", "password": PASSWORD}), "/email"),
            (json!({"email": EMAIL, "password": "1234567"}), "/password"),
            (json!({"email": EMAIL, "password": long}), "/password"),
            (json!({"email": EMAIL, "password": 12345678}), "/password"),
        ] {
            let refused = register(body).await.expect_problem(400, "invalid_body");
            assert_eq!(refused.json["errors"][0]["pointer"], pointer);
            assert!(!refused.text.contains(PASSWORD), "{}", refused.text);
        }
        register(json!({"email": EMAIL})).await.expect_problem(400, "invalid_body");
        gate.app.post("/auth/register").body("text/plain", "x").send().await.expect_problem(415, "unsupported_media_type");
        assert_eq!(gate.count("credentials").await, 0);

        register(json!({"email": EMAIL, "password": PASSWORD, "username": "ada"})).await.expect(201);
        register(json!({"email": "ADA@example.com", "password": PASSWORD})).await.expect_problem(409, "email_taken");
        let taken = json!({"email": "ada@example.org", "password": PASSWORD, "username": "ada"});
        register(taken).await.expect_problem(409, "username_taken");
        assert_eq!(gate.count("credentials").await, 1);
    }

    async fn of_twenty_registrations_of_one_address_at_once_one_succeeds(engine: Engine) {
        let gate = Gate::open(engine).await;
        let answers = join_all((0..20).map(|_| {
            gate.app.post("/auth/register").json(json!({"email": EMAIL, "password": PASSWORD})).send()
        })).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.code() == "email_taken").count(), 19);
        assert_eq!(gate.count("credentials").await, 1, "the credentials of the refused are taken back");
        gate.app.assert_healthy().await;
    }

    async fn a_registration_without_users_is_told_to_come_back_and_can(engine: Engine) {
        let gate = Gate::open(engine).await;
        *gate.users.down.lock().unwrap() = true;
        let body = json!({"email": EMAIL, "password": PASSWORD});
        gate.app.post("/auth/register").json(body).send().await.expect_problem(503, "unavailable");
        gate.try_login(EMAIL, PASSWORD).await.expect_problem(503, "unavailable");
        *gate.users.down.lock().unwrap() = false;
        gate.register(EMAIL).await;
        // A credential without a profile, as a loss of power leaves it, is in nobody's way.
        let orphan = "INSERT INTO credentials (user_id, password_hash, created_at_ms, changed_at_ms) VALUES ($1, 'x', 0, 0)";
        let values = [sea_orm::Value::from(gate.bench.system.id())];
        let statement = Statement::from_sql_and_values(gate.auth.db().backend(), orphan, values);
        gate.auth.db().writer().execute_raw(statement).await.unwrap();
        gate.login(EMAIL).await;
        gate.app.assert_healthy().await;
    }

    async fn unknown_wrong_and_inactive_sound_the_same(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        let off = gate.register("off@example.com").await;
        gate.users.put(Profile { active: false, ..gate.profile(off.user.id).await });
        // Imported users have a profile and no password.
        let imported = Profile {
            id: UserId(gate.bench.system.id()),
            email: EmailAddress::parse("imported@example.com").unwrap(),
            ..gate.profile(client.user.id).await
        };
        gate.users.put(imported);
        let mut bodies = Vec::new();
        for (name, password) in [
            ("nobody@example.com", PASSWORD),
            (EMAIL, "wrong"),
            ("off@example.com", PASSWORD),
            ("imported@example.com", PASSWORD),
            ("\u{1}", PASSWORD),
            ("", ""),
        ] {
            let refused = gate.try_login(name, password).await.expect_problem(401, "invalid_credentials");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
            bodies.push(refused.text);
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
    }

    async fn a_login_has_exactly_one_name(engine: Engine) {
        let gate = Gate::open(engine).await;
        gate.app.post("/auth/register").json(json!({"email": EMAIL, "password": PASSWORD, "username": "ada"})).send().await.expect(201);
        let login = |body: Value| gate.app.post("/auth/login").json(body).send();
        for body in [
            json!({"email": EMAIL, "password": PASSWORD}),
            json!({"username": EMAIL, "password": PASSWORD}),
            json!({"username": "Ada", "password": PASSWORD}),
            json!({"email": "ada", "password": PASSWORD}),
        ] {
            login(body).await.expect(200);
        }
        for body in [
            json!({"password": PASSWORD}),
            json!({"email": EMAIL, "username": "ada", "password": PASSWORD}),
            json!({"email": EMAIL}),
            json!({"email": [EMAIL], "password": PASSWORD}),
        ] {
            login(body).await.expect_problem(400, "invalid_body");
        }
    }

    async fn a_password_that_attackers_try_first_is_refused_wherever_it_is_chosen(engine: Engine) {
        let gate = Gate::open(engine).await;
        let refused = |answer: Response, pointer: &str, word: &str| {
            let answer = answer.expect_problem(400, "invalid_body");
            let error = &answer.json["errors"][0];
            assert_eq!(error["pointer"], pointer);
            assert!(error["detail"].as_str().unwrap().contains(word), "{}", answer.text);
        };
        for (password, word) in [("PassWord123", "usual"), ("qwertyuiop", "usual"), ("Ada@Example.com", "email"), ("countess-ada", "username")] {
            let body = json!({"email": EMAIL, "username": "countess-ada", "password": password});
            refused(gate.app.post("/auth/register").json(body).send().await, "/password", word);
        }
        assert_eq!(gate.count("credentials").await, 0);
        let client = gate.register(EMAIL).await;
        refused(gate.change_password(&client, PASSWORD, "password1").await, "/new_password", "usual");
        let token = gate.forgot(EMAIL).await;
        refused(gate.reset(&token, "letmein123").await, "/new_password", "usual");
        refused(gate.reset(&token, "short").await, "/new_password", "8 to 128");
        gate.reset(&token, NEW_PASSWORD).await.expect(204);
        gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
    }

    async fn another_password_ends_every_session_but_the_one_it_gives(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (client, other) = (gate.register(EMAIL).await, gate.login(EMAIL).await);
        let bystander = gate.register("other@example.com").await;
        let before = gate.account(&client).await;
        assert_eq!(before["email_verified"], false);
        gate.app.post("/auth/password/change").json(json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD})).send().await.expect_problem(401, "unauthenticated");
        gate.change_password(&client, "wrong", NEW_PASSWORD).await.expect_problem(403, "wrong_password");
        gate.verify(&other.user).await.expect(200);
        gate.bench.clock.advance(Duration::from_millis(5));
        let token = gate.forgot(EMAIL).await;
        let changed = gate.change_password(&client, PASSWORD, NEW_PASSWORD).await.expect(200);
        assert_eq!(changed.header("cache-control"), "no-store");
        let fresh = Client::of(&changed);
        for old in [&client, &other] {
            gate.verify(&old.user).await.expect_problem(401, "unauthenticated");
            gate.try_refresh(&old.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        }
        gate.verify(&fresh.user).await.expect(200);
        let fresh = gate.refresh(&fresh).await;
        gate.verify(&bystander.user).await.expect(200);
        assert_ne!(gate.account(&fresh).await["password_changed_at"], before["password_changed_at"]);
        gate.try_login(EMAIL, PASSWORD).await.expect_problem(401, "invalid_credentials");
        gate.try_login(EMAIL, NEW_PASSWORD).await.expect(200);
        // A letter that was on its way is void.
        gate.reset(&token, PASSWORD).await.expect_problem(400, "invalid_mailed_token");
        let ended = gate.app.published::<UserSessionsEnded>().await;
        assert_eq!((ended.len(), ended[0].user_id), (1, client.user.id));
        assert_eq!(gate.app.published::<PasswordChanged>().await.len(), 1);
        // A restarted process knows it too.
        let gate = gate.restart(cheap()).await;
        gate.verify(&other.user).await.expect_problem(401, "unauthenticated");
        gate.verify(&fresh.user).await.expect(200);
        gate.app.assert_healthy().await;
    }

    async fn of_two_changes_of_a_password_at_once_one_holds(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        let other = gate.login(EMAIL).await;
        let (one, two) = join(
            gate.change_password(&client, PASSWORD, "the first new password"),
            gate.change_password(&other, PASSWORD, "the second new password"),
        ).await;
        assert_eq!([one.status, two.status].iter().filter(|status| **status == 200).count(), 1, "{} {}", one.text, two.text);
        let holds = if one.status == 200 { "the first new password" } else { "the second new password" };
        gate.try_login(EMAIL, holds).await.expect(200);
        assert_eq!(gate.app.published::<PasswordChanged>().await.len(), 1);
    }

    async fn no_login_slips_past_a_change_of_the_password(engine: Engine) {
        let gate = Gate::open_with(engine, Settings { hashing_threads: 4, ..cheap() }).await;
        let client = gate.register(EMAIL).await;
        let logins = join_all((0..20).map(|_| gate.try_login(EMAIL, PASSWORD)));
        let (logins, changed) = join(logins, gate.change_password(&client, PASSWORD, NEW_PASSWORD)).await;
        let fresh = Client::of(&changed.expect(200));
        for login in logins.into_iter().filter(|login| login.status == 200).map(|login| Client::of(&login)) {
            gate.verify(&login.user).await.expect_problem(401, "unauthenticated");
            gate.try_refresh(&login.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        }
        gate.verify(&fresh.user).await.expect(200);
        assert_eq!(gate.count("sessions WHERE ended_at_ms IS NULL").await, 1);
    }

    async fn guesses_of_the_current_password_are_throttled(engine: Engine) {
        let gate = Gate::open_with(engine, Settings { max_failures_per_account: 3, ..cheap() }).await;
        let client = gate.register(EMAIL).await;
        for _ in 0..3 {
            gate.change_password(&client, "wrong", NEW_PASSWORD).await.expect_problem(403, "wrong_password");
        }
        gate.change_password(&client, PASSWORD, NEW_PASSWORD).await.expect_problem(429, "too_many_requests");
    }

    async fn a_forgotten_password_is_replaced_with_a_token_from_a_letter(engine: Engine) {
        let pages = Settings { reset_url: "https://shop.example/reset?t={token}".to_owned(), ..cheap() };
        let gate = Gate::open_with(engine, pages).await;
        let client = gate.register(EMAIL).await;
        let void = gate.forgot("ADA@example.com").await;
        let token = gate.forgot(EMAIL).await;
        let letter = gate.app.published::<PasswordResetRequested>().await.pop().unwrap();
        assert_eq!((letter.user_id, letter.link.unwrap().0), (client.user.id, format!("https://shop.example/reset?t={token}")));
        for bad in [void.as_str(), "", "x", &"A".repeat(43), &client.refresh_token] {
            gate.reset(bad, NEW_PASSWORD).await.expect_problem(400, "invalid_mailed_token");
        }
        gate.verify(&client.user).await.expect(200);
        gate.bench.clock.advance(Duration::from_millis(5));
        // Of many uses at once one succeeds.
        let answers = join_all((0..8).map(|_| gate.reset(&token, NEW_PASSWORD))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 204).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.code() == "invalid_mailed_token").count(), 7);
        gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.try_login(EMAIL, PASSWORD).await.expect_problem(401, "invalid_credentials");
        let back = Client::of(&gate.try_login(EMAIL, NEW_PASSWORD).await.expect(200));
        assert_eq!(gate.account(&back).await["email_verified"], true, "who reads the mail owns the address");
        let dump = format!("{:?}", gate.app.published::<PasswordResetRequested>().await);
        assert!(!dump.contains(&token), "{dump}");
        gate.app.assert_healthy().await;
    }

    async fn a_letter_is_good_for_half_an_hour_and_few_are_sent(engine: Engine) {
        let gate = Gate::open(engine).await;
        gate.register(EMAIL).await;
        let token = gate.forgot(EMAIL).await;
        gate.bench.clock.advance(Duration::from_secs(30 * 60));
        gate.reset(&token, NEW_PASSWORD).await.expect_problem(400, "invalid_mailed_token");
        gate.app.work("auth.purge").await;
        assert_eq!(gate.count("mailed_tokens").await, 0);
        let token = gate.forgot(EMAIL).await;
        gate.bench.clock.advance(Duration::from_secs(29 * 60));
        gate.reset(&token, NEW_PASSWORD).await.expect(204);
        gate.register("other@example.com").await;
        let mut last = String::new();
        for _ in 0..3 {
            last = gate.forgot(EMAIL).await;
        }
        let sent = gate.app.published::<PasswordResetRequested>().await.len();
        let forgot = |email: &str| gate.app.post("/auth/password/forgot").json(json!({"email": email})).send();
        // The fourth answer is like the others, and like that about nobody.
        let (fourth, nobody) = (forgot(EMAIL).await.expect(202), forgot("nobody@example.com").await.expect(202));
        assert_eq!((fourth.text.as_str(), nobody.text.as_str()), ("", ""));
        assert_eq!(fourth.headers.len(), nobody.headers.len());
        gate.forgot("other@example.com").await;
        assert_eq!(gate.app.published::<PasswordResetRequested>().await.len(), sent + 1);
        gate.reset(&last, PASSWORD).await.expect(204);
        forgot("no address").await.expect_problem(400, "invalid_body");
    }

    async fn a_newcomer_is_asked_to_verify_the_address(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (client, eve) = (gate.register(EMAIL).await, gate.register("eve@example.com").await);
        let event = UserRegistered { user_id: client.user.id, email: EmailAddress::parse(EMAIL).unwrap(), name: None, role: None, by: By::Shop };
        let id = gate.bench.system.id();
        for _redelivery in 0..2 {
            gate.app.deliver(id, &event).await.unwrap();
        }
        // Imported users have no password and did not ask for anything.
        let imported = UserRegistered { user_id: UserId(gate.bench.system.id()), ..event };
        gate.app.deliver(gate.bench.system.id(), &imported).await.unwrap();
        let letters = gate.app.published::<EmailVerificationRequested>().await;
        assert_eq!(letters.len(), 1);
        let verify = |token: &str| gate.app.post("/auth/email/verify").json(json!({"token": token})).send();
        let again = || gate.app.post("/auth/email/verification");
        again().send().await.expect_problem(401, "unauthenticated");
        again().by(&client.user).send().await.expect(202);
        verify(&letters[0].token.0).await.expect_problem(400, "invalid_mailed_token");
        let letter = gate.app.published::<EmailVerificationRequested>().await.pop().unwrap();
        // A token for one thing is none for another.
        gate.reset(&letter.token.0, NEW_PASSWORD).await.expect_problem(400, "invalid_mailed_token");
        assert_eq!(gate.account(&client).await["email_verified"], false);
        verify(&letter.token.0).await.expect(204);
        verify(&letter.token.0).await.expect_problem(400, "invalid_mailed_token");
        assert_eq!(gate.account(&client).await["email_verified"], true);
        assert_eq!(gate.account(&eve).await["email_verified"], false);
        again().by(&client.user).send().await.expect(202);
        assert_eq!(gate.app.published::<EmailVerificationRequested>().await.len(), 2, "nothing is left to verify");
        gate.app.get("/auth/account").send().await.expect_problem(401, "unauthenticated");
    }

    async fn an_attacker_cannot_lock_the_owner_out(engine: Engine) {
        let settings = Settings { max_failures_per_account: 3, max_failures_per_account_in_all: 9, ..cheap() };
        let gate = Gate::open_with(engine, settings).await;
        let nothing = limits::Settings { login_per_minute: 0, register_per_minute: 0, ..limits::Settings::default() };
        let limiter = RateLimiter::new(nothing, gate.bench.clock.clone(), None);
        let app = TestApp::start_limited(gate.auth.clone(), gate.bench.tokens.verifier(), limiter).await;
        let post = |path: &str, address: &str, body: Value| app.post(path).header("X-Forwarded-For", address).json(body).send();
        let login = |address: &str, password: &str| post("/auth/login", address, json!({"email": EMAIL, "password": password}));
        post("/auth/register", "1.1.1.1", json!({"email": EMAIL, "password": PASSWORD, "username": "ada"})).await.expect(201);

        // One attacker uses up what is theirs.
        for _ in 0..3 {
            login("6.6.6.6", "wrong").await.expect_problem(401, "invalid_credentials");
        }
        login("6.6.6.6", PASSWORD).await.expect_problem(429, "too_many_requests");
        login("2.2.2.2", PASSWORD).await.expect(200);
        // A crowd of them uses up what strangers may do together, and does not let go of it.
        for address in ["6.6.7.1", "6.6.7.2"] {
            for _ in 0..3 {
                login(address, "wrong").await.expect_problem(401, "invalid_credentials");
            }
        }
        login("6.6.7.3", "wrong").await.expect_problem(429, "too_many_requests");
        login("3.3.3.3", PASSWORD).await.expect_problem(429, "too_many_requests");
        // The owner gets in from where they have been, under each name, and keeps a bound of their own.
        login("1.1.1.1", PASSWORD).await.expect(200);
        login("2.2.2.2", PASSWORD).await.expect(200);
        post("/users/login", "2.2.2.2", json!({"username": "ada", "password": PASSWORD})).await.expect(200);
        login("1.1.1.1", "wrong").await.expect_problem(401, "invalid_credentials");
        // From a new place a letter opens the way.
        let token = gate.forgot(EMAIL).await;
        post("/auth/password/reset", "3.3.3.3", json!({"token": token, "new_password": NEW_PASSWORD})).await.expect(204);
        login("3.3.3.3", NEW_PASSWORD).await.expect(200);
        login("4.4.4.4", NEW_PASSWORD).await.expect_problem(429, "too_many_requests");
        // Also from where the attacker is, as behind one router: what failed there is forgiven.
        login("6.6.6.6", NEW_PASSWORD).await.expect_problem(429, "too_many_requests");
        let token = gate.forgot(EMAIL).await;
        post("/auth/password/reset", "6.6.6.6", json!({"token": token, "new_password": PASSWORD})).await.expect(204);
        login("6.6.6.6", PASSWORD).await.expect(200);
        // A place where nobody was let in for long is a stranger's again.
        gate.bench.clock.advance(Duration::from_secs(91 * 86_400));
        gate.app.work("auth.purge").await;
        assert_eq!((gate.count("known_clients").await, gate.count("login_failures").await), (0, 0));
    }

    async fn a_second_factor_is_asked_for_once_it_is_in_force(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        gate.next_code();
        gate.app.post("/auth/totp").json(json!({"password": PASSWORD})).send().await.expect_problem(401, "unauthenticated");
        gate.app.post("/auth/totp").by(&client.user).json(json!({"password": "wrong"})).send().await.expect_problem(403, "wrong_password");
        gate.confirm_totp(&client, "123456").await.expect_problem(409, "no_enrolment");
        // Begun and not confirmed, it is asked of nobody; begun again, the first secret is void.
        let void = gate.begin_totp(&client).await;
        gate.login(EMAIL).await;
        let secret = gate.begin_totp(&client).await;
        gate.confirm_totp(&client, &gate.code(&void, 0)).await.expect_problem(400, "invalid_code");
        gate.confirm_totp(&client, &gate.code(&secret, 9)).await.expect_problem(400, "invalid_code");
        let confirmed = gate.confirm_totp(&client, &gate.code(&secret, 0)).await.expect(200);
        assert_eq!(confirmed.json["recovery_codes"].as_array().unwrap().len(), 10);
        gate.app.post("/auth/totp").by(&client.user).json(json!({"password": PASSWORD})).send().await.expect_problem(409, "second_factor_in_force");
        let account = gate.account(&client).await;
        assert_eq!((&account["second_factor"], &account["recovery_codes"]), (&json!(true), &json!(10)));

        gate.next_code();
        let code = gate.code(&secret, 0);
        let required = gate.try_login(EMAIL, PASSWORD).await.expect_problem(401, "second_factor_required");
        assert!(required.json["access_token"].is_null());
        gate.login_with(EMAIL, "").await.expect_problem(401, "second_factor_required");
        gate.login_with(EMAIL, "000000").await.expect_problem(401, "invalid_second_factor");
        let wrong = json!({"email": EMAIL, "password": "wrong", "code": code});
        gate.app.post("/auth/login").json(wrong).send().await.expect_problem(401, "invalid_credentials");
        let back = Client::of(&gate.login_with(EMAIL, &code).await.expect(200));
        gate.verify(&back.user).await.expect(200);
        gate.refresh(&back).await;
        gate.verify(&client.user).await.expect(200);
        // A reset by mail does not go around it.
        let token = gate.forgot(EMAIL).await;
        gate.reset(&token, NEW_PASSWORD).await.expect(204);
        gate.try_login(EMAIL, NEW_PASSWORD).await.expect_problem(401, "second_factor_required");
        gate.app.assert_healthy().await;
    }

    async fn a_code_is_good_once_and_for_a_moment(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        gate.next_code();
        let (secret, _) = gate.enrol(&client).await;
        gate.login_with(EMAIL, &gate.code(&secret, 0)).await.expect_problem(401, "invalid_second_factor");
        gate.next_code();
        let code = gate.code(&secret, 0);
        let answers = join_all((0..8).map(|_| gate.login_with(EMAIL, &code))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.code() == "invalid_second_factor").count(), 7);
        // One step early is good, and then what came before is spent.
        gate.bench.clock.advance(Duration::from_secs(3_600));
        gate.next_code();
        gate.login_with(EMAIL, &gate.code(&secret, -2)).await.expect_problem(401, "invalid_second_factor");
        gate.login_with(EMAIL, &gate.code(&secret, 2)).await.expect_problem(401, "invalid_second_factor");
        gate.login_with(EMAIL, &format!(" {} ", gate.code(&secret, 1))).await.expect(200);
        gate.login_with(EMAIL, &gate.code(&secret, 0)).await.expect_problem(401, "invalid_second_factor");
    }

    async fn guesses_of_a_code_are_throttled_wherever_they_come_from(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        gate.next_code();
        let (secret, codes) = gate.enrol(&client).await;
        gate.next_code();
        let answers = join_all((0..30).map(|_| gate.login_with(EMAIL, "000000"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.code() == "invalid_second_factor").count(), 10);
        assert_eq!(answers.iter().filter(|answer| answer.code() == "too_many_requests").count(), 20);
        gate.login_with(EMAIL, &gate.code(&secret, 0)).await.expect_problem(429, "too_many_requests");
        gate.login_with(EMAIL, &codes[0]).await.expect_problem(429, "too_many_requests");
        gate.bench.clock.advance(Duration::from_secs(3_600));
        gate.app.work("auth.purge").await;
        gate.login_with(EMAIL, &gate.code(&secret, 0)).await.expect(200);
        assert_eq!(gate.count("login_failures").await, 0);
    }

    async fn a_recovery_code_is_good_once(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (client, eve) = (gate.register(EMAIL).await, gate.register("eve@example.com").await);
        gate.next_code();
        let (_, codes) = gate.enrol(&client).await;
        let (_, eves) = gate.enrol(&eve).await;
        gate.login_with(EMAIL, &eves[0]).await.expect_problem(401, "invalid_second_factor");
        let answers = join_all((0..5).map(|_| gate.login_with(EMAIL, &codes[0]))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        gate.login_with(EMAIL, &codes[1].replace('-', " ").to_lowercase()).await.expect(200);
        assert_eq!(gate.account(&client).await["recovery_codes"], 8);
        let db = gate.auth.db();
        for table in ["second_factors", "recovery_codes"] {
            let sql = format!("SELECT * FROM {table}");
            for row in db.reader().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap() {
                assert!(!format!("{row:?}").contains(&codes[2]));
            }
        }

        let remove = |client: &Client, password: &str, code: &str| {
            gate.app.call("DELETE", "/auth/totp").by(&client.user).json(json!({"password": password, "code": code})).send()
        };
        remove(&client, "wrong", &codes[2]).await.expect_problem(403, "wrong_password");
        remove(&client, PASSWORD, "000000").await.expect_problem(401, "invalid_second_factor");
        remove(&client, PASSWORD, &codes[2]).await.expect(204);
        remove(&client, PASSWORD, &codes[3]).await.expect_problem(409, "no_second_factor");
        let told = gate.app.published::<SecondFactorRemoved>().await;
        assert_eq!((told.len(), told[0].user_id), (1, client.user.id));
        gate.verify(&client.user).await.expect(200);
        gate.login(EMAIL).await;
        assert_eq!(gate.count("recovery_codes").await, 10, "those of the other account");
        gate.try_login("eve@example.com", PASSWORD).await.expect_problem(401, "second_factor_required");
    }

    async fn an_operator_takes_away_a_second_factor_that_was_lost(engine: Engine) {
        let gate = Gate::open(engine).await;
        let body = json!({"email": EMAIL, "username": "ada", "password": PASSWORD});
        let client = Client::of(&gate.app.post("/auth/register").json(body).send().await.expect(201));
        let eve = gate.register("eve@example.com").await;
        gate.next_code();
        // One that is only being set up is none.
        gate.begin_totp(&client).await;
        let refused = gate.auth.remove_second_factor(EMAIL).await.unwrap_err();
        assert!(matches!(refused, SecondFactorError::NoSecondFactor), "{refused}");
        gate.enrol(&client).await;
        gate.enrol(&eve).await;
        // The owner has tried what came to mind, and may not try any more.
        for _ in 0..10 {
            gate.login_with(EMAIL, "000000").await.expect_problem(401, "invalid_second_factor");
        }
        gate.login_with(EMAIL, "000000").await.expect_problem(429, "too_many_requests");

        for nobody in ["nobody@example.com", "", "a\0b"] {
            let refused = gate.auth.remove_second_factor(nobody).await.unwrap_err();
            assert!(matches!(refused, SecondFactorError::NoSuchUser), "{refused}");
        }
        let removed = gate.auth.remove_second_factor(" Ada ").await.unwrap();
        assert_eq!((removed.id, removed.email.as_str()), (client.user.id, EMAIL));
        let refused = gate.auth.remove_second_factor(EMAIL).await.unwrap_err();
        assert!(matches!(refused, SecondFactorError::NoSecondFactor), "{refused}");
        gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        assert_eq!(gate.app.published::<UserSessionsEnded>().await.len(), 1);
        let told = gate.app.published::<SecondFactorRemoved>().await;
        assert_eq!((told.len(), told[0].user_id), (1, client.user.id));

        // The password is enough, and another app can be set up at once. Nobody else has noticed.
        let back = gate.login(EMAIL).await;
        let (_, codes) = gate.enrol(&back).await;
        assert_eq!(codes.len(), 10);
        assert_eq!(gate.count("recovery_codes").await, 20, "ten each");
        gate.verify(&eve.user).await.expect(200);
        gate.try_login("eve@example.com", PASSWORD).await.expect_problem(401, "second_factor_required");
        gate.app.assert_healthy().await;
    }

    async fn an_operator_who_takes_a_second_factor_away_twice_at_once_does_it_once(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        gate.next_code();
        gate.enrol(&client).await;
        let other = gate.beside().await;
        let (one, two) = join(gate.auth.remove_second_factor(EMAIL), other.remove_second_factor(EMAIL)).await;
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|done| **done).count(), 1);
        assert_eq!(gate.app.published::<SecondFactorRemoved>().await.len(), 1);
        gate.login(EMAIL).await;
    }

    async fn an_admin_without_the_second_factor_that_is_needed_is_a_customer(engine: Engine) {
        let gate = Gate::open(engine).await;
        gate.auth.create_account(account(EMAIL, PASSWORD, Role::Admin)).await.unwrap();
        let before = gate.login(EMAIL).await;
        assert_eq!(before.user.role, Role::Admin);
        let body = json!({"name": "x", "scopes": ["auth:read"]});
        let made = gate.app.post("/auth/api-keys").by(&before.user).json(body).send().await.expect(201);
        let gate = gate.restart(Settings { require_second_factor_for_admins: true, ..cheap() }).await;
        // A key is no way round it.
        let by_key = gate.verify_token(&before.user, made.json["key"].as_str().unwrap()).await;
        assert_eq!(by_key.expect(200).json["role"], "customer");
        let refreshed = gate.try_refresh(&before.refresh_token).await.expect(200);
        assert_eq!((&refreshed.json["user"]["role"], &refreshed.json["second_factor_enrolment_required"]), (&json!("customer"), &json!(true)));
        let login = gate.try_login(EMAIL, PASSWORD).await.expect(200);
        assert_eq!((&login.json["user"]["role"], &login.json["second_factor_enrolment_required"]), (&json!("customer"), &json!(true)));
        let limited = Client::of(&login);
        assert_eq!(gate.verify(&limited.user).await.expect(200).json["role"], "customer");
        // Nothing of a customer's changes.
        let customer = gate.register("customer@example.com").await;
        assert!(gate.try_login("customer@example.com", PASSWORD).await.expect(200).json.get("second_factor_enrolment_required").is_none());
        gate.refresh(&customer).await;

        gate.next_code();
        let (secret, codes) = gate.enrol(&limited).await;
        // The session that began without it does not grow.
        let same = gate.refresh(&limited).await;
        assert_eq!(same.user.role, Role::Customer);
        let changed = gate.change_password(&same, PASSWORD, NEW_PASSWORD).await.expect(200);
        assert_eq!(changed.json["user"]["role"], "customer");
        gate.next_code();
        let body = json!({"email": EMAIL, "password": NEW_PASSWORD, "code": gate.code(&secret, 0)});
        let full = Client::of(&gate.app.post("/auth/login").json(body).send().await.expect(200));
        assert_eq!(gate.verify(&full.user).await.expect(200).json["role"], "admin");
        assert_eq!(gate.refresh(&full).await.user.role, Role::Admin);
        let remove = json!({"password": NEW_PASSWORD, "code": codes[0]});
        gate.app.call("DELETE", "/auth/totp").by(&full.user).json(remove).send().await.expect_problem(409, "second_factor_needed");
    }

    async fn long_passwords_count_to_their_last_character(engine: Engine) {
        let gate = Gate::open(engine).await;
        let long = "a".repeat(72);
        let wide = "🔑".repeat(64);
        for (email, right, wrong) in [
            ("long@example.com", format!("{long}x"), format!("{long}y")),
            ("wide@example.com", wide.clone(), format!("{}🔒", "🔑".repeat(63))),
        ] {
            gate.app.post("/auth/register").json(json!({"email": email, "password": right})).send().await.expect(201);
            gate.try_login(email, &right).await.expect(200);
            gate.try_login(email, &wrong).await.expect_problem(401, "invalid_credentials");
        }
    }

    async fn only_tokens_of_the_key_are_accepted(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        let jwks = gate.app.get("/auth/.well-known/jwks.json").send().await.expect(200);
        assert_eq!(jwks.header("cache-control"), "public, max-age=300");
        let keys = jwks.json["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 1);
        let key = &keys[0];
        assert_eq!(
            *key,
            json!({"kid": key["kid"], "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": key["x"]})
        );
        let kid = key["kid"].as_str().unwrap();
        assert_eq!(part(&client.user.token, 0)["kid"], kid);

        let admin = { let mut claims = client.claims(); claims["role"] = json!("admin"); claims };
        let header = |algorithm, typ: &str| Header { kid: Some(kid.to_owned()), typ: Some(typ.to_owned()), ..Header::new(algorithm) };
        let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
        let stranger = EncodingKey::from_ed_der(SigningKey::from_bytes(&[7; 32]).to_pkcs8_der().unwrap().as_bytes());
        let own_key = {
            let db = gate.auth.db();
            let sql = "SELECT private_key FROM signing_keys";
            let row = db.reader().query_one_raw(Statement::from_string(db.backend(), sql)).await.unwrap().unwrap();
            EncodingKey::from_ed_der(&row.try_get::<Vec<u8>>("", "private_key").unwrap())
        };
        let encode = |header: Header, claims: &Value, key: &EncodingKey| jsonwebtoken::encode(&header, claims, key).unwrap();
        let [head, body, signature]: [&str; 3] = client.user.token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let none = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"at+jwt","alg":"none","kid":"{kid}"}}"#));
        let admin_body = URL_SAFE_NO_PAD.encode(admin.to_string());
        let of_another_shop = { let mut claims = client.claims(); claims["aud"] = json!("bazaar"); claims };
        for (what, token) in [
            ("alg none", format!("{none}.{admin_body}.")),
            ("alg none with a signature", format!("{none}.{body}.{signature}")),
            ("tampered claims", format!("{head}.{admin_body}.{signature}")),
            ("no signature", format!("{head}.{body}.")),
            ("HS256 with the public key", encode(header(Algorithm::HS256, "at+jwt"), &admin, &EncodingKey::from_secret(&public))),
            ("HS256 with the public key as text", encode(header(Algorithm::HS256, "at+jwt"), &admin, &EncodingKey::from_secret(key["x"].as_str().unwrap().as_bytes()))),
            ("another key under this id", encode(header(Algorithm::EdDSA, "at+jwt"), &admin, &stranger)),
            ("a token of another type", encode(header(Algorithm::EdDSA, "JWT"), &client.claims(), &own_key)),
            ("a token for another audience", encode(header(Algorithm::EdDSA, "at+jwt"), &of_another_shop, &own_key)),
            ("no key id", encode(Header { typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::EdDSA) }, &client.claims(), &own_key)),
            ("nothing like a token", "x".to_owned()),
            ("the refresh token", client.refresh_token.clone()),
        ] {
            let answer = gate.verify_token(&client.user, &token).await;
            assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{what}");
        }
        let genuine = encode(header(Algorithm::EdDSA, "at+jwt"), &client.claims(), &own_key);
        gate.verify_token(&client.user, &genuine).await.expect(200);
        gate.app.post("/auth/verify").send().await.expect_problem(401, "unauthenticated");
    }

    async fn an_access_token_expires_and_is_refreshed(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        gate.bench.clock.advance(Duration::from_secs(890));
        gate.verify(&client.user).await.expect(200);
        gate.bench.clock.advance(Duration::from_secs(20));
        gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
        let fresh = gate.refresh(&client).await;
        gate.verify(&fresh.user).await.expect(200);
        assert_eq!(fresh.claims()["sid"], client.claims()["sid"], "the session goes on");
        assert_ne!(fresh.refresh_token, client.refresh_token);
        // Each refresh gives thirty days more.
        gate.bench.clock.advance(Duration::from_secs(29 * 86_400));
        let later = gate.refresh(&fresh).await;
        gate.bench.clock.advance(Duration::from_secs(29 * 86_400));
        let latest = gate.refresh(&later).await;
        gate.bench.clock.advance(Duration::from_secs(30 * 86_400));
        gate.try_refresh(&latest.refresh_token).await.expect_problem(401, "invalid_refresh_token");
    }

    async fn a_spent_refresh_token_ends_the_session_for_both_who_have_it(engine: Engine) {
        let gate = Gate::open(engine).await;
        let stolen = gate.register(EMAIL).await;
        let other_device = gate.login(EMAIL).await;
        let second = gate.refresh(&stolen).await;
        let third = gate.refresh(&second).await;
        gate.try_refresh(&stolen.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.try_refresh(&third.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        for client in [&stolen, &second, &third] {
            gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
        }
        gate.verify(&other_device.user).await.expect(200);
        gate.refresh(&other_device).await;
        assert_eq!(gate.app.published::<SessionEnded>().await.len(), 1);
        for unknown in ["", "x", &"A".repeat(43)] {
            gate.try_refresh(unknown).await.expect_problem(401, "invalid_refresh_token");
        }
        gate.app.post("/auth/refresh").json(json!({})).send().await.expect_problem(400, "invalid_body");
        gate.app.assert_healthy().await;
    }

    async fn fifty_refreshes_at_once_leave_one_lineage(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        let answers = join_all((0..50).map(|_| gate.try_refresh(&client.refresh_token))).await;
        let all: Vec<Client> = answers.into_iter().map(|answer| Client::of(&answer.expect(200))).collect();
        for one in &all {
            assert_eq!(one.refresh_token, all[0].refresh_token, "a second lineage");
            gate.verify(&one.user).await.expect(200);
        }
        assert_eq!((gate.count("sessions").await, gate.count("spent_refresh_tokens").await), (1, 1));
        // Any of them goes on, and then the token of before is a copy again.
        let next = gate.refresh(&all[49]).await;
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.try_refresh(&next.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        for one in all.iter().chain([&client, &next]) {
            gate.verify(&one.user).await.expect_problem(401, "unauthenticated");
        }
        assert_eq!(gate.app.published::<SessionEnded>().await.len(), 1);
        gate.app.assert_healthy().await;
    }

    async fn a_repeated_refresh_is_answered_for_some_seconds_and_after_a_restart(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        let next = gate.refresh(&client).await;
        let gate = gate.restart(cheap()).await;
        gate.bench.clock.advance(Duration::from_secs(8));
        let again = gate.refresh(&client).await;
        assert_eq!(again.refresh_token, next.refresh_token);
        // The token that was given out last is remembered as long as it lives.
        gate.bench.clock.advance(Duration::from_secs(2));
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.try_refresh(&next.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.verify(&again.user).await.expect_problem(401, "unauthenticated");
        let ended = gate.app.published::<SessionEnded>().await;
        assert!(ended[0].tokens_expire_at.ms() > again.claims()["exp"].as_i64().unwrap() * 1_000);
    }

    async fn without_a_grace_every_repetition_ends_the_session(engine: Engine) {
        let gate = Gate::open_with(engine, Settings { refresh_grace_s: 0, ..cheap() }).await;
        let client = gate.register(EMAIL).await;
        let next = gate.refresh(&client).await;
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.verify(&next.user).await.expect_problem(401, "unauthenticated");
    }

    async fn a_thief_within_the_grace_gets_no_lineage_of_their_own(engine: Engine) {
        let gate = Gate::open(engine).await;
        let owner = gate.register(EMAIL).await;
        let owners_next = gate.refresh(&owner).await;
        let thiefs = gate.refresh(&owner).await;
        assert_eq!(thiefs.refresh_token, owners_next.refresh_token);
        // The owner goes on; the thief comes later, with what was spent by that.
        let after = gate.refresh(&owners_next).await;
        gate.bench.clock.advance(Duration::from_secs(11));
        gate.try_refresh(&thiefs.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        for client in [&thiefs, &after] {
            gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
            gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        }
        assert_eq!(gate.count("sessions WHERE ended_at_ms IS NULL").await, 0);
    }

    async fn a_repetition_does_not_outlive_a_change_of_role_or_a_logout(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (client, other) = (gate.register(EMAIL).await, gate.login(EMAIL).await);
        let (next, others_next) = (gate.refresh(&client).await, gate.refresh(&other).await);
        gate.app.post("/auth/logout").by(&others_next.user).send().await.expect(204);
        gate.try_refresh(&other.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        let change = gate.change_access(client.user.id, Role::Admin, true).await;
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        assert_eq!(gate.count("sessions WHERE end_reason = 'reuse'").await, 0, "nobody stole anything");
        gate.app.deliver(gate.bench.system.id(), &change).await.unwrap();
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.verify(&next.user).await.expect_problem(401, "unauthenticated");
    }

    async fn people_see_and_end_their_own_sessions(engine: Engine) {
        let gate = Gate::open(engine).await;
        let first = gate.register(EMAIL).await;
        let body = json!({"email": EMAIL, "password": PASSWORD});
        let login = gate.app.post("/auth/login").header("User-Agent", &"Browser ".repeat(40)).json(body).send().await;
        let second = Client::of(&login.expect(200));
        let eve = gate.register("eve@example.com").await;
        let list = |user: &TestUser, query: &str| gate.app.get(&format!("/auth/sessions{query}")).by(user).send();

        let page = list(&second.user, "").await.expect(200).json;
        let id = second.claims()["sid"].clone();
        let newest = &page["items"][0];
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next_cursor"]), (2, &Value::Null));
        assert_eq!((&newest["id"], &newest["current"]), (&id, &json!(true)));
        assert_eq!(newest["user_agent"].as_str().unwrap().chars().count(), 200);
        assert_eq!(newest["client_address"], "127.0.0.1");
        assert_eq!((&page["items"][1]["id"], &page["items"][1]["current"]), (&first.claims()["sid"], &json!(false)));
        for field in ["created_at", "refreshed_at", "expires_at"] {
            assert!(newest[field].is_string(), "{page}");
        }
        let one = list(&second.user, "?limit=1").await.expect(200).json;
        let rest = list(&second.user, &format!("?limit=1&cursor={}", one["next_cursor"].as_str().unwrap())).await.expect(200).json;
        assert_eq!((&rest["items"][0]["id"], &rest["next_cursor"]), (&first.claims()["sid"], &Value::Null));
        list(&second.user, "?page=1").await.expect_problem(400, "invalid_query");
        gate.app.get("/auth/sessions").send().await.expect_problem(401, "unauthenticated");

        let path = format!("/auth/sessions/{}", id.as_str().unwrap());
        let end = || gate.app.call("DELETE", &path);
        end().send().await.expect_problem(401, "unauthenticated");
        end().by(&eve.user).send().await.expect_problem(404, "not_found");
        gate.verify(&second.user).await.expect(200);
        end().by(&first.user).send().await.expect(204);
        gate.verify(&second.user).await.expect_problem(401, "unauthenticated");
        gate.try_refresh(&second.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        end().by(&first.user).send().await.expect_problem(404, "not_found");
        gate.app.call("DELETE", "/auth/sessions/none").by(&first.user).send().await.expect_problem(404, "not_found");
        assert_eq!(list(&first.user, "").await.expect(200).json["items"].as_array().unwrap().len(), 1);
        assert_eq!(gate.app.published::<SessionEnded>().await.len(), 1);
        // Expired ones are not listed.
        gate.bench.clock.advance(Duration::from_secs(31 * 86_400));
        let fresh = gate.login(EMAIL).await;
        assert_eq!(list(&fresh.user, "").await.expect(200).json["items"].as_array().unwrap().len(), 1);
        gate.app.assert_healthy().await;
    }

    async fn a_logout_ends_one_session_and_says_so(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (client, other_device) = (gate.register(EMAIL).await, gate.login(EMAIL).await);
        let refreshed = gate.refresh(&client).await;
        gate.app.post("/auth/logout").send().await.expect_problem(401, "unauthenticated");
        let gone = gate.app.post("/auth/logout").by(&refreshed.user).send().await.expect(204);
        assert_eq!(gone.text, "");
        for token in [&client.user, &refreshed.user] {
            gate.verify(token).await.expect_problem(401, "unauthenticated");
        }
        gate.app.post("/auth/logout").by(&refreshed.user).send().await.expect_problem(401, "unauthenticated");
        gate.try_refresh(&refreshed.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.verify(&other_device.user).await.expect(200);

        let events = gate.app.published::<SessionEnded>().await;
        assert_eq!(events.len(), 1);
        assert_eq!(json!(events[0].session_id), client.claims()["sid"]);
        let expires_at_ms = refreshed.claims()["exp"].as_i64().unwrap() * 1_000;
        assert!(events[0].tokens_expire_at.ms() > expires_at_ms, "remembered for longer than any verifier accepts the token");
        let revoked = gate.auth.port().revoked().await.unwrap();
        assert_eq!((revoked.sessions, revoked.users.len()), (events, 0));
        gate.bench.clock.advance(Duration::from_secs(1_000));
        assert_eq!(gate.auth.port().revoked().await.unwrap(), Default::default());
    }

    async fn a_revoked_token_stays_dead_to_its_last_second(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        gate.app.post("/auth/logout").by(&client.user).send().await.expect(204);
        // Verifiers forgive some seconds after the expiry, and forget what they may whenever they learn something.
        gate.bench.clock.advance(Duration::from_secs(902));
        let other = gate.register("other@example.com").await;
        gate.app.post("/auth/logout").by(&other.user).send().await.expect(204);
        gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
    }

    async fn a_change_of_role_ends_what_was_said_before(engine: Engine) {
        let gate = Gate::open(engine).await;
        let before = gate.register(EMAIL).await;
        let bystander = gate.register("other@example.com").await;
        gate.bench.clock.advance(Duration::from_millis(50));
        let change = gate.change_access(before.user.id, Role::Admin, true).await;
        gate.bench.clock.advance(Duration::from_millis(50));
        // Between the change and its event someone logs in: that token is true and stays.
        let between = gate.login(EMAIL).await;
        let event_id = gate.bench.system.id();
        for _redelivery in 0..2 {
            gate.app.deliver(event_id, &change).await.unwrap();
        }
        gate.verify(&before.user).await.expect_problem(401, "unauthenticated");
        gate.try_refresh(&before.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        assert_eq!(gate.verify(&between.user).await.expect(200).json["role"], "admin");
        let after = gate.login(EMAIL).await;
        assert_eq!(gate.verify(&after.user).await.expect(200).json["role"], "admin");
        gate.verify(&bystander.user).await.expect(200);

        let events = gate.app.published::<UserSessionsEnded>().await;
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].user_id, events[0].issued_until), (change.user_id, change.changed_at));
        assert!(events[0].tokens_expire_at.ms() > before.claims()["exp"].as_i64().unwrap() * 1_000);
        assert_eq!(gate.auth.port().revoked().await.unwrap().users, events);
        gate.app.assert_healthy().await;
    }

    async fn a_session_that_missed_the_change_ends_with_it(engine: Engine) {
        let gate = Gate::open(engine).await;
        gate.register(EMAIL).await;
        let old = gate.login(EMAIL).await;
        // The change began before this login and was not yet visible to it.
        let changed_at = kernel::Timestamp::from_ms(old.claims()["iat_ms"].as_i64().unwrap() - 1);
        let change = UserAccessChanged { changed_at, ..gate.change_access(old.user.id, Role::Admin, true).await };
        gate.app.deliver(gate.bench.system.id(), &change).await.unwrap();
        gate.verify(&old.user).await.expect_problem(401, "unauthenticated");
        assert!(gate.app.published::<SessionEnded>().await.iter().any(|ended| json!(ended.session_id) == old.claims()["sid"]));
    }

    async fn a_login_in_the_millisecond_of_a_change_is_not_void(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        // The clock of the other process is ahead, so the change lies in this one's future.
        let mut change = gate.change_access(client.user.id, Role::Admin, true).await;
        change.changed_at = change.changed_at.plus(Duration::from_secs(2));
        gate.app.deliver(gate.bench.system.id(), &change).await.unwrap();
        let after = gate.login(EMAIL).await;
        assert_eq!(gate.verify(&after.user).await.expect(200).json["role"], "admin");
        let next = gate.refresh(&after).await;
        gate.verify(&next.user).await.expect(200);
    }

    async fn an_account_that_is_switched_off_is_out_at_once(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        gate.bench.clock.advance(Duration::from_millis(50));
        let change = gate.change_access(client.user.id, Role::Customer, false).await;
        // Even before the event came, no new tokens are given.
        gate.try_login(EMAIL, PASSWORD).await.expect_problem(401, "invalid_credentials");
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.app.deliver(gate.bench.system.id(), &change).await.unwrap();
        gate.verify(&client.user).await.expect_problem(401, "unauthenticated");
        // Switched on again, the old session stays ended; a new login works.
        gate.bench.clock.advance(Duration::from_millis(50));
        let change = gate.change_access(client.user.id, Role::Customer, true).await;
        gate.app.deliver(gate.bench.system.id(), &change).await.unwrap();
        gate.try_refresh(&client.refresh_token).await.expect_problem(401, "invalid_refresh_token");
        gate.bench.clock.advance(Duration::from_millis(50));
        let back = gate.login(EMAIL).await;
        gate.verify(&back.user).await.expect(200);
    }

    async fn failures_are_throttled_until_the_window_has_passed(engine: Engine) {
        let gate = Gate::open_with(engine, Settings { max_failures_per_account: 3, throttle_window_s: 60, ..cheap() }).await;
        gate.register(EMAIL).await;
        for name in [EMAIL, "nobody@example.com"] {
            for spelling in [name.to_owned(), name.to_uppercase(), format!(" {name}")] {
                gate.try_login(&spelling, "wrong").await.expect_problem(401, "invalid_credentials");
                gate.bench.clock.advance(Duration::from_secs(1));
            }
            for password in ["wrong", PASSWORD] {
                let throttled = gate.try_login(name, password).await.expect_problem(429, "too_many_requests");
                let wait: u64 = throttled.header("retry-after").parse().unwrap();
                assert!((50..=60).contains(&wait), "{wait}");
            }
        }
        // Others are not in the way.
        gate.register("other@example.com").await;
        gate.login("other@example.com").await;
        // The window slides while an attacker goes on: refused attempts do not prolong it.
        let wait: u64 = gate.try_login(EMAIL, "wrong").await.expect(429).header("retry-after").parse().unwrap();
        gate.bench.clock.advance(Duration::from_secs(wait));
        gate.login(EMAIL).await;
        // A success forgets the failures that were left.
        for _ in 0..3 {
            gate.try_login(EMAIL, "wrong").await.expect_problem(401, "invalid_credentials");
        }
        gate.try_login(EMAIL, PASSWORD).await.expect_problem(429, "too_many_requests");
    }

    async fn right_passwords_are_never_throttled(engine: Engine) {
        let gate = Gate::open_with(engine, Settings { max_failures_per_account: 2, ..cheap() }).await;
        gate.register(EMAIL).await;
        let answers = join_all((0..30).map(|_| gate.try_login(EMAIL, PASSWORD))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(gate.count("login_failures").await, 0);
        for _ in 0..5 {
            gate.try_login(EMAIL, "wrong").await.expect_problem(401, "invalid_credentials");
            gate.login(EMAIL).await;
        }
    }

    async fn forty_guesses_at_once_get_no_more_answers_than_allowed(engine: Engine) {
        let gate = Gate::open(engine).await;
        gate.register(EMAIL).await;
        let answers = join_all((0..40).map(|_| gate.try_login(EMAIL, "wrong"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 10);
        assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 30);
        assert_eq!(gate.count("login_failures").await, 20, "ten of the client, and the same ten of the name in all");
    }

    async fn a_right_guess_behind_too_many_wrong_ones_is_not_told(engine: Engine) {
        let gate = Gate::open_with(engine, Settings { bcrypt_cost: 10, hashing_threads: 1, ..Settings::default() }).await;
        gate.register(EMAIL).await;
        let wrong = join_all((0..30).map(|_| gate.try_login(EMAIL, "wrong")));
        let right = async {
            // The crowd stands in the queue of the one hashing thread once the first of it has failed.
            while gate.count("login_failures").await == 0 {
                tokio::task::yield_now().await;
            }
            gate.try_login(EMAIL, PASSWORD).await
        };
        let (wrong, right) = join(wrong, right).await;
        right.expect_problem(429, "too_many_requests");
        assert_eq!(wrong.iter().filter(|answer| answer.status == 401).count(), 10);
    }

    async fn a_restart_changes_nothing(engine: Engine) {
        let gate = Gate::open(engine).await;
        let (client, gone) = (gate.register(EMAIL).await, gate.login(EMAIL).await);
        let demoted = gate.register("demoted@example.com").await;
        gate.app.post("/auth/logout").by(&gone.user).send().await.expect(204);
        gate.bench.clock.advance(Duration::from_millis(50));
        let change = gate.change_access(demoted.user.id, Role::Admin, true).await;
        gate.app.deliver(gate.bench.system.id(), &change).await.unwrap();
        let keys = gate.app.get("/auth/.well-known/jwks.json").send().await.text;

        let gate = gate.restart(cheap()).await;
        assert_eq!(gate.app.get("/auth/.well-known/jwks.json").send().await.text, keys);
        gate.verify(&client.user).await.expect(200);
        gate.verify(&gone.user).await.expect_problem(401, "unauthenticated");
        gate.verify(&demoted.user).await.expect_problem(401, "unauthenticated");
        gate.refresh(&client).await;
        gate.login(EMAIL).await;
    }

    async fn processes_that_start_at_once_agree_on_one_key(engine: Engine) {
        let bench = Bench::new(engine).await;
        bench.db("auth").await.close().await.unwrap();
        let start = || async {
            let verifier = Arc::new(TokenVerifier::new(bench.system.clock.clone()));
            let deps = Deps { db: bench.open("auth").await, settings: cheap(), users: Arc::new(FakeUsers::default()), verifier };
            Auth::open(deps).await.unwrap()
        };
        let ((one, two), (three, four)) = join(join(start(), start()), join(start(), start())).await;
        let key = one.port().public_keys().await.unwrap();
        assert_eq!(key.len(), 1);
        for other in [two, three, four] {
            assert_eq!(other.port().public_keys().await.unwrap(), key);
        }
        assert!(one.doctor().await.unwrap().iter().all(|check| check.holds()));
    }

    async fn a_new_key_signs_and_the_old_one_verifies_until_its_last_token_has_expired(engine: Engine) {
        let gate = Gate::open(engine).await;
        let kid_of = |client: &Client| part(&client.user.token, 0)["kid"].as_str().unwrap().to_owned();
        let before = gate.register(EMAIL).await;
        let other = gate.beside().await;
        let rotated = other.rotate_keys(false).await.unwrap();
        assert_ne!(rotated.kid, kid_of(&before));
        // The process that rotated is another one. This one knows the key a moment before it signs with it.
        gate.app.work("auth.follow_signing_key").await;
        assert_eq!(kid_of(&gate.login(EMAIL).await), kid_of(&before));
        gate.bench.clock.advance(Duration::from_secs(2));
        gate.app.work("auth.follow_signing_key").await;
        let after = gate.login(EMAIL).await;
        assert_eq!(kid_of(&after), rotated.kid);
        // Its verifier has not heard of the key and asks.
        gate.verify(&after.user).await.expect(200);
        gate.verify(&before.user).await.expect(200);
        let states = |keys: Vec<ListedKey>| keys.into_iter().map(|key| key.state).collect::<Vec<_>>();
        assert_eq!(states(gate.auth.list_keys().await.unwrap()), ["active", "retiring"]);
        let published = gate.app.get("/auth/.well-known/jwks.json").send().await.expect(200);
        assert_eq!(published.json["keys"].as_array().unwrap().len(), 2);
        let hidden = gate.count("signing_keys WHERE private_key IS NOT NULL").await;
        assert_eq!(hidden, 1, "what no longer signs has nothing to sign with");

        assert_eq!(gate.app.published::<SigningKeysChanged>().await[0].kid, rotated.kid);
        // The longest life of a token and the tolerance of clocks.
        gate.bench.clock.advance(Duration::from_secs(15 * 60 + 60));
        gate.app.work("auth.follow_signing_key").await;
        assert_eq!(states(gate.auth.list_keys().await.unwrap()), ["active", "retired"]);
        let published = gate.app.get("/auth/.well-known/jwks.json").send().await.expect(200);
        assert_eq!(published.json["keys"].as_array().unwrap().len(), 1);
        assert_eq!(kid_of(&gate.refresh(&after).await), rotated.kid);
        gate.app.assert_healthy().await;
    }

    async fn keys_that_are_not_trusted_any_more_are_out_at_once(engine: Engine) {
        let gate = Gate::open(engine).await;
        let before = gate.register(EMAIL).await;
        gate.auth.rotate_keys(false).await.unwrap();
        gate.auth.rotate_keys(true).await.unwrap();
        let states: Vec<String> =
            gate.auth.list_keys().await.unwrap().into_iter().map(|key| key.state).collect();
        assert_eq!(states, ["active", "retired", "retired"]);
        // The relay takes the event to the verifier of every process.
        let changes = gate.app.published::<SigningKeysChanged>().await;
        assert_eq!(changes.len(), 2);
        gate.follow(&changes[1]).await;
        gate.verify(&before.user).await.expect_problem(401, "unauthenticated");
        // Nothing waits for a key to be known where the old one is refused.
        gate.app.work("auth.follow_signing_key").await;
        let after = gate.refresh(&before).await;
        gate.verify(&after.user).await.expect(200);
        for _ in 0..10 {
            gate.auth.rotate_keys(false).await.unwrap();
        }
        let one_too_many = gate.auth.rotate_keys(false).await.unwrap_err();
        assert!(matches!(one_too_many, KeyError::TooMany(_)), "{one_too_many}");
        gate.app.published::<SigningKeysChanged>().await;
        gate.app.assert_healthy().await;
    }

    async fn an_api_key_acts_as_its_owner_within_its_scopes_until_it_ends(engine: Engine) {
        let gate = Gate::open(engine).await;
        let ada = gate.register(EMAIL).await;
        let make = |body: Value| gate.app.post("/auth/api-keys").by(&ada.user).json(body);
        for (body, pointer) in [
            (json!({"name": "", "scopes": ["auth:read"]}), "/name"),
            (json!({"name": "x", "scopes": []}), "/scopes"),
            (json!({"name": "x", "scopes": ["auth:read", "auth:*"]}), "/scopes/1"),
            (json!({"name": "x", "scopes": ["catalog:write"]}), "/scopes/0"),
            (json!({"name": "x", "scopes": ["auth:read"], "expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
            (json!({"name": "x", "scopes": ["auth:read"], "expires_at": "2099-01-01T00:00:00Z"}), "/expires_at"),
        ] {
            let refused = make(body).send().await.expect_problem(400, "invalid_body");
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{}", refused.text);
        }
        let made = make(json!({"name": " nightly ", "scopes": ["orders:read", "auth:read"]})).send().await.expect(201);
        assert_eq!(made.header("cache-control"), "no-store");
        assert_eq!((&made.json["name"], &made.json["scopes"]), (&json!("nightly"), &json!(["auth:read", "orders:read"])));
        let (id, key) = (made.json["id"].as_str().unwrap(), made.json["key"].as_str().unwrap());
        let verified = gate.verify_token(&ada.user, key).await.expect(200);
        assert_eq!((&verified.json["user_id"], &verified.json["expires_at"]), (&json!(ada.user.id), &made.json["expires_at"]));
        let narrow = make(json!({"name": "x", "scopes": ["cart:read"]})).send().await.expect(201);
        let lacking = gate.verify_token(&ada.user, narrow.json["key"].as_str().unwrap()).await;
        assert!(lacking.expect_problem(403, "forbidden").header("www-authenticate").contains("auth:read"));

        // A machine looks after no keys and no sessions.
        let path = format!("/auth/api-keys/{id}");
        for (method, path) in [("GET", "/auth/api-keys"), ("POST", "/auth/api-keys"), ("POST", "/auth/logout"), ("DELETE", &path)] {
            gate.app.call(method, path).bearer(key).json(json!({})).send().await.expect_problem(403, "forbidden");
        }
        // The secret is shown once, and kept by nobody.
        let listed = gate.app.get("/auth/api-keys").by(&ada.user).send().await.expect(200);
        assert_eq!(listed.json["items"].as_array().unwrap().len(), 2);
        assert!(!listed.text.contains(key) && listed.json["items"][0].get("key").is_none());
        let guess = format!("{}{}", &key[..key.len() - 9], "000000000");
        gate.verify_token(&ada.user, &guess).await.expect_problem(401, "unauthenticated");

        // Its use is noted beside the requests, to the minute.
        gate.verifier.report_api_key_uses(gate.auth.port().as_ref()).await.unwrap();
        let listed = gate.app.get("/auth/api-keys").by(&ada.user).send().await.expect(200);
        assert!(listed.json["items"][0]["last_used_at"].as_str().unwrap().ends_with(":00.000Z"), "{}", listed.text);
        // The other one was refused for want of a scope: somebody has it and uses it.
        assert!(listed.json["items"][1]["last_used_at"].is_string(), "{}", listed.text);

        let eve = gate.register("eve@example.com").await;
        gate.app.call("DELETE", &path).by(&eve.user).send().await.expect_problem(404, "not_found");
        let foreign = format!("/auth/api-keys?user_id={}", ada.user.id);
        gate.app.get(&foreign).by(&eve.user).send().await.expect_problem(404, "not_found");
        gate.app.call("DELETE", &path).by(&ada.user).send().await.expect(204);
        gate.verify_token(&ada.user, key).await.expect_problem(401, "unauthenticated");
        gate.app.call("DELETE", &path).by(&ada.user).send().await.expect_problem(404, "not_found");
        let ended = gate.app.published::<ApiKeyRevoked>().await;
        assert_eq!((ended.len(), ended[0].user_id), (1, ada.user.id));

        let dawn = gate.bench.system.now().plus(Duration::from_secs(60));
        let short = make(json!({"name": "x", "scopes": ["auth:read"], "expires_at": dawn})).send().await.expect(201);
        let short = short.json["key"].as_str().unwrap();
        gate.verify_token(&ada.user, short).await.expect(200);
        gate.bench.clock.advance(Duration::from_secs(61));
        gate.verify_token(&ada.user, short).await.expect_problem(401, "unauthenticated");
    }

    async fn an_api_key_does_what_its_owner_may_now(engine: Engine) {
        let gate = Gate::open(engine).await;
        let ada = gate.register(EMAIL).await;
        let body = json!({"name": "x", "scopes": ["auth:read"]});
        let made = gate.app.post("/auth/api-keys").by(&ada.user).json(body).send().await.expect(201);
        let key = made.json["key"].as_str().unwrap();
        let role = |answer: Response| answer.expect(200).json["role"].clone();
        assert_eq!(role(gate.verify_token(&ada.user, key).await), "customer");
        let promoted = gate.change_access(ada.user.id, Role::Admin, true).await;
        gate.app.deliver(testkit::fresh_id(), &promoted).await.unwrap();
        assert_eq!(role(gate.verify_token(&ada.user, key).await), "customer", "it does not grow with its owner");
        let boss = gate.login(EMAIL).await;
        let body = json!({"name": "y", "scopes": ["auth:read"]});
        let made = gate.app.post("/auth/api-keys").by(&boss.user).json(body).send().await.expect(201);
        let strong = made.json["key"].as_str().unwrap();
        assert_eq!(role(gate.verify_token(&ada.user, strong).await), "admin");
        let demoted = gate.change_access(ada.user.id, Role::Customer, true).await;
        gate.app.deliver(testkit::fresh_id(), &demoted).await.unwrap();
        assert_eq!(role(gate.verify_token(&ada.user, strong).await), "customer");
        let off = gate.change_access(ada.user.id, Role::Admin, false).await;
        gate.app.deliver(testkit::fresh_id(), &off).await.unwrap();
        gate.verify_token(&ada.user, key).await.expect_problem(401, "unauthenticated");
    }

    async fn a_user_has_twenty_api_keys_however_many_are_made_at_once(engine: Engine) {
        let gate = Gate::open(engine).await;
        let ada = gate.register(EMAIL).await;
        let make = || gate.app.post("/auth/api-keys").by(&ada.user).json(json!({"name": "x", "scopes": ["auth:read"]})).send();
        let made = join_all((0..24).map(|_| make())).await;
        let refused: Vec<&Response> = made.iter().filter(|answer| answer.status != 201).collect();
        assert_eq!((made.len() - refused.len(), refused[0].code()), (20, "too_many_api_keys"));
        let path = format!("/auth/api-keys/{}", made.iter().find(|answer| answer.status == 201).unwrap().json["id"].as_str().unwrap());
        gate.app.call("DELETE", &path).by(&ada.user).send().await.expect(204);
        make().await.expect(201);
        let mut pages = 0;
        let mut next = String::new();
        loop {
            let page = gate.app.get(&format!("/auth/api-keys?limit=7{next}")).by(&ada.user).send().await.expect(200).json;
            pages += page["items"].as_array().unwrap().len();
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(pages, 20);
        for bad in [
            "UPDATE api_keys SET slot = 20",
            "UPDATE api_keys SET expires_at_ms = created_at_ms",
            "UPDATE api_keys SET expires_at_ms = created_at_ms + 31536000001",
            "UPDATE api_keys SET last_used_at_ms = 61000",
        ] {
            assert!(gate.execute(bad).await.is_err(), "{bad}");
        }
        gate.bench.clock.advance(Duration::from_secs(181 * 24 * 60 * 60));
        gate.app.work("auth.purge_api_keys").await;
        assert_eq!(gate.count("api_keys").await, 0);
    }

    async fn a_token_that_asks_for_more_than_a_key_is_refused(engine: Engine) {
        let gate = Gate::open(engine).await;
        let ada = gate.register(EMAIL).await;
        let private = gate.private_key().await;
        let plain = Header { kid: part(&ada.user.token, 0)["kid"].as_str().map(str::to_owned), typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::EdDSA) };
        let sign = |header: &Header| jsonwebtoken::encode(header, &ada.claims(), &private).unwrap();
        gate.verify_token(&ada.user, &sign(&plain)).await.expect(200);
        let crit = Header { crit: Some(vec!["exp".to_owned()]), ..plain.clone() };
        let jku = Header { jku: Some("https://example.com/keys".to_owned()), ..plain.clone() };
        let x5u = Header { x5u: Some("https://example.com/chain".to_owned()), ..plain.clone() };
        let nameless = Header { kid: None, ..plain };
        for header in [crit, jku, x5u, nameless] {
            gate.verify_token(&ada.user, &sign(&header)).await.expect_problem(401, "unauthenticated");
        }
        // Of two headers nobody knows which one counts.
        let twice = gate.app.post("/auth/verify").by(&ada.user).header("Authorization", "Bearer x").send().await;
        twice.expect_problem(401, "unauthenticated");
    }

    async fn a_login_storm_is_turned_away_while_others_are_served(engine: Engine) {
        let settings = Settings { bcrypt_cost: 12, hashing_threads: 1, hashing_queue: 1, ..Settings::default() };
        let gate = Gate::open_with(engine, settings).await;
        let names: Vec<String> = (0..16).map(|n| format!("user{n}@example.com")).collect();
        let storm = join_all(names.iter().map(|email| gate.try_login(email, "wrong")));
        let other = gate.app.get("/auth/.well-known/jwks.json").send();
        let (answers, jwks) = join(storm, other).await;
        jwks.expect(200);
        let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 401);
        assert!(!served.is_empty() && !refused.is_empty(), "{} served", served.len());
        for answer in refused {
            let answer = answer.expect_problem(503, "unavailable");
            assert!((1..=4).contains(&answer.header("retry-after").parse().unwrap()), "{}", answer.text);
        }
    }

    async fn a_raised_cost_reaches_a_password_at_its_next_login(engine: Engine) {
        let gate = Gate::open(engine).await;
        gate.register(EMAIL).await;
        let gate = gate.restart(Settings { bcrypt_cost: 5, ..cheap() }).await;
        gate.try_login(EMAIL, "wrong").await.expect_problem(401, "invalid_credentials");
        assert_eq!(gate.count("credentials WHERE password_hash LIKE '$2b$04$%'").await, 1);
        gate.login(EMAIL).await;
        assert_eq!(gate.count("credentials WHERE password_hash LIKE '$2b$05$%'").await, 1);
        gate.login(EMAIL).await;
    }

    async fn accounts_of_any_role_are_made_for_the_command_line(engine: Engine) {
        let gate = Gate::open(engine).await;
        let admin = NewAccount { username: Some("admin".to_owned()), ..account("admin@test.com", "password", Role::Admin) };
        let created = gate.auth.create_account(admin.clone()).await.unwrap();
        assert_eq!(created.user.role, Role::Admin);
        let login = gate.app.post("/auth/login").json(json!({"username": "admin", "password": "password"})).send().await;
        assert_eq!(login.expect(200).json["user"]["role"], "admin");

        let again = gate.auth.create_account(admin.clone()).await.unwrap_err();
        assert!(matches!(again, AccountError::EmailTaken), "{again}");
        let same_name = NewAccount { email: EmailAddress::parse("second@test.com").unwrap(), ..admin.clone() };
        let refused = gate.auth.create_account(same_name).await.unwrap_err();
        assert!(matches!(refused, AccountError::UsernameTaken), "{refused}");
        let refused = gate.auth.create_account(account("third@test.com", "short", Role::Customer)).await.unwrap_err();
        assert!(matches!(refused, AccountError::InvalidPassword), "{refused}");
        assert!(!format!("{admin:?}").contains("password\"") && !format!("{admin:?}").contains("admin@test.com"));
    }

    async fn what_is_stored_is_no_secret_in_itself(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        let next = gate.refresh(&client).await;
        gate.try_login(EMAIL, "hunter2-hunter2").await.expect(401);
        let db = gate.auth.db();
        let mut dump = String::new();
        for table in ["credentials", "sessions", "spent_refresh_tokens", "login_failures", "outbox"] {
            let sql = format!("SELECT * FROM {table}");
            for row in db.reader().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap() {
                dump.push_str(&format!("{row:?}\n"));
            }
        }
        for secret in [PASSWORD, "hunter2", EMAIL, &client.refresh_token, &next.refresh_token, &client.user.token] {
            assert!(!dump.contains(secret), "{secret}");
        }
    }

    async fn what_can_no_longer_matter_is_purged(engine: Engine) {
        let gate = Gate::open(engine).await;
        let client = gate.register(EMAIL).await;
        let gone = gate.login(EMAIL).await;
        let client = gate.refresh(&client).await;
        gate.app.post("/auth/logout").by(&gone.user).send().await.expect(204);
        gate.try_login(EMAIL, "wrong").await.expect(401);
        gate.app.work("auth.purge").await;
        assert_eq!((gate.count("sessions").await, gate.count("login_failures").await), (2, 2));
        gate.verify(&gone.user).await.expect_problem(401, "unauthenticated");

        gate.bench.clock.advance(Duration::from_secs(3_601));
        gate.app.work("auth.purge").await;
        assert_eq!((gate.count("sessions").await, gate.count("login_failures").await), (1, 0));
        let client = gate.refresh(&client).await;
        assert_eq!(gate.count("spent_refresh_tokens").await, 2);

        let off = gate.change_access(client.user.id, Role::Admin, true).await;
        gate.app.deliver(gate.bench.system.id(), &off).await.unwrap();
        assert_eq!(gate.count("user_revocations").await, 1);
        assert_eq!(gate.app.published::<UserSessionsEnded>().await.len(), 1);
        gate.bench.clock.advance(Duration::from_secs(91 * 86_400));
        gate.app.work("auth.purge").await;
        for table in ["sessions", "spent_refresh_tokens", "user_revocations", "login_failures", "known_clients"] {
            assert_eq!(gate.count(table).await, 0, "{table}");
        }
        gate.login(EMAIL).await;
        gate.app.assert_healthy().await;
    }

    async fn the_schema_keeps_one_key_and_the_doctor_sees_a_missing_one(engine: Engine) {
        let gate = Gate::open(engine).await;
        let twin = "INSERT INTO signing_keys SELECT 'twin', state, private_key, public_key, created_at_ms, longest_life_s, retires_at_ms FROM signing_keys";
        assert!(gate.execute(twin).await.is_err(), "two active keys");
        let still_secret = "UPDATE signing_keys SET state = 'retired', retires_at_ms = 1";
        assert!(gate.execute(still_secret).await.is_err(), "a key that does not sign has no private part");
        gate.execute("UPDATE signing_keys SET state = 'retired', retires_at_ms = 1, private_key = NULL").await.unwrap();
        let sick: Vec<_> = gate.auth.doctor().await.unwrap().into_iter().filter(|check| !check.holds()).collect();
        assert_eq!(sick.len(), 1);
        assert_eq!((sick[0].name, sick[0].violations.as_slice()), ("auth.one_active_key", ["0 active signing keys".to_owned()].as_slice()));
        assert!(gate.execute("DELETE FROM credentials").await.is_ok(), "nobody has a session");
        gate.register(EMAIL).await;
        assert!(gate.execute("DELETE FROM credentials").await.is_err(), "a session needs its credential");
    }
}
