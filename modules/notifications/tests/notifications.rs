//! Stories of notifications, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

use std::path::PathBuf;
use std::sync::Arc;

use contracts::audit::By;
use contracts::auth::{
    EmailVerificationRequested, MailedToken, PasswordChanged, PasswordResetRequested, SecondFactorRemoved,
};
use contracts::orders::{Order, OrderCreated, OrderItem, OrderStatus, OrderStatusChanged, PaymentStatus};
use contracts::payments::{PaymentCaptured, PaymentFacts};
use contracts::users::{Profile, Role, UserRegistered};
use kernel::{EmailAddress, OrderId, PaymentId, Timestamp, UserId};
use notifications::{Deps, Notifications, Settings};
use platform::module::Module;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;
use testkit::fakes::{FakeUsers, gbp, sku};
use testkit::{Bench, Engine, TestApp, TestUser, fresh_id};

struct Post {
    bench: Bench,
    app: TestApp,
    users: Arc<FakeUsers>,
    module: Notifications,
    outgoing: PathBuf,
}

impl Post {
    async fn open(engine: Engine) -> Self {
        Self::open_with(engine, Settings::default()).await
    }

    async fn open_with(engine: Engine, settings: Settings) -> Self {
        let bench = Bench::new(engine).await;
        let (users, outgoing) = (Arc::new(FakeUsers::default()), bench.folder().join("outgoing"));
        let settings = Settings { outgoing_folder: outgoing.clone(), ..settings };
        let module =
            Notifications::new(Deps { db: bench.db("notifications").await, settings, users: users.clone() });
        module.sync_configured_webhooks().await.unwrap();
        let app = TestApp::start(module.clone(), bench.tokens.verifier()).await;
        Self { bench, app, users, module, outgoing }
    }

    fn customer(&self, name: &str) -> TestUser {
        let user = self.bench.tokens.customer();
        self.users.put(Profile {
            id: user.id,
            email: EmailAddress::parse(&user.email).unwrap(),
            username: None,
            name: Some(name.to_owned()),
            role: Role::Customer,
            active: true,
            created_at: Timestamp::EPOCH,
        });
        user
    }

