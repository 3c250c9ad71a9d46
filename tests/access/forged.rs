//! Tokens that are not what they say, shown to one operation of every module: each answers 401, in every topology.
//!
//! What is forged here is signed with the very key of the shop where that makes the forgery better.

use std::time::{Duration, Instant};

use deployments::{Options, Person, Running, Shop, Topology, block_on, report};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::secrets::{Stolen, part, written};

/// One operation of each module that lets an admin in.
const GUARDED: &[(&str, &str)] = &[
    ("POST", "/auth/verify"),
    ("GET", "/cart"),
    ("GET", "/catalog/products?active=false"),
    ("GET", "/inventory"),
    ("GET", "/notifications/webhooks"),
    ("GET", "/orders/analytics"),
    ("GET", "/payments"),
    ("GET", "/users/me"),
];

/// Of two replicas each is asked.
const TIMES: usize = 2;
/// By then a rotation from the command line has reached every process.
const ROTATED_WITHIN: Duration = Duration::from_secs(10);
pub const INTERNAL_SECRET: &str = "a secret of the access tests alone";

pub fn story(topology: Topology) -> Result<(), String> {
    let options = Options::default().set("SOUK__INTERNAL__SECRET", INTERNAL_SECRET);
    let running = topology.start_with(options)?;
    let shop = Shop::at(&running.address, "forged");
    let admin = block_on(shop.admin());
    let stolen = Stolen::from(&running)?;
    let genuine = stolen.sign(&stolen.header(), &part(&admin.token, 1));
    block_on(is_accepted(&shop, &genuine));
    let jwks = block_on(shop.get("/auth/.well-known/jwks.json").unrecorded().send()).expect(200).json;
    let forgeries = forgeries(&stolen, &admin, &jwks);
    for (what, token) in &forgeries {
        block_on(is_refused(&shop, what, token));
    }
    // The same the other way round: no token for people opens what is for processes.
    for process in running.processes()? {
        let inside = running.address_of(&process)?;
        block_on(is_kept_out(&inside, &genuine));
    }
    rotations(&running, &shop, &stolen, &admin)?;
    report(&format!(
        "{} forged tokens x {} modules x {}: all 401",
        forgeries.len() + 2,
        GUARDED.len(),
        topology.name()
    ));
    running.assert_healthy()?;
    running.stop()
}

/// What is wrong with a token, and the token.
fn forgeries(stolen: &Stolen, admin: &Person, jwks: &Value) -> Vec<(String, String)> {
    let mut all = of_the_wrong_hand(stolen, admin, jwks);
    all.extend(of_the_wrong_claims(stolen, admin));
    all.extend(of_the_wrong_header(stolen, admin, jwks));
    all.extend([
        ("a refresh token as an access token".to_owned(), admin.refresh_token.clone()),
        ("a service token as an access token".to_owned(), service_token()),
        ("nothing like a token".to_owned(), "x.y.z".to_owned()),
    ]);
    all
}

