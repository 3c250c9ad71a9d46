//! What travels with a call, and what a crowd of calls may cost.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use futures_util::future::join_all;
use platform::system::SystemClock;
use platform::{deadline, trace};
use remote::{Caller, Options};

use crate::scripted::{Scripted, Step, header_of};
use crate::support::{Held, PLENTY, Server, nobody, options, silence, timed, until, users_at, with_ada};

#[actix_web::test]
async fn the_trace_travels() {
    let script = Scripted::start([Step::json(200, "null")]).await;
    let users = users_at(&script.address, PLENTY);
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    trace::scope(id.to_owned(), users.find_by_login("ada")).await.unwrap();
    trace::scope(id.to_owned(), users.find_by_login("ada")).await.unwrap();
    users.find_by_login("ada").await.unwrap();
    let sent: Vec<_> = script.requests().iter().map(|request| header_of(request, "traceparent")).collect();
    let step = |sent: &Option<String>| {
        let parts: Vec<String> = sent.as_ref().unwrap().split('-').map(str::to_owned).collect();
        assert_eq!((parts[0].as_str(), parts[1].as_str(), parts[3].as_str()), ("00", id, "01"));
        assert!(parts[2].len() == 16 && parts[2].bytes().all(|b| b.is_ascii_hexdigit()), "{parts:?}");
        parts[2].clone()
    };
    assert_ne!(step(&sent[0]), step(&sent[1]));
    assert_eq!(sent[2], None);
}

#[actix_web::test]
async fn the_time_that_is_left_travels() {
    let (fake, _) = with_ada();
    let held = Held::new(fake);
    held.released.add_permits(100);
    let server = Server::start(held.clone());
    let users = users_at(&server.address, Duration::from_secs(8));
    let left = || held.left.lock().unwrap().unwrap();
    // The first of three tries has half of it.
    users.find_by_login("ada").await.unwrap();
    assert!(left() <= Duration::from_secs(4) && left() > Duration::from_secs(2), "{:?}", left());
    deadline::scope(Duration::from_secs(2), users.find_by_login("ada")).await.unwrap();
    assert!(left() <= Duration::from_secs(1), "{:?}", left());
    // No time left: not even sent.
    let calls = held.arrived.available_permits();
    let said = silence(deadline::scope(Duration::ZERO, users.find_by_login("ada")).await);
    assert!(said.contains("no time left"), "{said}");
    assert_eq!(held.arrived.available_permits(), calls);
}

#[actix_web::test]
async fn a_server_stops_waiting_when_its_caller_does() {
    let (fake, _) = with_ada();
    let server = Server::start(Held::new(fake));
    let script = Scripted::start([Step::json(200, "null")]).await;
    users_at(&script.address, PLENTY).find_by_login("ada").await.unwrap();
    let token = header_of(&script.requests()[0], "authorization").unwrap();
    let request = reqwest::Client::new()
        .post(format!("{}/internal/users/find_by_login", server.address))
        .header("authorization", token)
        .header("souk-timeout-ms", "120")
        .json(&serde_json::json!({"login": "ada"}));
    let (answer, took) = timed(request.send()).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert!(took >= Duration::from_millis(120), "{took:?}");
    server.crash().await;
}

#[actix_web::test]
async fn calls_share_a_connection_even_across_threads_that_end() {
    let script = Scripted::start([Step::json(200, "null")]).await;
    let users = users_at(&script.address, PLENTY);
    for _ in 0..3 {
        let users = users.clone();
        // As the worker threads of a server, each with a runtime of its own.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move { users.find_by_login("ada").await.unwrap() });
        });
        until("the thread ends", || thread.is_finished()).await;
        thread.join().unwrap();
    }
    users.find_by_login("ada").await.unwrap();
    assert_eq!((script.requests().len(), script.accepted()), (4, 1));
}

#[actix_web::test]
async fn two_hundred_calls_to_a_slow_peer_leave_nothing_behind() {
    let script = Scripted::start([Step::Silence]).await;
    let options = Options { calls_at_once: 20, ..options(Duration::from_millis(300)) };
    let caller = Caller::new(options, Arc::new(SystemClock)).unwrap();
    let users = remote::users::client(caller.peer("users", &script.address).unwrap());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (said, took) = timed(join_all((0..200).map(|_| users.find_by_login("ada")))).await;
    said.into_iter().for_each(|said| drop(silence(said)));
    assert!(took < PLENTY, "{took:?}");
    // Clients can be gone before the listener notices.
    until("all connections are closed", || script.open() == 0).await;
    until("all tasks have ended", || tasks() <= before).await;
    assert!((1..=40).contains(&script.most_open()), "{}", script.most_open());
}

#[actix_web::test]
async fn two_hundred_calls_to_a_dead_peer_leave_nothing_behind() {
    let users = users_at(&nobody(), Duration::from_secs(2));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (_, took) = timed(async {
        for _ in 0..200 {
            silence(users.find_by_login("ada").await);
        }
    })
    .await;
    // The breaker spares nearly all of them the way.
    assert!(took < Duration::from_secs(5), "{took:?}");
    until("all tasks have ended", || tasks() <= before).await;
}

#[actix_web::test]
async fn callers_that_go_away_leave_nothing_behind() {
    let script = Scripted::start([Step::Silence]).await;
    let users = users_at(&script.address, PLENTY);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let users = users.clone();
            rt::spawn(async move { users.find_by_login("ada").await })
        })
        .collect();
    until("all calls have arrived", || script.requests().len() == 50).await;
    calls.iter().for_each(|call| call.abort());
    until("all connections are closed", || script.open() == 0).await;
    // They told nothing of the peer: it is still asked.
    let call = rt::spawn(async move { users.find_by_login("ada").await });
    until("the next call arrives", || script.requests().len() == 51).await;
    call.abort();
}
