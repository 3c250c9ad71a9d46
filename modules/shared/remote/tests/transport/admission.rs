//! Who may ask at the internal routes.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use platform::system::SystemClock;
use remote::{Caller, CallerError, Gate, Options};
use testkit::{Bench, Engine, Response, Sent, TestClock};

use crate::scripted::{Scripted, Step, header_of};
use crate::support::{PLENTY, SECRET, Server, nobody, options, silence, users_at, with_ada};

/// The `Authorization` that a process with these options shows to `users`.
async fn shown(options: Options, clock: Arc<TestClock>) -> String {
    let script = Scripted::start([Step::json(200, "null")]).await;
    let caller = Caller::new(options, clock).unwrap();
    let users = remote::users::client(caller.peer("users", &script.address).unwrap());
    users.find_by_login("ada").await.unwrap();
    header_of(&script.requests()[0], "authorization").unwrap()
}

/// What it shows to another module.
async fn shown_to_auth() -> String {
    let script = Scripted::start([Step::json(200, "[]")]).await;
    let caller = Caller::new(options(PLENTY), Arc::new(TestClock::default())).unwrap();
    let auth = remote::auth::client(caller.peer("auth", &script.address).unwrap());
    assert!(auth.public_keys().await.unwrap().is_empty());
    header_of(&script.requests()[0], "authorization").unwrap()
}

async fn ask(address: &str, authorization: Option<&str>) -> Response {
    let request = reqwest::Client::new().post(format!("{address}/internal/users/find_by_login"));
    let sent = Sent::new(request).json(serde_json::json!({"login": "ada"}));
    match authorization {
        Some(value) => sent.header("authorization", value).send().await,
        None => sent.send().await,
    }
}

#[actix_web::test]
async fn a_process_of_the_shop_is_let_in_and_nobody_else() {
    let (fake, _) = with_ada();
    let server = Server::start(fake);
    let bench = Bench::new(Engine::Sqlite).await;
    let good = shown(options(PLENTY), Arc::new(TestClock::default())).await;
    ask(&server.address, Some(&good)).await.expect(200);

    let refused = ask(&server.address, None).await.expect_problem(401, "unauthenticated");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    let other_secret = Options { secret: "another secret of these tests".to_owned(), ..options(PLENTY) };
    let ahead = TestClock::default();
    ahead.advance(Duration::from_secs(3_600));
    let body = good.split('.').nth(1).unwrap();
    // {"typ":"service+jwt","alg":"none"} and {"typ":"service+jwt","alg":"None"}
    let unsigned = [
        format!("Bearer eyJ0eXAiOiJzZXJ2aWNlK2p3dCIsImFsZyI6Im5vbmUifQ.{body}."),
        format!("Bearer eyJ0eXAiOiJzZXJ2aWNlK2p3dCIsImFsZyI6Ik5vbmUifQ.{body}.x"),
        good.rsplit_once('.').unwrap().0.to_owned() + ".",
    ];
    let strangers = [
        format!("Bearer {}", bench.tokens.customer().token),
        format!("Bearer {}", bench.tokens.admin().token),
        shown(other_secret, Arc::new(TestClock::default())).await,
        // Signed an hour ahead of time. One that has ended is another test.
        shown(options(PLENTY), Arc::new(ahead)).await,
        shown_to_auth().await,
        "Bearer ".to_owned(),
        good.replace("Bearer ", "Basic "),
    ];
    for stranger in strangers.iter().chain(&unsigned) {
        ask(&server.address, Some(stranger)).await.expect_problem(401, "unauthenticated");
    }
}

#[actix_web::test]
async fn a_token_ends() {
    let (fake, _) = with_ada();
    let clock = Arc::new(TestClock::default());
    let gate = web::Data::new(Gate::new(SECRET, clock.clone()));
    let server = HttpServer::new(move || {
        let port = fake.clone();
        App::new().app_data(gate.clone()).configure(move |config| remote::users::routes(config, port))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = format!("http://{}", server.addrs()[0]);
    actix_web::rt::spawn(server.run());
    let early = shown(options(PLENTY), clock.clone()).await;
    ask(&address, Some(&early)).await.expect(200);
    clock.advance(Duration::from_secs(70));
    ask(&address, Some(&early)).await.expect_problem(401, "unauthenticated");

    // A caller that lives longer than its tokens makes new ones.
    let caller = Caller::new(options(PLENTY), clock.clone()).unwrap();
    let users = remote::users::client(caller.peer("users", &address).unwrap());
    for _ in 0..4 {
        assert!(users.find_by_login("ada").await.unwrap().is_some());
        clock.advance(Duration::from_secs(35));
    }
}

#[actix_web::test]
async fn without_a_gate_nobody_is_let_in() {
    let (fake, _) = with_ada();
    let server = HttpServer::new(move || {
        let port = fake.clone();
        App::new().configure(move |config| remote::users::routes(config, port))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = format!("http://{}", server.addrs()[0]);
    actix_web::rt::spawn(server.run());
    assert!(silence(users_at(&address, PLENTY).find_by_login("ada").await).contains("401 unauthenticated"));
}

#[actix_web::test]
async fn a_secret_has_a_length() {
    let short = Options { secret: "15 characters..".to_owned(), ..options(PLENTY) };
    assert!(matches!(Caller::new(short, Arc::new(SystemClock)), Err(CallerError::Secret)));
}

#[actix_web::test]
async fn a_body_that_does_not_fit_is_refused() {
    let (fake, _) = with_ada();
    let server = Server::start(fake);
    let token = shown(options(PLENTY), Arc::new(TestClock::default())).await;
    let send = |content_type: &'static str, body: Vec<u8>| {
        let request = reqwest::Client::new().post(format!("{}/internal/users/profile", server.address));
        Sent::new(request).header("authorization", &token).body(content_type, body).send()
    };
    let deep = format!("{{\"id\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    send("application/json", b"{".to_vec()).await.expect_problem(400, "malformed_json");
    send("application/json", Vec::new()).await.expect_problem(400, "malformed_json");
    send("application/json", b"\xff".to_vec()).await.expect_problem(400, "malformed_json");
    send("application/json", b"{}".to_vec()).await.expect_problem(400, "invalid_body");
    send("application/json", br#"{"id":"no id"}"#.to_vec()).await.expect_problem(400, "invalid_body");
    assert_eq!(send("application/json", deep.into_bytes()).await.status, 400);
    send("text/plain", b"{}".to_vec()).await.expect_problem(415, "unsupported_media_type");
    send("application/json", vec![b' '; 4 * 1024 * 1024 + 1]).await.expect_problem(413, "payload_too_large");
}

#[actix_web::test]
async fn the_routes_take_post_only() {
    let (fake, _) = with_ada();
    let server = Server::start(fake);
    for path in ["/internal/users/profile", "/internal/users", "/internal", "/internal/users/profiles"] {
        let answer = reqwest::get(format!("{}{path}", server.address)).await.unwrap();
        assert!([404, 405].contains(&answer.status().as_u16()), "{path}: {}", answer.status());
    }
    assert!(silence(users_at(&nobody(), PLENTY).find_by_login("ada").await).contains("users"));
}