    fn order(&self, user_id: Option<UserId>) -> OrderCreated {
        let item = OrderItem {
            sku: sku("MUG"),
            product_id: None,
            name: "Mug".to_owned(),
            quantity: 2,
            unit_price: gbp(850),
            line_total: gbp(1700),
        };
        let order = Order {
            id: OrderId(fresh_id()),
            number: "261121-ABC".to_owned(),
            user_id,
            status: OrderStatus::Pending,
            items: vec![item],
            total: gbp(1700),
            shipping_address: None,
            payment_status: PaymentStatus::Unpaid,
            imported: false,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        OrderCreated { order, cart_id: None }
    }

    async fn list(&self, user: &TestUser) -> Vec<serde_json::Value> {
        let page = self.app.get("/notifications").by(user).send().await.expect(200);
        page.json["items"].as_array().unwrap().clone()
    }

    fn mails(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(&self.outgoing) else {
            return Vec::new();
        };
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

testkit::on_every_database! {
    async fn an_event_that_comes_twice_is_one_mail(engine: Engine) {
        let post = Post::open(engine).await;
        let (ada, eve) = (post.customer("Ada"), post.customer("Eve"));
        let (event, id) = (post.order(Some(ada.id)), fresh_id());
        for _ in 0..2 {
            post.app.deliver(id, &event).await.unwrap();
            post.app.work("notifications.send").await;
        }
        let mine = post.list(&ada).await;
        assert_eq!(mine.len(), 1);
        assert_eq!((mine[0]["template"].as_str(), mine[0]["status"].as_str(), mine[0]["channel"].as_str()), (Some("order_created"), Some("sent"), Some("email")));
        assert!(mine[0]["sent_at"].is_string() && mine[0]["created_at"].is_string());
        let mails = post.mails();
        assert_eq!(mails.len(), 1);
        assert!(mails[0].contains(&format!("To: {}\r\n", ada.email)) && mails[0].contains("2 x Mug: 17.00 GBP"), "{}", mails[0]);
        assert!(post.list(&eve).await.is_empty());
        post.app.get("/notifications").send().await.expect_problem(401, "unauthenticated");
        post.app.get("/notifications?colour=red").by(&ada).send().await.expect_problem(400, "invalid_query");
        post.app.assert_healthy().await;
    }

    async fn every_event_of_a_purchase_is_told(engine: Engine) {
        let post = Post::open(engine).await;
        let ada = post.customer("Ada\r\nBcc: eve@example.com");
        let order = post.order(Some(ada.id));
        let welcome = UserRegistered { user_id: ada.id, email: EmailAddress::parse(&ada.email).unwrap(), name: None, role: None, by: By::Shop };
        post.app.deliver(fresh_id(), &welcome).await.unwrap();
        post.app.deliver(fresh_id(), &order).await.unwrap();
        let payment = PaymentFacts {
            payment_id: PaymentId(fresh_id()), order_id: order.order.id, user_id: ada.id,
            amount: gbp(1700), captured: gbp(1700), refunded: gbp(0),
        };
        post.app.deliver(fresh_id(), &PaymentCaptured { payment }).await.unwrap();
        for to in [OrderStatus::Confirmed, OrderStatus::Processing, OrderStatus::Shipped] {
            let changed = OrderStatusChanged {
                order_id: order.order.id, number: order.order.number.clone(), user_id: Some(ada.id), from: OrderStatus::Pending,
                to, total: gbp(1700), reservation_id: None, actor_id: None, reason: None,
            };
            post.app.deliver(fresh_id(), &changed).await.unwrap();
        }
        let told: Vec<_> = post.list(&ada).await.iter().map(|item| item["template"].as_str().unwrap().to_owned()).collect();
        assert_eq!(told, ["order_shipped", "order_confirmed", "payment_captured", "order_created", "welcome"]);
        post.app.work("notifications.send").await;
        assert_eq!(post.mails().len(), 5);
        assert!(post.mails().iter().all(|mail| !mail.contains("\nBcc:")));
        let first = post.app.get("/notifications?limit=2").by(&ada).send().await.expect(200).json;
        let next = format!("/notifications?limit=10&cursor={}", first["next_cursor"].as_str().unwrap());
        assert_eq!(post.app.get(&next).by(&ada).send().await.expect(200).json["items"].as_array().unwrap().len(), 3);
    }

    async fn a_letter_with_a_token_is_for_its_reader_only(engine: Engine) {
        let urls = vec!["https://example.com/a".to_owned()];
        let post = Post::open_with(engine, Settings { webhook_urls: urls, ..Settings::default() }).await;
        let (admin, ada, eve) = (post.bench.tokens.admin(), post.customer("Ada"), post.customer("Eve"));
        let token = || MailedToken("tOkEnOfAda".to_owned());
        let link = Some(MailedToken("https://shop.example/reset?t=tOkEnOfAda".to_owned()));
        let reset = PasswordResetRequested { user_id: ada.id, token: token(), link, expires_at: Timestamp::EPOCH };
        let verify = EmailVerificationRequested { user_id: ada.id, token: token(), link: None, expires_at: Timestamp::EPOCH };
        assert!(!format!("{reset:?} {verify:?}").contains("tOkEn"));
        let id = fresh_id();
        for _redelivery in 0..2 {
            post.app.deliver(id, &reset).await.unwrap();
        }
        post.app.deliver(fresh_id(), &verify).await.unwrap();
        post.app.deliver(fresh_id(), &PasswordChanged { user_id: ada.id, changed_at: Timestamp::EPOCH }).await.unwrap();
        post.app.work("notifications.send").await;
        let mails = post.mails();
        assert_eq!((mails.len(), mails.iter().filter(|mail| mail.contains("tOkEnOfAda")).count()), (3, 2));
        assert!(mails.iter().all(|mail| mail.contains(&format!("To: {}\r\n", ada.email))));
        let told: Vec<_> = post.list(&ada).await.iter().map(|item| item["template"].as_str().unwrap().to_owned()).collect();
        assert_eq!(told, ["password_changed", "verify_email", "reset_password"]);
        assert!(post.list(&eve).await.is_empty() && post.list(&admin).await.is_empty());
        let hooks = post.app.get("/notifications/webhooks").by(&admin).send().await.expect(200).json;
        let deliveries = format!("/notifications/webhooks/{}/deliveries", hooks["items"][0]["id"].as_str().unwrap());
        let list = post.app.get(&deliveries).by(&admin).send().await.expect(200).json;
        assert_eq!(list["items"], json!([]));
        // What was sent is not kept.
        let db = post.module.db();
        let sql = "SELECT body FROM notifications WHERE template <> 'password_changed'";
        let rows = db.reader().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
        let bodies: Vec<String> = rows.iter().map(|row| row.try_get("", "body").unwrap()).collect();
        assert_eq!(bodies, ["", ""]);
    }

    async fn an_owner_is_told_that_the_second_factor_is_gone(engine: Engine) {
        let urls = vec!["https://example.com/a".to_owned()];
        let post = Post::open_with(engine, Settings { webhook_urls: urls, ..Settings::default() }).await;
        let (ada, id) = (post.customer("Ada"), fresh_id());
        for _redelivery in 0..2 {
            post.app.deliver(id, &SecondFactorRemoved { user_id: ada.id, removed_at: Timestamp::EPOCH }).await.unwrap();
        }
        post.app.work("notifications.send").await;
        let mails = post.mails();
        assert_eq!(mails.len(), 1);
        assert!(mails[0].contains(&format!("To: {}\r\n", ada.email)) && mails[0].contains("the password alone"), "{}", mails[0]);
        let sql = "SELECT id FROM deliveries";
        let db = post.module.db();
        let told = db.reader().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
        assert!(told.is_empty(), "no endpoint is told");
    }

    async fn nobody_is_told_of_an_order_without_an_account(engine: Engine) {
        let post = Post::open(engine).await;
        post.app.deliver(fresh_id(), &post.order(None)).await.unwrap();
        post.app.deliver(fresh_id(), &post.order(Some(UserId(fresh_id())))).await.unwrap();
        post.app.work("notifications.send").await;
        assert!(post.mails().is_empty());
    }

    async fn a_mail_that_cannot_leave_waits_and_leaves_later(engine: Engine) {
        let post = Post::open(engine).await;
        let ada = post.customer("Ada");
        // A file stands where the folder should be.
        std::fs::write(&post.outgoing, "in the way").unwrap();
        post.app.deliver(fresh_id(), &post.order(Some(ada.id))).await.unwrap();
        assert_eq!(post.list(&ada).await[0]["status"], "queued");
        post.app.work("notifications.send").await;
        assert_eq!(post.list(&ada).await[0]["status"], "queued");
        std::fs::remove_file(&post.outgoing).unwrap();
        post.bench.clock.advance(std::time::Duration::from_secs(10));
        post.app.work("notifications.send").await;
        assert_eq!(post.list(&ada).await[0]["status"], "sent");
        assert_eq!(post.mails().len(), 1);
    }

    async fn users_out_of_reach_means_later_not_lost(engine: Engine) {
        let post = Post::open(engine).await;
        let (ada, id) = (post.customer("Ada"), fresh_id());
        let event = post.order(Some(ada.id));
        *post.users.down.lock().unwrap() = true;
        assert!(post.app.deliver(id, &event).await.is_err());
        *post.users.down.lock().unwrap() = false;
        post.app.deliver(id, &event).await.unwrap();
        assert_eq!(post.list(&ada).await.len(), 1);
    }

    async fn admins_manage_endpoints_and_their_deliveries(engine: Engine) {
        let post = Post::open(engine).await;
        let (admin, ada) = (post.bench.tokens.admin(), post.customer("Ada"));
        let body = json!({"url": "https://example.com/hook", "events": ["order.created"]});
        let create = || post.app.post("/notifications/webhooks").json(body.clone());
        create().send().await.expect_problem(401, "unauthenticated");
        create().by(&ada).send().await.expect_problem(403, "forbidden");
        let created = create().by(&admin).key("one").send().await.expect(201);
        let again = create().by(&admin).key("one").send().await.expect(201);
        assert_eq!((again.text == created.text, again.header("idempotency-replayed")), (true, "true"));
        let (id, secret) = (created.json["id"].as_str().unwrap(), created.json["secret"].as_str().unwrap());
        let listed = post.app.get("/notifications/webhooks").by(&admin).send().await.expect(200);
        assert!(!listed.text.contains(secret) && listed.json["items"].as_array().unwrap().len() == 1, "{}", listed.text);
        for (field, value) in [("url", json!("ftp://x")), ("events", json!(["order.eaten"])), ("secret", json!("short"))] {
            let mut bad = body.clone();
            bad[field] = value;
            let refused = post.app.post("/notifications/webhooks").by(&admin).json(bad).send().await.expect_problem(400, "invalid_body");
            assert_eq!(refused.json["errors"][0]["pointer"], format!("/{field}"));
        }

        let (event_id, event) = (fresh_id(), post.order(Some(ada.id)));
        for _ in 0..2 {
            post.app.deliver(event_id, &event).await.unwrap();
        }
        let deliveries = format!("/notifications/webhooks/{id}/deliveries");
        let list = post.app.get(&deliveries).by(&admin).send().await.expect(200).json;
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        assert_eq!((&list["items"][0]["status"], &list["items"][0]["payload"]["event"]), (&json!("pending"), &json!("order.created")));
        let replay = format!("{deliveries}/{}/replay", list["items"][0]["id"].as_str().unwrap());
        post.app.post(&replay).by(&ada).send().await.expect_problem(403, "forbidden");
        post.app.post(&replay).by(&admin).send().await.expect_problem(409, "delivery_pending");
        post.app.post(&format!("{deliveries}/{}/replay", fresh_id())).by(&admin).send().await.expect_problem(404, "not_found");
        post.app.get(&deliveries).by(&ada).send().await.expect_problem(403, "forbidden");

        let path = format!("/notifications/webhooks/{id}");
        post.app.call("DELETE", &path).by(&ada).send().await.expect_problem(403, "forbidden");
        post.app.call("DELETE", &path).by(&admin).send().await.expect(204);
        post.app.call("DELETE", &path).by(&admin).send().await.expect_problem(404, "not_found");
        post.app.get(&deliveries).by(&admin).send().await.expect_problem(404, "not_found");
        post.app.assert_healthy().await;
    }

    async fn endpoints_of_the_settings_come_and_go_with_them(engine: Engine) {
        let urls = vec!["https://example.com/a".to_owned(), "https://example.com/b".to_owned()];
        let post = Post::open_with(engine, Settings { webhook_urls: urls, ..Settings::default() }).await;
        let admin = post.bench.tokens.admin();
        post.module.sync_configured_webhooks().await.unwrap();
        let list = post.app.get("/notifications/webhooks").by(&admin).send().await.expect(200).json;
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        let path = format!("/notifications/webhooks/{}", list["items"][0]["id"].as_str().unwrap());
        post.app.call("DELETE", &path).by(&admin).send().await.expect_problem(409, "webhook_configured");
        let fewer = Settings { webhook_urls: vec!["https://example.com/b".to_owned()], ..Settings::default() };
        let db = post.bench.open("notifications").await;
        let restarted = Notifications::new(Deps { db, settings: fewer, users: post.users.clone() });
        restarted.sync_configured_webhooks().await.unwrap();
        let list = post.app.get("/notifications/webhooks").by(&admin).send().await.expect(200).json;
        assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["url"]), (1, &json!("https://example.com/b")));
    }
}
