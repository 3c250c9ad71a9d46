//! Peers that do not answer as they should.

use std::net::TcpListener;
use std::time::Duration;

use crate::scripted::{Scripted, Step};
use crate::support::{Held, PLENTY, Server, nobody, silence, timed, users_at, with_ada};

const DEADLINE: Duration = Duration::from_millis(600);
/// What a loaded machine may need beyond a deadline.
const GRACE: Duration = Duration::from_secs(2);

fn null() -> Step {
    Step::json(200, "null")
}

#[actix_web::test]
async fn a_peer_that_is_down_is_unavailable_within_the_deadline_and_then_at_once() {
    let users = users_at(&nobody(), DEADLINE);
    let (said, took) = timed(users.find_by_login("ada")).await;
    assert!(silence(said).contains("cannot be reached"));
    assert!(took < DEADLINE + GRACE, "{took:?}");
    // Three tries a call: the second call is the one that opens the breaker.
    silence(users.find_by_login("ada").await);
    let (said, took) = timed(users.find_by_login("ada")).await;
    assert!(silence(said).contains("left alone"));
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[actix_web::test]
async fn a_peer_that_comes_back_is_found_by_one_probe() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    drop(socket);
    let users = users_at(&address, PLENTY);
    while !silence(users.find_by_login("ada").await).contains("left alone") {}
    let (fake, ada) = with_ada();
    let socket = TcpListener::bind(address.strip_prefix("http://").unwrap()).unwrap();
    let _server = Server::on(&socket, fake);
    let begun = std::time::Instant::now();
    let found = loop {
        match users.find_by_login("ada").await {
            Ok(found) => break found,
            Err(_) => assert!(begun.elapsed() < PLENTY),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(found, Some(ada));
}

#[actix_web::test]
async fn a_slow_peer_is_unavailable_at_the_deadline() {
    let (fake, _) = with_ada();
    let held = Held::new(fake);
    let server = Server::start(held.clone());
    let users = users_at(&server.address, DEADLINE);
    let (said, took) = timed(users.find_by_login("ada")).await;
    silence(said);
    assert!(took >= DEADLINE - Duration::from_millis(120) && took < DEADLINE + GRACE, "{took:?}");
    server.crash().await;
}

#[actix_web::test]
async fn a_peer_may_restart_between_two_calls() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (fake, ada) = with_ada();
    let server = Server::on(&socket, fake.clone());
    let users = users_at(&server.address, PLENTY);
    for _ in 0..3 {
        assert_eq!(users.profile(ada.id).await.unwrap(), Some(ada.clone()));
    }
    server.crash().await;
    let _server = Server::on(&socket, fake);
    for _ in 0..3 {
        assert_eq!(users.profile(ada.id).await.unwrap(), Some(ada.clone()));
    }
}

#[actix_web::test]
async fn a_peer_may_restart_in_the_middle_of_a_call() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (fake, ada) = with_ada();
    let held = Held::new(fake.clone());
    let server = Server::on(&socket, held.clone());
    let users = users_at(&server.address, PLENTY);
    let call = actix_web::rt::spawn({
        let id = ada.id;
        async move { users.profile(id).await }
    });
    held.wait_for(1).await;
    server.crash().await;
    let _server = Server::on(&socket, fake);
    assert_eq!(call.await.unwrap().unwrap(), Some(ada));
}

#[actix_web::test]
async fn a_connection_that_breaks_is_tried_again() {
    for broken in [Step::HangUp, Step::Break] {
        let script = Scripted::start([broken.clone(), broken.clone(), null()]).await;
        let users = users_at(&script.address, PLENTY);
        assert_eq!(users.find_by_login("ada").await.unwrap(), None, "{broken:?}");
        assert_eq!(script.requests().len(), 3);
        let script = Scripted::start([broken]).await;
        let users = users_at(&script.address, PLENTY);
        silence(users.find_by_login("ada").await);
        assert_eq!(script.requests().len(), 3);
    }
}

#[actix_web::test]
async fn what_may_pass_is_tried_again_and_the_rest_is_not() {
    for (status, tries) in [
        (502, 3),
        (503, 3),
        (504, 3),
        (400, 1),
        (401, 1),
        (404, 1),
        (413, 1),
        (429, 1),
        (500, 1),
        (302, 1),
        (204, 1),
    ] {
        let script = Scripted::start([Step::json(status, r#"{"code":"why_not"}"#)]).await;
        let said = silence(users_at(&script.address, PLENTY).find_by_login("ada").await);
        assert!(said.contains(&status.to_string()), "{said}");
        assert_eq!(script.requests().len(), tries, "{status}");
    }
}

#[actix_web::test]
async fn answers_of_a_server_leave_the_breaker_closed() {
    let script = Scripted::start([Step::json(500, "{}")]).await;
    let users = users_at(&script.address, PLENTY);
    for _ in 0..20 {
        assert!(silence(users.find_by_login("ada").await).contains("500"));
    }
    assert_eq!(script.requests().len(), 20);
}

#[actix_web::test]
async fn with_one_of_two_addresses_dead_no_call_fails() {
    let (fake, ada) = with_ada();
    let server = Server::start(fake);
    for addresses in
        [format!("{},{}", nobody(), server.address), format!("{} , {},", server.address, nobody())]
    {
        let users = users_at(&addresses, PLENTY);
        for _ in 0..30 {
            assert_eq!(users.profile(ada.id).await.unwrap(), Some(ada.clone()));
        }
    }
}

#[actix_web::test]
async fn replicas_that_restart_one_after_the_other_lose_no_call() {
    let first = nobody();
    let (fake, ada) = with_ada();
    let second = Server::start(fake.clone());
    let users = users_at(&format!("{first},{}", second.address), PLENTY);
    for _ in 0..20 {
        assert_eq!(users.find_by_login("ada").await.unwrap(), Some(ada.clone()));
    }
    // The first is back, though it is still left alone, and the second goes, which nobody knows yet.
    let socket = TcpListener::bind(first.strip_prefix("http://").unwrap()).unwrap();
    let _first = Server::on(&socket, fake);
    second.crash().await;
    for _ in 0..20 {
        assert_eq!(users.find_by_login("ada").await.unwrap(), Some(ada.clone()));
    }
}

#[actix_web::test]
async fn with_one_of_two_addresses_stuck_no_call_fails() {
    let (fake, ada) = with_ada();
    let (stuck, server) = (Scripted::start([Step::Silence]).await, Server::start(fake));
    let users = users_at(&format!("{},{}", stuck.address, server.address), Duration::from_secs(2));
    for _ in 0..4 {
        assert_eq!(users.profile(ada.id).await.unwrap(), Some(ada.clone()));
    }
    assert!(!stuck.requests().is_empty());
}

#[actix_web::test]
async fn calls_go_round_the_addresses() {
    let (one, two) = (Scripted::start([null()]).await, Scripted::start([null()]).await);
    let users = users_at(&format!("{},{}", one.address, two.address), PLENTY);
    for _ in 0..10 {
        users.find_by_login("ada").await.unwrap();
    }
    assert_eq!((one.requests().len(), two.requests().len()), (5, 5));
}

#[actix_web::test]
async fn a_port_that_cannot_answer_is_a_503_that_says_nothing_of_the_cause() {
    let (fake, _) = with_ada();
    *fake.down.lock().unwrap() = true;
    let server = Server::start(fake);
    let said = silence(users_at(&server.address, PLENTY).find_by_login("ada").await);
    assert!(said.contains("503 unavailable") && !said.contains("switched off"), "{said}");
}
