//! What ends in `auth` ends in the process of every module within a second, and no request costs `auth` a call.

use std::time::{Duration, Instant};

use deployments::{Person, Running, Shop, Topology, await_that, block_on, report};
use serde_json::{Value, json};

/// From the answer that acknowledged it.
const BOUND: Duration = Duration::from_secs(1);
const REQUESTS: usize = 100;

/// One operation of each module that a customer, and a key with its scope, may call.
const READS: &[(&str, &str, &str)] = &[
    ("cart", "GET", "/cart"),
    ("inventory", "GET", "/inventory"),
    ("notifications", "GET", "/notifications"),
    ("orders", "GET", "/orders"),
    ("payments", "GET", "/payments"),
    ("users", "GET", "/users/me"),
];

pub fn story(topology: Topology) -> Result<(), String> {
    let running = topology.start()?;
    let shop = Shop::at(&running.address, "revocation");
    let processes = processes(&running)?;
    let ada = block_on(shop.newcomer("ada"));
    let key = block_on(make_key(&shop, &ada));
    for credential in [&ada.token, &key] {
        await_status(&processes, credential, 200, Duration::from_secs(5))?;
    }
    requests_cost_auth_nothing(&running, &processes, &[&ada.token, &key])?;
    let slowest = endings(&shop, &processes, &ada, &key)?;
    for (what, took) in slowest {
        report(&format!(
            "{what}: refused by every process of {} within {} ms",
            topology.name(),
            took.as_millis()
        ));
    }
    running.assert_healthy()?;
    running.stop()
}

/// Each module's processes, past the gateway, with what is read there.
fn processes(running: &Running) -> Result<Vec<(Shop, &'static str, &'static str)>, String> {
    let names = running.processes()?;
    let mut found = Vec::new();
    for (module, method, path) in READS {
        for name in names.iter().filter(|name| name.starts_with(module)) {
            found.push((Shop::at(&running.address_of(name)?, "revocation"), *method, *path));
        }
    }
    assert!(found.len() >= READS.len(), "a process of its own for each module: {names:?}");
    Ok(found)
}

async fn make_key(shop: &Shop, owner: &Person) -> String {
    let scopes =
        ["cart:read", "inventory:read", "notifications:read", "orders:read", "payments:read", "users:read"];
    let body = json!({"name": "revocation", "scopes": scopes});
    let made = shop.post("/auth/api-keys").bearer(&owner.token).json(body).unrecorded().send().await;
    made.expect(201).json["key"].as_str().unwrap().to_owned()
}

/// Waits until every process answers so; how long the last one took.
fn await_status(
    processes: &[(Shop, &'static str, &'static str)],
    credential: &str,
    status: u16,
    within: Duration,
) -> Result<Duration, String> {
    let since = Instant::now();
    for (process, method, path) in processes {
        let left = within.saturating_sub(since.elapsed());
        let met = await_that(left, || {
            let answer = block_on(process.call(method, path).bearer(credential).unrecorded().send());
            Ok((answer.status == status).then_some(()))
        })?;
        met.ok_or_else(|| {
            format!("{method} {path} of {} is not {status} within {within:?}", process.address)
        })?;
    }
    Ok(since.elapsed())
}

/// `auth` is asked for keys and revocations from time to time, and for an API key once a process, however much is verified.
fn requests_cost_auth_nothing(
    running: &Running,
    processes: &[(Shop, &'static str, &'static str)],
    credentials: &[&String],
) -> Result<(), String> {
    let auth: Vec<String> =
        running.processes()?.into_iter().filter(|name| name.starts_with("auth")).collect();
    let auth: Vec<Shop> = auth
        .iter()
        .map(|name| Ok(Shop::at(&running.address_of(name)?, "revocation")))
        .collect::<Result<_, String>>()?;
    let asked = |route: &str| -> f64 { auth.iter().map(|process| count(process, route)).sum() };
    let (keys, since) = (asked("/internal/auth/api_key"), Instant::now());
    let rest = asked("/internal/auth/");
    for _ in 0..REQUESTS {
        for (process, method, path) in processes {
            for credential in credentials {
                block_on(process.call(method, path).bearer(credential).unrecorded().send()).expect(200);
            }
        }
    }
    assert_eq!(asked("/internal/auth/api_key"), keys, "an API key was looked up again");
    // Two questions every five seconds, and the uses of keys every fifteen, from each of the other processes.
    let all = running.processes()?.len();
    let periods = f64::from(u32::try_from(since.elapsed().as_secs() / 5 + 2).unwrap());
    let expected = f64::from(u32::try_from(all * 3).unwrap()) * periods;
    let asked = asked("/internal/auth/") - rest;
    assert!(asked <= expected, "auth was asked {asked} times, from time to time would be {expected}");
    let verified = REQUESTS * processes.len() * credentials.len();
    report(&format!(
        "{verified} requests verified elsewhere: {asked} internal calls to auth, all of them periodic"
    ));
    Ok(())
}

/// How many requests to routes that begin so a process has answered.
fn count(process: &Shop, route: &str) -> f64 {
    let metrics = block_on(process.get("/metrics").unrecorded().send()).expect(200).text;
    let lines = metrics.lines().filter(|line| line.starts_with("http_requests_total{"));
    lines
        .filter(|line| line.contains(&format!("route=\"{route}")))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Logout, a revoked key, another role, an account that is switched off: how long each took.
fn endings(
    shop: &Shop,
    processes: &[(Shop, &'static str, &'static str)],
    ada: &Person,
    key: &str,
) -> Result<Vec<(&'static str, Duration)>, String> {
    let mut slowest = Vec::new();
    block_on(shop.post("/auth/logout").bearer(&ada.token).unrecorded().send()).expect(204);
    slowest.push(("a logout", await_status(processes, &ada.token, 401, BOUND)?));
    // A key is not a session: it goes on.
    await_status(processes, key, 200, BOUND)?;

    let ada = block_on(shop.log_in(&ada.email, deployments::PASSWORD));
    let listed = block_on(shop.get("/auth/api-keys").bearer(&ada.token).unrecorded().send()).expect(200).json;
    let path = format!("/auth/api-keys/{}", listed["items"][0]["id"].as_str().unwrap());
    block_on(shop.delete(&path).bearer(&ada.token).unrecorded().send()).expect(204);
    slowest.push(("a revoked API key", await_status(processes, key, 401, BOUND)?));

    let (admin, second) = (block_on(shop.admin()), block_on(make_key(shop, &ada)));
    await_status(processes, &second, 200, Duration::from_secs(5))?;
    let change = |body: Value| {
        let path = format!("/users/{}", ada.id);
        block_on(shop.patch(&path).bearer(&admin.token).json(body).unrecorded().send()).expect(200);
    };
    change(json!({"role": "admin"}));
    slowest.push(("another role", await_status(processes, &ada.token, 401, BOUND)?));
    // The key acts with the role of the moment.
    await_status(processes, &second, 200, BOUND)?;
    change(json!({"active": false}));
    slowest
        .push(("the key of an account that is switched off", await_status(processes, &second, 401, BOUND)?));
    Ok(slowest)
}