/// Signed by nobody, or by somebody else.
fn of_the_wrong_hand(stolen: &Stolen, admin: &Person, jwks: &Value) -> Vec<(String, String)> {
    let parts: Vec<&str> = admin.token.split('.').collect();
    let [head, body, signature] = [parts[0], parts[1], parts[2]];
    let mut other_claims = part(&admin.token, 1);
    other_claims["sub"] = json!("01900000-0000-7000-8000-000000000000");
    let other_body = written(&other_claims);
    let none = written(&json!({"alg": "none", "typ": "at+jwt", "kid": stolen.kid}));
    let public = jwks["keys"][0]["x"].as_str().unwrap();
    let hs256 = Header { alg: Algorithm::HS256, ..stolen.header() };
    let with_public = |secret: &[u8]| {
        jsonwebtoken::encode(&hs256, &other_claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let mut bent: Vec<u8> = signature.as_bytes().to_vec();
    bent[10] = if bent[10] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).unwrap();
    vec![
        ("alg none".to_owned(), format!("{none}.{other_body}.")),
        ("alg none with a signature".to_owned(), format!("{none}.{body}.{signature}")),
        ("HS256 with the public key".to_owned(), with_public(public.as_bytes())),
        ("HS256 with the key set".to_owned(), with_public(jwks.to_string().as_bytes())),
        ("tampered claims".to_owned(), format!("{head}.{other_body}.{signature}")),
        ("a tampered signature".to_owned(), format!("{head}.{body}.{bent}")),
        ("no signature".to_owned(), format!("{head}.{body}.")),
        ("the key of a stranger".to_owned(), {
            jsonwebtoken::encode(&stolen.header(), &other_claims, &stranger()).unwrap()
        }),
    ]
}

/// Signed with the shop's own key, and not for now, not for here, or not as ours are.
fn of_the_wrong_claims(stolen: &Stolen, admin: &Person) -> Vec<(String, String)> {
    let claims = part(&admin.token, 1);
    let now = claims["iat"].as_i64().unwrap();
    let with = |changes: &[(&str, Value)]| {
        let mut changed = claims.clone();
        for (name, value) in changes {
            changed[*name] = value.clone();
        }
        stolen.sign(&stolen.header(), &changed)
    };
    let without = |name: &str| {
        let mut changed = claims.clone();
        changed.as_object_mut().unwrap().remove(name);
        (format!("no {name}"), stolen.sign(&stolen.header(), &changed))
    };
    let mut all: Vec<(String, String)> =
        ["iss", "aud", "sub", "sid", "role", "exp", "iat", "iat_ms"].into_iter().map(without).collect();
    let expired = [("exp", json!(now - 60)), ("iat", json!(now - 960))];
    let future =
        [("iat", json!(now + 3_600)), ("iat_ms", json!((now + 3_600) * 1_000)), ("exp", json!(now + 7_200))];
    all.extend(
        [
            ("another issuer", with(&[("iss", json!("https://souk.example.com"))])),
            ("another audience", with(&[("aud", json!("bazaar"))])),
            ("the audience of processes", with(&[("aud", json!("souk/internal/orders"))])),
            ("expired", with(&expired)),
            ("of the future", with(&future)),
            ("not valid yet", with(&[("nbf", json!(now + 3_600))])),
            ("a role that there is not", with(&[("role", json!("root"))])),
        ]
        .map(|(what, token)| (what.to_owned(), token)),
    );
    all
}

/// Signed with the shop's own key or with one that comes along, under a header that says something else.
fn of_the_wrong_header(stolen: &Stolen, admin: &Person, jwks: &Value) -> Vec<(String, String)> {
    let claims = part(&admin.token, 1);
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = stolen.header();
        change(&mut header);
        stolen.sign(&header, &claims)
    };
    let kid = |kid: &str| {
        let token = with(&|header| header.kid = Some(kid.to_owned()));
        (format!("the key id {kid:.60}"), token)
    };
    let mut all: Vec<(String, String)> = ["JWT", "service+jwt", "rt+jwt"]
        .map(|typ| (format!("typ {typ}"), with(&|header| header.typ = Some(typ.to_owned()))))
        .into();
    all.extend([
        kid("../../etc/passwd"),
        kid("' OR '1'='1"),
        kid(""),
        kid(&"A".repeat(43)),
        kid(&"A".repeat(2_000)),
    ]);
    let embedded = serde_json::from_value(jwks["keys"][0].clone()).unwrap();
    let strangers = Header { jwk: Some(embedded), ..stolen.header() };
    all.extend([
        ("no type".to_owned(), with(&|header| header.typ = None)),
        ("no key id".to_owned(), with(&|header| header.kid = None)),
        ("crit".to_owned(), with(&|header| header.crit = Some(vec!["exp".to_owned()]))),
        ("jku".to_owned(), with(&|header| header.jku = Some("http://127.0.0.1:1/jwks.json".to_owned()))),
        ("x5u".to_owned(), with(&|header| header.x5u = Some("http://127.0.0.1:1/chain.pem".to_owned()))),
        ("an embedded jwk".to_owned(), stolen.sign(&strangers, &claims)),
        ("an embedded jwk and the key of a stranger".to_owned(), {
            jsonwebtoken::encode(&strangers, &claims, &stranger()).unwrap()
        }),
    ]);
    all
}

/// An Ed25519 key that the shop has never seen.
fn stranger() -> EncodingKey {
    // PKCS #8 around 32 bytes of seven.
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([7; 32]);
    EncodingKey::from_ed_der(&der)
}

