//! The binary as an operator meets it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;
use testkit::{Engine, Sent, TestDatabase};

/// The binary with a data folder and a database of its own.
pub struct Souk {
    pub folder: tempfile::TempDir,
    pub database: TestDatabase,
}

impl Souk {
    pub async fn new(engine: Engine) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: TestDatabase::create(engine).await }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_souk"));
        command.args(arguments).arg("--data-dir").arg(self.folder.path().join("data")).stdin(Stdio::null());
        command.env("SOUK__AUTH__BCRYPT_COST", "4").env("SOUK_PASSWORD", "correct horse");
        if let Some(url) = self.database.url() {
            command.args(["--database-url", url]);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of a command that must fail with code 1.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

testkit::on_every_database! {
    async fn an_operator_sets_up_fills_and_checks_a_shop(engine: Engine) {
        let souk = Souk::new(engine).await;
        let unseen = souk.run(&["doctor"]);
        assert_eq!(unseen.status.code(), Some(2), "there is nothing to look at");
        assert!(text(&unseen.stdout).contains("souk migrate up"), "{}", text(&unseen.stdout));
        assert!(souk.ok(&["migrate", "up"]).contains("orders: "));
        assert!(!souk.ok(&["migrate", "status"]).contains("pending"));
        assert!(souk.ok(&["demo"]).contains("loaded 3 accounts and 38 products"));
        assert!(souk.ok(&["demo"]).contains("loaded 0 accounts and 0 products"));
        assert!(souk.ok(&["user", "create", "--admin", "--email", "boss@example.com"]).contains("created the admin boss@example.com"));
        assert!(souk.fails(&["user", "create", "--email", "BOSS@example.com"]).contains("exists"));
        assert!(souk.fails(&["user", "create", "--email", "no address"]).contains("--email"));
        assert!(souk.ok(&["doctor"]).contains("checks hold"));
        assert!(souk.fails(&["migrate", "down"]).contains("--yes"));
        souk.ok(&["migrate", "down", "--yes"]);
        assert!(souk.ok(&["migrate", "status"]).contains("pending"));
    }

    async fn an_operator_takes_away_a_lost_second_factor(engine: Engine) {
        use sea_orm::ConnectionTrait;
        let souk = Souk::new(engine.clone()).await;
        souk.ok(&["user", "create", "--email", "ada@example.com", "--username", "ada"]);
        assert!(souk.fails(&["user", "remove-second-factor", "nobody"]).contains("no user"));
        assert!(souk.fails(&["user", "remove-second-factor", "ada"]).contains("no second factor"));
        let (location, secret) = match souk.database.url() {
            None => (platform::db::Location::Sqlite { folder: souk.folder.path().join("data") }, "zeroblob(40)"),
            Some(url) => (platform::db::Location::Postgres { url: url.to_owned() }, "decode(repeat('00', 40), 'hex')"),
        };
        let options = platform::db::DbOptions::new(location);
        let db = platform::db::Db::open("auth", &options, platform::system::System::real()).await.unwrap();
        let sql = format!("INSERT INTO second_factors SELECT user_id, {secret}, 1, 0, 1 FROM credentials");
        db.writer().execute_unprepared(&sql).await.unwrap();
        db.close().await.unwrap();
        let removed = souk.ok(&["user", "remove-second-factor", "ada"]);
        assert!(removed.contains("took the second factor of ada@example.com away"), "{removed}");
        assert!(souk.fails(&["user", "remove-second-factor", "ADA@example.com"]).contains("no second factor"));
        assert!(souk.ok(&["doctor"]).contains("checks hold"));
    }

    async fn tables_go_out_and_come_back_unchanged(engine: Engine) {
        let souk = Souk::new(engine).await;
        souk.ok(&["demo"]);
        for resource in ["products", "inventory", "users", "orders"] {
            let exported = souk.file(&format!("{resource}.csv"), "");
            souk.ok(&["export", resource, as_text(&exported)]);
            let report = souk.ok(&["import", resource, as_text(&exported)]);
            assert!(report.contains(" 0 created, 0 updated, ") && report.contains(" 0 refused"), "{report}");
        }
        let bad = souk.file("bad.csv", "sku,name,category,price\nOK-1,Fine,Things,1.00\nBAD,Free,Things,abc\n");
        let report = souk.fails(&["import", "products", as_text(&bad)]);
        assert!(report.contains("2 rows read, 1 created, 0 updated, 0 unchanged, 1 refused"), "{report}");
        assert!(report.contains("line 3: BAD: price"), "{report}");
        assert!(souk.fails(&["import", "products", "missing.csv"]).contains("missing.csv"));
    }

    async fn the_doctor_names_what_was_tampered_with(engine: Engine) {
        use sea_orm::ConnectionTrait;
        let souk = Souk::new(engine.clone()).await;
        souk.ok(&["demo"]);
        let location = match souk.database.url() {
            None => platform::db::Location::Sqlite { folder: souk.folder.path().join("data") },
            Some(url) => platform::db::Location::Postgres { url: url.to_owned() },
        };
        let options = platform::db::DbOptions::new(location);
        let db = platform::db::Db::open("inventory", &options, platform::system::System::real()).await.unwrap();
        db.writer().execute_unprepared("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG-BLUE'").await.unwrap();
        db.close().await.unwrap();
        let report = souk.fails(&["doctor"]);
        assert!(report.contains("BROKEN") && report.contains("MUG-BLUE: 61 on hand, 60 by the ledger"), "{report}");
        let json: serde_json::Value = serde_json::from_slice(&souk.run(&["doctor", "--json"]).stdout).unwrap();
        assert_eq!(json["healthy"], false);
    }
}

testkit::on_every_database! {
    async fn a_stop_finishes_what_is_in_flight(engine: Engine) {
        let souk = Souk::new(engine).await;
        let mut serving = souk.command(&["serve", "--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
        let log = std::io::BufReader::new(serving.stderr.take().unwrap());
        let mut lines = std::io::BufRead::lines(log).map(Result::unwrap);
        let listening = lines.find(|line| line.contains("listening on")).unwrap();
        let address = listening.split("listening on ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let client = reqwest::Client::new();
        let post = |path: &str| Sent::new(client.post(format!("{address}{path}")));
        let login = post("/auth/login").json(json!({"email": "demo@test.com", "password": "password123"})).send().await.expect(200);
        let token = login.json["token"].as_str().unwrap().to_owned();
        let order = post("/orders").bearer(&token).key("o").json(json!({"items": [{"sku": "MUG-BLUE", "quantity": 1}]})).send().await.expect(201);
        let body = json!({"order_id": order.json["id"], "method": {"type": "card", "token": "tok_slow"}});
        let paying = actix_web::rt::spawn(post("/payments").bearer(&token).key("p").json(body).send());
        // The payment is under way once it can be seen.
        let list = || Sent::new(client.get(format!("{address}/payments"))).bearer(&token).send();
        while list().await.expect(200).json["items"][0]["status"] != "pending" {
            assert!(!paying.is_finished(), "the slow payment was not slow");
        }
        let stopped = Command::new("kill").args(["-TERM", &serving.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        assert_eq!(paying.await.unwrap().expect(201).json["status"], "captured");
        // Its log must be read to the end, or it could block on a full pipe.
        let last = lines.last().unwrap();
        assert!(last.contains("stopped"), "{last}");
        assert!(serving.wait().unwrap().success());
        assert!(souk.ok(&["doctor"]).contains("checks hold"));
    }
}

#[test]
fn the_help_reads_well() {
    let help = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_souk")).args(arguments).env("COLUMNS", "100").output().unwrap();
        text(&output.stdout)
    };
    insta::assert_snapshot!("help", help(&["--help"]));
    insta::assert_snapshot!("help-serve", help(&["serve", "--help"]));
    insta::assert_snapshot!("help-doctor", help(&["doctor", "--help"]));
    insta::assert_snapshot!("help-import", help(&["import", "--help"]));
    insta::assert_snapshot!("help-user-create", help(&["user", "create", "--help"]));
    insta::assert_snapshot!(
        "help-user-remove-second-factor",
        help(&["user", "remove-second-factor", "--help"])
    );
}

#[test]
fn settings_are_shown_masked_and_mistakes_are_named() {
    testkit::run(async {
        let souk = Souk::new(Engine::Sqlite).await;
        let mut show = souk.command(&["config", "show"]);
        show.env("SOUK__AUTH__PEPPER", "do not tell").env("SOUK__SERVER__PORT", "9999");
        let shown = text(&show.output().unwrap().stdout);
        assert!(shown.contains("port = 9999") && !shown.contains("do not tell"), "{shown}");
        assert!(souk.ok(&["config", "check"]).contains("valid"));
        let mut wrong = souk.command(&["config", "check"]);
        wrong.env("SOUK__ORDERS__PAYMENT_WINDOW", "soon");
        let output = wrong.output().unwrap();
        assert!(
            !output.status.success() && text(&output.stderr).contains("payment_window"),
            "{}",
            text(&output.stderr)
        );
        let production = souk.fails(&["config", "check", "--profile", "production"]);
        assert!(production.contains("default secret"), "{production}");
    });
}

#[test]
fn a_process_of_a_split_shop_names_what_it_misses_one_after_the_other() {
    testkit::run(async {
        let souk = Souk::new(Engine::Sqlite).await;
        let mut given: Vec<(&str, &str)> = vec![("SOUK__ONLY", "payments"), ("SOUK__SERVER__PORT", "0")];
        for (named, value) in [
            ("internal.secret", ("SOUK__INTERNAL__SECRET", "known to all of its processes")),
            ("rabbitmq.url", ("SOUK__RABBITMQ__URL", "amqp://127.0.0.1:1/%2f")),
            ("database.url", ("SOUK__DATABASE__URL", "postgres://nobody@127.0.0.1:1/nowhere")),
            ("the database of payments", ("SOUK__DATABASE__ACQUIRE_TIMEOUT_MS", "100")),
        ] {
            let output = souk.command(&["serve"]).envs(given.iter().copied()).output().unwrap();
            let refusal = text(&output.stderr);
            assert!(!output.status.success() && refusal.contains(named), "{named}: {refusal}");
            given.push(value);
        }
    });
}

#[test]
fn a_module_that_is_nowhere_is_named() {
    testkit::run(async {
        let Some(url) = testkit::postgres_url() else {
            return;
        };
        let settings = [
            ("SOUK__INTERNAL__SECRET", "known to all of its processes"),
            ("SOUK__RABBITMQ__URL", "amqp://127.0.0.1:1/%2f"),
            ("SOUK__PEERS__ORDERS__URL", "http://127.0.0.1:1"),
        ];
        let souk = Souk::new(Engine::Postgres(url)).await;
        let output = souk.command(&["serve", "--only", "payments"]).envs(settings).output().unwrap();
        let refusal = text(&output.stderr);
        assert!(!output.status.success() && refusal.contains("SOUK__PEERS__AUTH__URL"), "{refusal}");
    });
}

#[test]
fn demo_goods_that_a_shopkeeper_has_changed_stay_as_they_are() {
    testkit::run(async {
        let souk = Souk::new(Engine::Sqlite).await;
        souk.ok(&["demo"]);
        let file =
            souk.file("dearer.csv", "sku,name,category,price,currency\nMUG-BLUE,Dear mug,Kitchen,9.99,GBP\n");
        souk.ok(&["import", "products", file.to_str().unwrap()]);
        assert!(souk.ok(&["demo"]).contains("0 accounts and 0 products"));
        assert!(souk.ok(&["export", "products"]).contains("Dear mug"));
    });
}

#[test]
fn documents_are_written_for_all_modules_or_one() {
    testkit::run(async {
        let souk = Souk::new(Engine::Sqlite).await;
        let all: serde_json::Value = serde_json::from_str(&souk.ok(&["openapi"])).unwrap();
        assert_eq!(all.as_object().unwrap().len(), souk::wiring::MODULE_NAMES.len());
        let one: serde_json::Value =
            serde_json::from_str(&souk.ok(&["openapi", "--module", "orders"])).unwrap();
        assert_eq!(one, all["orders"]);
        assert!(souk.fails(&["openapi", "--module", "shoes"]).contains("there is no module shoes"));
    });
}
