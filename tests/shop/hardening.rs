//! What a browser is told, and what cannot be written into the log.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::json;
use testkit::{Engine, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::command_line::Souk;
use crate::support::Shop;

fn assert_protected(answer: &Response, what: &str) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    assert_eq!(answer.header("x-frame-options"), "DENY", "{what}");
    assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{what}");
}

/// A request whose head the server has taken, as it has asked for the body.
struct HalfSent(tokio::net::TcpStream);

impl HalfSent {
    async fn new(address: &str, path: &str, kind: &str, token: &str, length: usize) -> Self {
        let mut stream = tokio::net::TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut heard = [0; 256];
        let length = stream.read(&mut heard).await.unwrap();
        assert!(heard[..length].starts_with(b"HTTP/1.1 100 Continue"));
        Self(stream)
    }

    async fn send(&mut self, part: &str) {
        self.0.write_all(part.as_bytes()).await.unwrap();
    }

    async fn status(mut self) -> u16 {
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

testkit::on_every_database! {
    async fn every_answer_protects_its_reader(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.newcomer().await;
        for (answer, status) in [
            (shop.get("/products").send().await, 200),
            (shop.get("/catalog/docs").send().await, 200),
            (shop.get("/catalog/openapi.json").send().await, 200),
            (shop.get("/docs").send().await, 200),
            (shop.get("/catalog/export").send().await, 401),
            (shop.get("/catalog/export").bearer(&shop.admin().await.token).send().await, 200),
            (shop.get("/nowhere").send().await, 404),
            (shop.call("DELETE", "/products").send().await, 405),
            (shop.get("/orders").send().await, 401),
            (shop.get("/readyz").send().await, 200),
            (shop.post("/orders").bearer(&ada.token).key("k").body("text/plain", "x").send().await, 415),
        ] {
            let what = answer.text.chars().take(60).collect::<String>();
            assert_protected(&answer.expect(status), &what);
        }
        // What only pages may do, pages only may do.
        let (page, data) = (shop.get("/docs").send().await, shop.get("/products").send().await);
        assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
        assert!(data.header("content-security-policy").starts_with("default-src 'none'"));
    }

    async fn answers_that_hold_tokens_are_stored_by_nobody(engine: Engine) {
        let shop = Shop::open(engine).await;
        let login = |path: &str| shop.post(path).json(json!({"email": "demo@test.com", "password": "password123"})).send();
        let answer = login("/auth/login").await.expect(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(login("/users/login/").await.expect(200).header("cache-control"), "no-store");
        let token = answer.json["token"].as_str().unwrap();
        let refresh = shop.post("/auth/refresh").json(json!({"refresh_token": answer.json["refresh_token"]})).send().await;
        assert_eq!(refresh.expect(200).header("cache-control"), "no-store");
        let verified = shop.post("/auth/verify").bearer(token).send().await.expect(200);
        assert_eq!(verified.header("cache-control"), "no-store");
        let guest = shop.call("PUT", "/cart/items/MUG-BLUE").json(json!({"quantity": 1})).send().await.expect(200);
        assert_eq!((guest.header("x-cart-token").is_empty(), guest.header("cache-control")), (false, "no-store"));
        assert_eq!(shop.get("/products").send().await.expect(200).header("cache-control"), "");
    }

    async fn browsers_are_told_of_tls_where_there_is_some(engine: Engine) {
        const HSTS: &str = "strict-transport-security";
        let tls = |shop: &Shop| shop.get("/livez").header("x-forwarded-proto", "https").send();
        let nobody_trusted = Shop::open_with(engine.clone(), |_| {}).await;
        assert_eq!(tls(&nobody_trusted).await.header(HSTS), "", "anyone may claim it");
        let trusting = Shop::open_with(engine.clone(), |settings| settings.server.trusted_proxies = vec!["127.0.0.1".to_owned()]).await;
        assert_eq!(tls(&trusting).await.header(HSTS), "max-age=31536000");
        assert_eq!(trusting.get("/livez").send().await.header(HSTS), "");
        let claimed = trusting.get("/livez").header("x-forwarded-proto", "https, http").send().await;
        assert_eq!(claimed.header(HSTS), "", "the nearest proxy says http");
        let told = Shop::open_with(engine, |settings| settings.server.hsts = true).await;
        assert_eq!(told.get("/livez").send().await.header(HSTS), "max-age=31536000");
    }

    async fn pages_of_listed_origins_may_call_and_no_others(engine: Engine) {
        const ALLOW: &str = "access-control-allow-origin";
        let origins = vec!["https://shop.example.com".to_owned(), "http://localhost:3000".to_owned()];
        let shop = Shop::open_with(engine.clone(), |settings| settings.server.cors_origins = origins).await;
        let from = |origin: &str| shop.get("/products").header("origin", origin).send();
        let allowed = from("https://shop.example.com").await.expect(200);
        assert_eq!((allowed.header(ALLOW), allowed.header("vary")), ("https://shop.example.com", "Origin"));
        assert!(allowed.header("access-control-expose-headers").contains("ETag"));
        assert_eq!(allowed.header("access-control-allow-credentials"), "");
        for other in ["https://shop.example.com.evil.example", "https://evil.example", "null", "http://shop.example.com", "https://SHOP.example.com"] {
            let refused = from(other).await.expect(200);
            assert_eq!((refused.header(ALLOW), refused.header("vary")), ("", "Origin"), "{other}");
        }
        let ask = |origin: &str, path: &str| {
            shop.call("OPTIONS", path).header("origin", origin).header("access-control-request-method", "PATCH").send()
        };
        let preflight = ask("http://localhost:3000", "/orders/x").await.expect(204);
        assert_eq!(preflight.header(ALLOW), "http://localhost:3000");
        assert!(preflight.header("access-control-allow-methods").contains("PATCH"));
        assert!(preflight.header("access-control-allow-headers").contains("Idempotency-Key"));
        assert!(!preflight.header("trace-id").is_empty());
        let refused = ask("https://evil.example", "/products").await.expect(405);
        assert_eq!((refused.header(ALLOW), refused.header("access-control-allow-methods")), ("", ""));
        // An error can be read by the page that caused it.
        assert_eq!(shop.get("/orders").header("origin", "http://localhost:3000").send().await.expect(401).header(ALLOW), "http://localhost:3000");
        let closed = Shop::open(engine).await;
        let answer = closed.get("/products").header("origin", "https://shop.example.com").send().await.expect(200);
        assert_eq!((answer.header(ALLOW), answer.header("vary")), ("", ""));
    }

    async fn a_body_that_comes_when_its_session_has_ended_is_not_taken(engine: Engine) {
        let shop = Shop::open(engine).await;
        for (path, kind, first, rest) in [
            ("/auth/api-keys", "application/json", "{", "\"name\": \"x\", \"scopes\": [\"auth:read\"]}"),
            ("/catalog/import", "text/csv", "sku,name,category,price\n", "MUG-BLUE,Blue mug,Kitchen,1\n"),
        ] {
            for ends in [false, true] {
                let admin = shop.admin().await;
                let mut half = HalfSent::new(&shop.address, path, kind, &admin.token, first.len() + rest.len()).await;
                half.send(first).await;
                if ends {
                    shop.post("/auth/logout").bearer(&admin.token).send().await.expect(204);
                }
                half.send(rest).await;
                let status = half.status().await;
                let fits = if ends { status == 401 } else { status == 200 || status == 201 };
                assert!(fits, "{path}, session ended: {ends}: {status}");
            }
        }
    }

    async fn a_packed_body_is_not_unpacked(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.admin().await;
        for (path, kind) in [("/auth/login", "application/json"), ("/catalog/import", "text/csv"), ("/payments/webhooks/sandbox", "application/json")] {
            for encoding in ["gzip", "identity, gzip", "br", "zstd"] {
                let packed = shop.post(path).bearer(&admin.token).header("content-encoding", encoding).body(kind, "\u{1f}\u{8b}");
                let refused = packed.send().await.expect_problem(415, "unsupported_media_type");
                assert_eq!(refused.header("accept-encoding"), "identity", "{path} {encoding}");
            }
        }
    }
}

/// Sends bytes as they are, and waits for the answer.
fn send(address: &str, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(request).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn nothing_that_a_client_sends_begins_a_line_of_the_log() {
    testkit::run(async {
        for format in ["text", "json"] {
            let souk = Souk::new(Engine::Sqlite).await;
            let mut command = souk.command(&["serve", "--port", "0"]);
            command.env("SOUK__LOG__FORMAT", format).env("SOUK__LOG__LEVEL", "debug");
            let mut serving = command.stderr(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines().map(Result::unwrap);
            let listening = lines.find(|line| line.contains("listening on")).unwrap();
            let address =
                listening.split("listening on http://").nth(1).unwrap().split(';').next().unwrap().to_owned();
            let reading = std::thread::spawn(move || lines.collect::<Vec<_>>());
            let lie = "INJECTED placed order";
            let json = |body: String| {
                format!(
                    "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
            };
            let (escaped, encoded) = (lie.replace(' ', "\\u0020"), lie.replace(' ', "%20"));
            for request in [
                format!(
                    "GET /products/%0a{encoded}%0d%0a{encoded} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                ),
                format!("GET /products?search=%0a{encoded} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
                format!(
                    "GET /%E2%80%A8{encoded}%C2%85{encoded} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                ),
                format!(
                    "GET /livez HTTP/1.1\r\nHost: a\r\ntraceparent: 00-\u{1b}[2J\t{lie}\r\nUser-Agent: \u{85}{lie}\r\nConnection: close\r\n\r\n"
                ),
                format!(
                    "POST /auth/login HTTP/1.1\r\nHost: a\r\n{}",
                    json(format!("{{\"email\":\"\\n{escaped}\",\"password\":\"\\r\\n{escaped}\"}}"))
                ),
                format!(
                    "POST /auth/register HTTP/1.1\r\nHost: a\r\n{}",
                    json(format!(
                        "{{\"email\":\"a@example.com\",\"name\":\"\\n{escaped}\",\"password\":\"correct horse\"}}"
                    ))
                ),
                format!(
                    "POST /payments/webhooks/%0a{encoded} HTTP/1.1\r\nHost: a\r\n{}",
                    json("{}".to_owned())
                ),
                format!("BAD\u{b}{lie} / HTTP/1.1\r\n{lie}\r\n\r\n"),
            ] {
                assert!(send(&address, request.as_bytes()).starts_with("HTTP/1.1 "), "{request}");
            }
            assert!(
                Command::new("kill").args(["-TERM", &serving.id().to_string()]).status().unwrap().success()
            );
            let lines = reading.join().unwrap();
            assert!(serving.wait().unwrap().success());
            assert!(lines.len() > 5, "{lines:#?}");
            for line in &lines {
                let is_own = match format {
                    "json" => serde_json::from_str::<serde_json::Value>(line)
                        .is_ok_and(|event| event["level"].is_string()),
                    // A time, in the colour that a terminal may want.
                    _ => line.trim_start_matches("\u{1b}[2m").starts_with("20"),
                };
                assert!(is_own, "{line:?}");
                assert!(!line.contains(['\u{85}', '\u{2028}', '\r']), "{line:?}");
            }
        }
    });
}