/// As one process shows it to another.
pub fn service_token() -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims =
        json!({"iss": "souk", "sub": "cart", "aud": "souk/internal/orders", "iat": now, "exp": now + 60});
    let header = Header { typ: Some("service+jwt".to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(INTERNAL_SECRET.as_bytes())).unwrap()
}

async fn is_refused(shop: &Shop, what: &str, token: &str) {
    for (method, path) in GUARDED {
        for _ in 0..TIMES {
            let answer = shop.call(method, path).bearer(token).unrecorded().send().await;
            assert_eq!(
                (answer.status, answer.code()),
                (401, "unauthenticated"),
                "{what}: {method} {path}: {}",
                answer.text
            );
        }
    }
    let as_refresh_token = json!({"refresh_token": token});
    if what != "a refresh token as an access token" {
        let answer = shop.post("/auth/refresh").json(as_refresh_token).unrecorded().send().await;
        assert!([400, 401].contains(&answer.status), "{what} as a refresh token: {}", answer.text);
    }
}

async fn is_accepted(shop: &Shop, token: &str) {
    for (method, path) in GUARDED {
        for _ in 0..TIMES {
            let answer = shop.call(method, path).bearer(token).unrecorded().send().await;
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
        }
    }
}

/// The internal routes of a process take no access token.
async fn is_kept_out(process: &str, token: &str) {
    let shop = Shop::at(process, "kept_out");
    for path in ["/internal/auth/public_keys", "/internal/users/profile", "/internal/orders/place"] {
        let answer = shop.post(path).bearer(token).json(json!({})).unrecorded().send().await;
        assert!([401, 404].contains(&answer.status), "{path}: {}", answer.text);
    }
}

/// A key that retires verifies; one that is retired does not, and the one that signs instead is taken everywhere.
fn rotations(running: &Running, shop: &Shop, first: &Stolen, admin: &Person) -> Result<(), String> {
    rotate(running, &["keys", "rotate"])?;
    let second = Stolen::from(running)?;
    assert_ne!(second.kid, first.kid);
    let claims = part(&admin.token, 1);
    // No process is told by hand: each hears of the key, or asks for it.
    block_on(is_soon(shop, 200, &second.sign(&second.header(), &claims)));
    block_on(is_accepted(shop, &first.sign(&first.header(), &claims)));
    rotate(running, &["keys", "rotate", "--now"])?;
    let third = Stolen::from(running)?;
    for retired in [first, &second] {
        let token = retired.sign(&retired.header(), &claims);
        block_on(is_soon(shop, 401, &token));
        block_on(is_refused(shop, "a token of a retired key", &token));
    }
    block_on(is_soon(shop, 200, &third.sign(&third.header(), &claims)));
    // Nobody was logged out: the session goes on with a token of the new key.
    let give_up = Instant::now() + ROTATED_WITHIN;
    let mut refresh_token = admin.refresh_token.clone();
    loop {
        let refresh = json!({"refresh_token": refresh_token});
        let session = block_on(shop.post("/auth/refresh").json(refresh).unrecorded().send()).expect(200).json;
        let token = session["access_token"].as_str().unwrap();
        if part(token, 0)["kid"].as_str() == Some(&third.kid) {
            block_on(is_accepted(shop, token));
            return Ok(());
        }
        assert!(Instant::now() < give_up, "auth still signs with a retired key");
        refresh_token = session["refresh_token"].as_str().unwrap().to_owned();
    }
}

/// Every replica of every module answers so, after a while.
async fn is_soon(shop: &Shop, status: u16, token: &str) {
    let give_up = Instant::now() + ROTATED_WITHIN;
    for (method, path) in GUARDED {
        let mut in_a_row = 0;
        while in_a_row < 2 * TIMES {
            let answer = shop.call(method, path).bearer(token).unrecorded().send().await;
            in_a_row = if answer.status == status { in_a_row + 1 } else { 0 };
            assert!(Instant::now() < give_up, "{method} {path} is not {status}: {}", answer.text);
        }
    }
}

fn rotate(running: &Running, arguments: &[&str]) -> Result<(), String> {
    let said = running.operate(arguments)?;
    match said.code {
        Some(0) => Ok(()),
        _ => Err(format!("souk {} failed: {}{}", arguments.join(" "), said.printed, said.errors)),
    }
}
