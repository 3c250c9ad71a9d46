//! Peers of another version, and peers that are not ours at all.

use std::sync::Arc;

use contracts::catalog::{CatalogPort, ProductRef, QuoteRefusal};
use contracts::port::PortError;
use platform::system::SystemClock;
use remote::{Caller, PeerError};
use testkit::fakes::sku;

use crate::scripted::{Scripted, Step};
use crate::support::{PLENTY, Server, options, silence, users_at, with_ada};

#[actix_web::test]
async fn fields_of_a_newer_peer_are_passed_over() {
    let (_, ada) = with_ada();
    let mut profile = serde_json::to_value(&ada).unwrap();
    profile["loyalty"] = serde_json::json!({"tier": "gold", "points": [1, 2, 3]});
    let script = Scripted::start([Step::json(200, &profile.to_string())]).await;
    assert_eq!(users_at(&script.address, PLENTY).profile(ada.id).await.unwrap(), Some(ada));
}

#[actix_web::test]
async fn fields_of_a_newer_caller_are_passed_over() {
    let (fake, ada) = with_ada();
    let server = Server::start(fake);
    // A token from a call to a peer that keeps what it hears.
    let script = Scripted::start([Step::json(200, "null")]).await;
    users_at(&script.address, PLENTY).profile(ada.id).await.unwrap();
    let token = crate::scripted::header_of(&script.requests()[0], "authorization").unwrap();
    let answer = reqwest::Client::new()
        .post(format!("{}/internal/users/profile", server.address))
        .header("authorization", token)
        .json(&serde_json::json!({"id": ada.id, "why": {"for": ["a", "newer", "version"]}}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap(), serde_json::to_value(ada).unwrap());
}

fn catalog_at(address: &str) -> Arc<dyn CatalogPort> {
    let caller = Caller::new(options(PLENTY), Arc::new(SystemClock)).unwrap();
    remote::catalog::client(caller.peer("catalog", address).unwrap())
}

#[actix_web::test]
async fn a_refusal_is_told_from_one_that_this_version_does_not_know() {
    let mug = ProductRef::Sku(sku("MUG"));
    let script = Scripted::start([Step::json(409, r#"{"Retired":[{"sku":"MUG"}]}"#)]).await;
    let refused = catalog_at(&script.address).quote(std::slice::from_ref(&mug)).await;
    assert!(
        matches!(refused, Err(PortError::Refused(QuoteRefusal::Retired(products))) if products == [mug.clone()])
    );
    for unknown in [r#"{"Rationed":[{"sku":"MUG"}]}"#, r#""Closed""#, "7", "", "{"] {
        let script = Scripted::start([Step::json(409, unknown)]).await;
        let said = catalog_at(&script.address).quote(std::slice::from_ref(&mug)).await.unwrap_err();
        let said = platform::problem::chain(&said);
        assert!(said.contains("catalog") && said.contains("does not know"), "{said}");
        // Asked once: it would say the same again.
        assert_eq!(script.requests().len(), 1);
    }
    // A call without refusals knows none.
    let script = Scripted::start([Step::json(409, r#""Closed""#)]).await;
    assert!(silence(users_at(&script.address, PLENTY).find_by_login("ada").await).contains("does not know"));
}

#[actix_web::test]
async fn what_is_not_our_answer_is_unavailable() {
    let say = |content_type, body: &[u8]| Step::Say { status: 200, content_type, body: body.to_vec() };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let steps = [
        (say("application/json", b"{\"id\":"), "cannot be read"),
        (say("application/json", b""), "cannot be read"),
        (say("application/json", b"[1,2,3]"), "cannot be read"),
        (say("application/json", b"\xff\xfe\x00"), "cannot be read"),
        (say("application/json", deep.as_bytes()), "cannot be read"),
        (say("text/html", b"null"), "not JSON but `text/html`"),
        (say("", b"null"), "not JSON"),
        (say("application/json", &vec![b' '; 4 * 1024 * 1024 + 1]), "more than 4194304 bytes"),
        (
            Step::Say { status: 409, content_type: "application/problem+json", body: b"{}".to_vec() },
            "answered 409",
        ),
    ];
    for (step, words) in steps {
        let script = Scripted::start([step]).await;
        let said = silence(users_at(&script.address, PLENTY).find_by_login("ada").await);
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(script.requests().len(), 1);
    }
}

#[actix_web::test]
async fn an_operation_that_the_peer_does_not_have_is_unavailable() {
    let (fake, _) = with_ada();
    let server = Server::start(fake);
    let said = catalog_at(&server.address).find(&[sku("MUG")]).await.unwrap_err();
    assert!(platform::problem::chain(&said).contains("404"), "{said:?}");
}

#[actix_web::test]
async fn a_request_too_large_to_be_read_is_not_sent() {
    let script = Scripted::start([Step::json(200, "null")]).await;
    let users = users_at(&script.address, PLENTY);
    assert!(silence(users.find_by_login(&"x".repeat(5 * 1024 * 1024)).await).contains("more than 4194304"));
    assert_eq!(script.requests().len(), 0);
}

#[actix_web::test]
async fn addresses_that_cannot_be_used_are_named() {
    let caller = Caller::new(options(PLENTY), Arc::new(SystemClock)).unwrap();
    let problem = |addresses: &str| caller.peer("users", addresses).err().map(|error| error.to_string());
    assert_eq!(problem("http://users:8000, http://10.0.0.4:8000/ ,http://[::1]:8000"), None);
    assert!(matches!(caller.peer("users", " , "), Err(PeerError::None { module: "users" })));
    assert!(matches!(caller.peer("users", "https://users"), Err(PeerError::Tls { .. })));
    for bad in
        ["users:8000", "users", "ftp://users", "http://", "http://users/v1", "http://users?a", "http://a b"]
    {
        let said = problem(&format!("http://users:8000,{bad}")).unwrap_or_default();
        assert!(said.contains(bad) && said.contains("users"), "{bad}: {said}");
    }
    let said = problem("http://souk:swordfish@users").unwrap_or_default();
    assert!(said.contains("users") && !said.contains("swordfish"), "{said}");
}
