//! What nobody may read: not in the log, however much is logged, and not in what is shown of the settings.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;
use testkit::{Engine, Sent};

use crate::command_line::{Souk, text};

const MARKER: &str = "hunter2-hunter2-hunter2-hunter2";

/// Every secret of a shop, each with the marker in it. Nothing listens where the addresses point to.
fn marked(command: &mut Command) -> &mut Command {
    command
        .env("SOUK__AUTH__PEPPER", MARKER)
        .env("SOUK__PAYMENTS__WEBHOOK_SECRET", MARKER)
        .env("SOUK__INTERNAL__SECRET", MARKER)
        .env("SOUK__RABBITMQ__URL", format!("amqp://shop:{MARKER}@127.0.0.1:1/%2f"))
        .env("SOUK__REDIS__URL", format!("redis://:{MARKER}@127.0.0.1:1/"))
        .env("SOUK__LOG__LEVEL", "trace,sea_orm=trace")
}

#[test]
fn no_secret_is_in_the_log_or_in_what_is_shown() {
    testkit::run(async {
        let souk = Souk::new(Engine::Sqlite).await;
        for format in ["text", "json"] {
            let mut command = souk.command(&["serve", "--port", "0"]);
            let command = marked(&mut command).env("SOUK__LOG__FORMAT", format).stderr(Stdio::piped());
            let mut serving = command.spawn().unwrap();
            let (said, lines) = std::sync::mpsc::channel();
            let log = serving.stderr.take().unwrap();
            // Read beside the requests: at this level a pipe is full at once.
            let reading = std::thread::spawn(move || {
                BufReader::new(log).lines().map(Result::unwrap).for_each(|line| said.send(line).unwrap());
            });
            let mut seen = Vec::new();
            let address = loop {
                let line = lines.recv().unwrap();
                let found = line.split("listening on ").nth(1).and_then(|rest| rest.split(';').next());
                let found = found.map(str::to_owned);
                seen.push(line);
                if let Some(address) = found {
                    break address;
                }
            };
            let client = reqwest::Client::new();
            let body = json!({"email": format!("{format}@example.com"), "password": MARKER});
            let account = Sent::new(client.post(format!("{address}/auth/register")))
                .json(body)
                .send()
                .await
                .expect(201);
            let (token, refresh) =
                (account.json["token"].as_str().unwrap(), account.json["refresh_token"].as_str().unwrap());
            Sent::new(client.get(format!("{address}/users/me"))).bearer(token).send().await.expect(200);
            Sent::new(client.get(format!("{address}/users/me")))
                .bearer("a.forged.token")
                .send()
                .await
                .expect(401);
            Sent::new(client.post(format!("{address}/auth/refresh")))
                .json(json!({"refresh_token": refresh}))
                .send()
                .await
                .expect(200);
            assert!(
                Command::new("kill").args(["-TERM", &serving.id().to_string()]).status().unwrap().success()
            );
            assert!(serving.wait().unwrap().success());
            reading.join().unwrap();
            seen.extend(lines.try_iter());
            assert!(seen.iter().any(|line| line.contains("TRACE")), "nothing was logged in detail");
            let signature = token.rsplit('.').next().unwrap();
            for secret in [MARKER, signature, refresh] {
                let told: Vec<_> = seen.iter().filter(|line| line.contains(secret)).collect();
                assert!(told.is_empty(), "{told:#?}");
            }
        }
        let mut show = souk.command(&["config", "show"]);
        let shown = marked(&mut show)
            .env("SOUK__DATABASE__URL", format!("postgres://shop:{MARKER}@127.0.0.1:1/souk"));
        let shown = text(&shown.output().unwrap().stdout);
        assert!(shown.contains("[rabbitmq]") && !shown.contains(MARKER), "{shown}");
        let mut failing = souk.command(&["serve", "--port", "0"]);
        let failing = marked(&mut failing)
            .env("SOUK__DATABASE__URL", format!("postgres://shop:{MARKER}@127.0.0.1:1/souk"))
            .env("SOUK__DATABASE__ACQUIRE_TIMEOUT_MS", "100");
        let output = failing.output().unwrap();
        let log = text(&output.stderr);
        assert!(
            !output.status.success() && log.contains("cannot be opened") && !log.contains(MARKER),
            "{log}"
        );
    });
}

#[test]
fn a_secret_comes_from_a_file() {
    testkit::run(async {
        let souk = Souk::new(Engine::Sqlite).await;
        let file = souk.folder.path().join("webhook");
        std::fs::write(&file, format!("{MARKER}-and-more\n")).unwrap();
        let production = |pepper: &str| {
            let mut command = souk.command(&["config", "check", "--profile", "production"]);
            command
                .env("SOUK__AUTH__PEPPER_FILE", pepper)
                .env("SOUK__PAYMENTS__WEBHOOK_SECRET_FILE", &file)
                .env("SOUK__ACCESS__ISSUER", "https://shop.example.com");
            command.output().unwrap()
        };
        let taken = production(file.to_str().unwrap());
        assert!(taken.status.success(), "{}", text(&taken.stderr));
        let refused = production("/nowhere/pepper");
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("/nowhere/pepper"), "{}", text(&refused.stderr));
    });
}
