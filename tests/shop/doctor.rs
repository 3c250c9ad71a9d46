//! The doctor: it names everything that is broken, cries no wolf, and can write nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use platform::db::{Db, DbOptions, Location};
use platform::system::System;
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};
use souk::doctor::{Checked, Doctor};
use souk::settings::Settings;
use souk::wiring::MODULE_NAMES;
use testkit::{Engine, TestDatabase};

use crate::command_line::{Souk, text};
use crate::support::{Person, Place, Shop};

/// No event is on its way where nothing runs, so a difference need not stay for long.
const STANDING_STILL: Duration = Duration::from_millis(300);
/// Shops that are examined at the same time; each opens a few connections a module.
const AT_ONCE: usize = 4;
/// A shop that stands still has settled long before.
const BOUND: Duration = Duration::from_secs(30);
/// An id that nothing in the shop has.
const STRANGER: &str = "01900000-0000-7000-8000-00000000d0c7";

/// A shop that stands still after a day of trade, with what became of it by name.
struct Day {
    place: Place,
    engine: Engine,
    /// Ids, as text.
    named: BTreeMap<&'static str, String>,
}

/// What is done to a row, and who must be named for it.
struct Plant {
    module: &'static str,
    check: String,
    /// `{id:NAME}` is an id as a value, `{id}` a stranger's.
    sql: String,
    /// The table whose constraints forbid it, so that they have to go first; empty if none does.
    forbidden_in: &'static str,
    /// `{NAME}` is an id as text.
    culprit: String,
}

fn plant(module: &'static str, check: &str, forbidden_in: &'static str, sql: &str, culprit: &str) -> Plant {
    Plant { module, check: check.to_owned(), sql: sql.to_owned(), forbidden_in, culprit: culprit.to_owned() }
}

/// What must not be within one module, done all the same.
fn within_modules() -> Vec<Plant> {
    let line = |number: usize| format!("({{id:open_cart}}, 'THING-{number}', 1, 1)");
    let crowd = (0..100).map(line).collect::<Vec<_>>().join(", ");
    vec![
        plant(
            "auth",
            "auth.sessions_have_credentials",
            "sessions",
            "DELETE FROM credentials WHERE user_id = {id:ada}",
            "of user {ada}",
        ),
        plant(
            "auth",
            "auth.one_active_key",
            "",
            "UPDATE signing_keys SET state = 'retired', private_key = NULL, retires_at_ms = 1",
            "0 active signing keys",
        ),
        plant(
            "cart",
            "cart.one_open_per_customer",
            "carts",
            "INSERT INTO carts (id, user_id, state, version, created_at_ms, touched_at_ms) VALUES ({id}, {id:ada}, 'open', 0, 1, 1)",
            "customer {ada}: 2 open carts",
        ),
        plant(
            "cart",
            "cart.closed_for_a_reason",
            "carts",
            "UPDATE carts SET closed_at_ms = 1 WHERE id = {id:open_cart}",
            "cart {open_cart}",
        ),
        plant(
            "cart",
            "cart.closed_are_empty",
            "",
            "INSERT INTO cart_lines (cart_id, sku, quantity, added_at_ms) VALUES ({id:ordered_cart}, 'MUG-BLUE', 1, 1)",
            "cart {ordered_cart}: 1 lines left",
        ),
        plant(
            "cart",
            "cart.quantities_in_range",
            "cart_lines",
            "UPDATE cart_lines SET quantity = 0 WHERE cart_id = {id:open_cart}",
            "cart {open_cart}: 0 pieces",
        ),
        plant(
            "cart",
            "cart.at_most_100_lines",
            "",
            &format!("INSERT INTO cart_lines (cart_id, sku, quantity, added_at_ms) VALUES {crowd}"),
            "cart {open_cart}: 101 lines",
        ),
        plant(
            "catalog",
            "catalog.skus_in_upper_case",
            "products",
            "UPDATE products SET sku = 'mug-blue' WHERE sku = 'MUG-BLUE'",
            "mug-blue",
        ),
        plant(
            "catalog",
            "catalog.skus_unique",
            "products",
            "UPDATE products SET sku = 'MUG-BLUE' WHERE sku = 'SOAP-CHARCOAL'",
            "MUG-BLUE: 2 products",
        ),
        plant(
            "catalog",
            "catalog.prices_in_range",
            "products",
            "UPDATE products SET price_minor = -1 WHERE sku = 'MUG-BLUE'",
            "MUG-BLUE: -1 GBP",
        ),
        plant(
            "catalog",
            "catalog.stock_changes_end",
            "",
            "INSERT INTO stock_changes (movement_id, sku, change, reason, created_at_ms) VALUES ({id}, 'MUG-BLUE', 3, 'found', 1)",
            "{stranger}: 3 of MUG-BLUE",
        ),
        plant(
            "inventory",
            "inventory.reserved_within_on_hand",
            "stock",
            "UPDATE stock SET reserved = on_hand + 1 WHERE sku = 'MUG-BLUE'",
            "MUG-BLUE",
        ),
        plant(
            "inventory",
            "inventory.reservations_add_up",
            "",
            "UPDATE stock SET reserved = reserved + 1 WHERE sku = 'MUG-BLUE'",
            "MUG-BLUE",
        ),
        plant(
            "inventory",
            "inventory.ledger_adds_up",
            "",
            "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG-BLUE'",
            "MUG-BLUE",
        ),
        plant(
            "inventory",
            "inventory.shipments_are_in_the_ledger",
            "",
            "UPDATE movements SET kind = 'adjusted' WHERE kind = 'shipped'",
            "MUG-BLUE: 1 shipped, 0 by the ledger",
        ),
        plant(
            "orders",
            "orders.one_order_per_cart",
            "orders",
            "UPDATE orders SET cart_id = {id:ordered_cart} WHERE id = {id:paid}",
            "2 orders of its cart",
        ),
        plant(
            "orders",
            "orders.lines_add_up",
            "",
            "UPDATE orders SET total_minor = total_minor + 1 WHERE id = {id:paid}",
            "{paid_number}",
        ),
        plant(
            "orders",
            "orders.refunded_within_total",
            "orders",
            "UPDATE orders SET refunded_minor = total_minor + 1 WHERE id = {id:paid}",
            "{paid_number}",
        ),
        plant(
            "orders",
            "orders.status_fits_payment",
            "",
            "UPDATE orders SET status = 'pending' WHERE id = {id:paid}",
            "{paid_number}",
        ),
        plant(
            "orders",
            "orders.stock_fits_status",
            "orders",
            "UPDATE orders SET reservation_id = NULL WHERE id = {id:paid}",
            "{paid_number}",
        ),
        plant(
            "orders",
            "orders.one_order_per_key",
            "",
            "UPDATE idempotency_keys SET state = 'open', outcome = NULL WHERE resource_id = {id:paid}",
            "key of order {paid}: 0 answered with it, 1 written",
        ),
        plant(
            "orders",
            "orders.payments_end_in_time",
            "",
            "UPDATE orders SET payment_status = 'in_progress', payment_begun_at_ms = 1 WHERE id = {id:paid}",
            "order {paid}",
        ),
        plant(
            "orders",
            "orders.unpaid_expire_in_time",
            "",
            "UPDATE orders SET payment_due_at_ms = 1 WHERE id = {id:unpaid}",
            "order {unpaid}",
        ),
        plant(
            "orders",
            "orders.undone_in_time",
            "",
            "INSERT INTO abandoned_reservations (reservation_id, order_id, since_ms) VALUES ({id}, {id}, 1)",
            "abandoned reservation {stranger}",
        ),
        plant(
            "payments",
            "payments.amounts_nested",
            "payments",
            "UPDATE payments SET refunded_minor = captured_minor + 1 WHERE order_id = {id:paid}",
            "payment {paid_payment}",
        ),
        plant(
            "payments",
            "payments.refunds_under_way_add_up",
            "",
            "UPDATE payments SET refund_pending_minor = 1 WHERE order_id = {id:paid}",
            "payment {paid_payment}: 1 set aside",
        ),
        plant(
            "payments",
            "payments.ledger_balances",
            "",
            "UPDATE ledger SET amount_minor = amount_minor + 1 WHERE account = 'customer' AND payment_id = {id:paid_payment}",
            "payment {paid_payment}: debits less credits",
        ),
        plant(
            "payments",
            "payments.ledger_agrees",
            "",
            "UPDATE payments SET refunded_minor = 1, status = 'partially_refunded' WHERE order_id = {id:paid}",
            "payment {paid_payment}",
        ),
        plant(
            "payments",
            "payments.one_live_payment",
            "payments",
            "UPDATE payments SET order_id = {id:paid} WHERE order_id = {id:authorized}",
            "order {paid}: 2 live payments",
        ),
        plant(
            "payments",
            "payments.attempts_end",
            "",
            "INSERT INTO intents (id, order_id, token, capture, state, created_at_ms, lease_until_ms) VALUES ({id}, {id}, 'tok', TRUE, 'open', 1, 1)",
            "intent {stranger}",
        ),
        plant(
            "payments",
            "payments.keys_end_with_attempts",
            "",
            "UPDATE idempotency_keys SET state = 'open', outcome = NULL WHERE resource_id = {id:paid_payment}",
            "(charge) has ended, its key is open",
        ),
        plant(
            "payments",
            "payments.pending_is_under_way",
            "",
            "INSERT INTO payments (id, order_id, user_id, provider, status, currency, amount_minor, created_at_ms, updated_at_ms) VALUES ({id}, {id:unpaid}, {id:ada}, 'sandbox', 'pending', 'GBP', 5, 1, 1)",
            "payment {stranger} is pending",
        ),
        plant(
            "payments",
            "payments.called_off_is_undone",
            "",
            "UPDATE payments SET called_off_at_ms = 1 WHERE order_id = {id:paid}",
            "payment {paid_payment}",
        ),
        plant(
            "payments",
            "payments.provider_agrees",
            "",
            "UPDATE sandbox_operations SET amount_minor = amount_minor + 1 WHERE kind = 'charge'",
            "charge-",
        ),
        plant(
            "notifications",
            "notifications.sent_in_time",
            "",
            "UPDATE notifications SET status = 'queued', sent_at_ms = NULL, created_at_ms = 1",
            "notification ",
        ),
        plant(
            "users",
            "users.names_are_unique",
            "users",
            "UPDATE users SET email = upper(email) WHERE id = {id:ada}",
            "user {ada} is not in lower case",
        ),
        plant(
            "users",
            "users.an_admin_is_active",
            "",
            "UPDATE users SET active = FALSE WHERE role = 'admin'",
            "is switched off",
        ),
    ]
}

/// What must not be between two modules.
fn between_modules() -> Vec<Plant> {
    vec![
        plant(
            "inventory",
            "shop.stock_follows_orders",
            "",
            "UPDATE reservations SET state = 'released', ended_at_ms = 1 WHERE order_id = {id:paid}",
            "{paid_number} {paid}",
        ),
        plant(
            "inventory",
            "shop.held_stock_is_needed",
            "",
            "INSERT INTO reservations (id, order_id, state, created_at_ms) VALUES ({id}, {id}, 'held', 1)",
            "reservation {stranger}",
        ),
        plant(
            "orders",
            "shop.orders_know_their_payment",
            "",
            "UPDATE orders SET payment_status = 'authorized' WHERE id = {id:paid}",
            "is authorized by payment {paid_payment}, which is captured",
        ),
        plant(
            "orders",
            "shop.orders_know_their_payment",
            "",
            "UPDATE orders SET user_id = {id} WHERE id = {id:paid}",
            "belongs to user {stranger}, payment {paid_payment} to user {ada}",
        ),
        plant(
            "payments",
            "shop.paid_orders_are_confirmed",
            "",
            "UPDATE payments SET order_id = {id} WHERE order_id = {id:paid}",
            "payment {paid_payment} of order {stranger} is captured: there is no such order",
        ),
        plant(
            "orders",
            "shop.cancelled_orders_keep_no_money",
            "",
            "UPDATE orders SET status = 'cancelled', reservation_id = NULL WHERE id = {id:paid}",
            "payment {paid_payment} is captured and keeps",
        ),
        plant(
            "cart",
            "shop.carts_have_their_order",
            "",
            "UPDATE carts SET order_id = {id} WHERE id = {id:ordered_cart}",
            "cart {ordered_cart} became order {stranger}",
        ),
        plant(
            "cart",
            "shop.ordered_carts_are_closed",
            "",
            "UPDATE carts SET state = 'open', order_id = NULL, closed_at_ms = NULL WHERE id = {id:ordered_cart}",
            "cart {ordered_cart} is open",
        ),
    ]
}

/// What every module has.
fn in_every_module() -> Vec<Plant> {
    let event = "INSERT INTO outbox (event_id, event_type, aggregate_id, payload, occurred_at_ms) VALUES ({id}, 'test.event', {id}, '{}', 1)";
    let key = "INSERT INTO idempotency_keys (principal, route, idempotency_key, request_hash, state, resource_id, created_at_ms, lease_until_ms) \
        VALUES ('a test', 'PUT /x', 'k', 'h', 'open', {id}, 1, 1)";
    let both = |module: &&'static str| {
        [
            plant(module, "outbox.delivered_in_time", "", event, "event {stranger} (test.event)"),
            plant(module, "idempotency.closed_in_time", "", key, "PUT /x {stranger} of a test"),
        ]
    };
    MODULE_NAMES.iter().flat_map(both).collect()
}

impl Day {
    async fn of_trade(engine: Engine) -> Self {
        let shop = Shop::open(engine.clone()).await;
        let named = trade(&shop).await;
        settle(&shop.settings).await;
        Self { place: shop.stop().await, engine, named }
    }

    /// The same shop once more.
    async fn copy(&self) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let database: TestDatabase = self.place.database.copy().await;
        if self.engine == Engine::Sqlite {
            let (from, to) = (self.place.folder.path().join("data"), folder.path().join("data"));
            std::fs::create_dir(&to).unwrap();
            for file in
                std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.path().is_file())
            {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        Place { folder, database }
    }

    /// Fills the names in: as values for a statement, as text for a culprit.
    fn speak(&self, words: &str) -> String {
        let value = |id: &str| match self.engine {
            Engine::Sqlite => format!("x'{}'", id.replace('-', "")),
            Engine::Postgres(_) => format!("'{id}'"),
        };
        let words = words.replace("{id}", &value(STRANGER)).replace("{stranger}", STRANGER);
        self.named.iter().fold(words, |words, (name, id)| {
            words.replace(&format!("{{id:{name}}}"), &value(id)).replace(&format!("{{{name}}}"), id)
        })
    }

    /// Plants something in a copy, and gives what the doctor says of it.
    async fn examine(&self, plant: &Plant) -> Checked {
        let place = self.copy().await;
        let db = open(&place, plant.module).await;
        let sql = self.speak(&plant.sql);
        if !plant.forbidden_in.is_empty() {
            let refused = db.writer().execute_unprepared(&sql).await;
            assert!(refused.is_err(), "the schema lets this in: {sql}");
            lift_constraints(&db, plant.forbidden_in).await.unwrap();
        }
        let changed = db.writer().execute_unprepared(&sql).await.unwrap();
        assert!(changed.rows_affected() > 0, "this changes nothing: {sql}");
        db.close().await.unwrap();
        check(&place.settings()).await
    }
}

/// Replaces a table by a copy without any constraint.
async fn lift_constraints(db: &Db, table: &str) -> Result<(), DbErr> {
    let cascade = match db.backend() {
        sea_orm::DbBackend::Sqlite => {
            db.writer().execute_unprepared("PRAGMA foreign_keys = OFF").await?;
            ""
        }
        _ => "CASCADE",
    };
    for sql in [
        format!("CREATE TABLE lifted AS SELECT * FROM {table}"),
        format!("DROP TABLE {table} {cascade}"),
        format!("ALTER TABLE lifted RENAME TO {table}"),
    ] {
        db.writer().execute_unprepared(&sql).await?;
    }
    Ok(())
}

fn options(place: &Place) -> DbOptions {
    let location = match place.database.url() {
        None => Location::Sqlite { folder: place.folder.path().join("data") },
        Some(url) => Location::Postgres { url: url.to_owned() },
    };
    DbOptions { max_connections: 2, durable: false, ..DbOptions::new(location) }
}

async fn open(place: &Place, module: &'static str) -> Db {
    Db::open(module, &options(place), System::real()).await.unwrap()
}

/// What the doctor finds in a shop that stands still.
async fn check(settings: &Settings) -> Checked {
    let doctor = Doctor::open(settings, &System::real()).await.with_patience(STANDING_STILL);
    let checked = doctor.check().await;
    doctor.close().await;
    checked
}

/// Waits until nothing is open any more.
async fn settle(settings: &Settings) {
    let begun = Instant::now();
    loop {
        let doctor = Doctor::open(settings, &System::real()).await;
        let opened = doctor.open_work().await;
        doctor.close().await;
        if opened.count() == 0 && opened.unchecked.is_empty() {
            return;
        }
        assert!(begun.elapsed() < BOUND, "still open: {:#?}", opened.lines());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

/// Orders in every state, and the ids of what a test speaks of.
async fn trade(shop: &Shop) -> BTreeMap<&'static str, String> {
    let (ada, bob, admin) = (shop.newcomer().await, shop.newcomer().await, shop.admin().await);
    let order = async |buyer: &Person| shop.order(buyer, "MUG-BLUE", 1).await.expect(201).json;
    let paid = order(&ada).await;
    let payment = shop.pay(&ada, &id(&paid), "tok_ok").await.expect(201).json;
    let unpaid = order(&ada).await;
    let authorized = order(&bob).await;
    let hold = json!({"order_id": authorized["id"], "method": {"type": "card", "token": "tok_ok"}, "capture": false});
    shop.post("/payments").bearer(&bob.token).key("hold").json(hold).send().await.expect(201);
    ship(shop, &bob, &admin).await;
    let cancelled = order(&bob).await;
    shop.pay(&bob, &id(&cancelled), "tok_ok").await.expect(201);
    shop.post(&format!("/orders/{}/cancel", id(&cancelled)))
        .bearer(&bob.token)
        .key("cancel")
        .json(json!({}))
        .send()
        .await
        .expect(200);
    put_into_cart(shop, &ada).await;
    put_into_cart(shop, &bob).await;
    let address = json!({"shipping_address": "12 St James's Square, London"});
    let from_cart = shop
        .post("/cart/checkout")
        .bearer(&bob.token)
        .key("checkout")
        .json(address)
        .send()
        .await
        .expect(201)
        .json;
    let (open_cart, ordered_cart) = carts(shop, &ada, &id(&from_cart)).await;
    BTreeMap::from([
        ("ada", ada.id),
        ("paid", id(&paid)),
        ("paid_number", paid["number"].as_str().unwrap().to_owned()),
        ("paid_payment", id(&payment)),
        ("unpaid", id(&unpaid)),
        ("authorized", id(&authorized)),
        ("open_cart", open_cart),
        ("ordered_cart", ordered_cart),
    ])
}

async fn ship(shop: &Shop, buyer: &Person, admin: &Person) {
    let order = shop.order(buyer, "MUG-BLUE", 1).await.expect(201).json;
    shop.pay(buyer, &id(&order), "tok_ok").await.expect(201);
    let path = format!("/orders/{}", id(&order));
    shop.until(&path, buyer, |order| order["status"] == "confirmed").await;
    for status in ["processing", "shipped"] {
        let change = shop.call("PATCH", &format!("{path}/status")).bearer(&admin.token);
        change.json(json!({"status": status})).send().await.expect(200);
    }
}

async fn put_into_cart(shop: &Shop, shopper: &Person) {
    let put = shop.call("PUT", "/cart/items/MUG-BLUE").bearer(&shopper.token);
    put.json(json!({"quantity": 1})).send().await.expect(200);
}

/// The open cart of a customer, and the cart that became an order.
async fn carts(shop: &Shop, customer: &Person, order: &str) -> (String, String) {
    let options = shop.settings.database_options("cart");
    let db = Db::open("cart", &options, System::real()).await.unwrap();
    let hex = |id: &str| id.replace('-', "");
    let sql = |column: &str, id: &str| match db.backend() {
        sea_orm::DbBackend::Sqlite => {
            format!("SELECT lower(hex(id)) AS id FROM carts WHERE {column} = x'{}'", hex(id))
        }
        _ => format!("SELECT replace(CAST(id AS TEXT), '-', '') AS id FROM carts WHERE {column} = '{id}'"),
    };
    let find = async |sql: String| {
        let row =
            db.reader().query_one_raw(sea_orm::Statement::from_string(db.backend(), sql)).await.unwrap();
        let hex: String = row.unwrap().try_get("", "id").unwrap();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    };
    let begun = Instant::now();
    let found = (find(sql("user_id", &customer.id)).await, find(sql("order_id", order)).await);
    assert!(begun.elapsed() < BOUND);
    db.close().await.unwrap();
    found
}

testkit::on_every_database! {
    async fn it_names_every_promise_that_is_broken_and_who_broke_it(engine: Engine) {
        let day = Day::of_trade(engine).await;
        let sound = check(&day.place.settings()).await;
        assert_eq!((sound.exit_code(), sound.broken()), (0, 0), "{:#?}", sound.lines());
        let plants: Vec<Plant> = within_modules().into_iter().chain(between_modules()).chain(in_every_module()).collect();

        // A check that nobody has ever seen broken proves nothing.
        let known: BTreeSet<(&str, &str)> = sound.checks.iter().map(|check| (check.module, check.found.name)).collect();
        let of = |plant: &Plant| if plant.check.starts_with("shop.") { "shop" } else { plant.module };
        let planted: BTreeSet<(&str, &str)> = plants.iter().map(|plant| (of(plant), plant.check.as_str())).collect();
        assert_eq!(known, planted);

        let failures: Vec<String> = futures_util::stream::iter(&plants)
            .map(|plant| async {
                let checked = day.examine(plant).await;
                let culprit = day.speak(&plant.culprit);
                let found = checked.checks.iter().find(|check| check.module == of(plant) && check.found.name == plant.check);
                let violations = found.map(|check| check.found.violations.clone()).unwrap_or_default();
                let named = violations.iter().any(|violation| violation.contains(&culprit));
                (!named || checked.exit_code() != 1).then(|| format!("{}: {culprit} is not among {violations:?} ({:?})", plant.check, checked.unchecked))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(async |failure| failure)
            .collect()
            .await;
        assert!(failures.is_empty(), "{failures:#?}");
    }

    async fn it_cries_no_wolf_while_the_shop_is_busy(engine: Engine) {
        let shop = Arc::new(Shop::open(engine).await);
        let admin = shop.admin().await;
        let (done, bought) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let buying: Vec<_> = (0..4)
            .map(|_| {
                let (shop, admin, done, bought) = (shop.clone(), admin.clone(), done.clone(), bought.clone());
                actix_web::rt::spawn(async move {
                    let buyer = shop.newcomer().await;
                    while !done.load(Ordering::Relaxed) {
                        buy(&shop, &buyer, &admin, bought.fetch_add(1, Ordering::Relaxed)).await;
                    }
                })
            })
            .collect();
        let (begun, mut looks) = (Instant::now(), 0);
        while looks < 10 || bought.load(Ordering::Relaxed) < 60 {
            let doctor = Doctor::open(&shop.settings, &System::real()).await;
            let checked = doctor.check().await;
            doctor.close().await;
            assert_eq!(checked.exit_code(), 0, "look {looks}: {:#?}", checked.lines());
            looks += 1;
            assert!(begun.elapsed() < Duration::from_secs(300), "{looks} looks at {bought:?} purchases");
        }
        done.store(true, Ordering::Relaxed);
        for buyer in buying {
            buyer.await.unwrap();
        }
        settle(&shop.settings).await;
        let quiet = check(&shop.settings).await;
        assert_eq!(quiet.exit_code(), 0, "{:#?}", quiet.lines());
    }

    async fn it_can_write_nothing(engine: Engine) {
        let place = Place::new(engine.clone()).await;
        let missing = Db::open_read_only("orders", &options(&place), System::real()).await;
        if engine == Engine::Sqlite {
            assert!(missing.is_err() && !place.folder.path().join("data").exists(), "nothing is created");
        }
        let unseen = check(&place.settings()).await;
        assert_eq!((unseen.exit_code(), unseen.unchecked.len()), (2, MODULE_NAMES.len()));
        assert!(unseen.unchecked.iter().all(|module| module.cause.contains("souk migrate up")), "{:?}", unseen.unchecked);
        for module in MODULE_NAMES {
            let db = open(&place, module).await;
            migrations::up(module, db.orm()).await.unwrap();
            db.close().await.unwrap();
        }
        let db = Db::open_read_only("orders", &options(&place), System::real()).await.unwrap();
        for sql in ["DELETE FROM orders", "CREATE TABLE mine (id INTEGER)", "INSERT INTO import_numbers VALUES (NULL, 'n', 1)", "DROP TABLE orders"] {
            for connection in [db.reader(), db.writer()] {
                let refusal = connection.execute_unprepared(sql).await.unwrap_err().to_string();
                assert!(refusal.contains("read-only") || refusal.contains("readonly"), "{sql}: {refusal}");
            }
        }
        assert!(db.begin().await.is_err());
        db.close().await.unwrap();
        let fresh = check(&place.settings()).await;
        assert_eq!(fresh.exit_code(), 0, "{:#?}", fresh.lines());
    }

    async fn it_lists_what_is_open_and_says_what_is_overdue(engine: Engine) {
        let souk = Souk::new(engine).await;
        let look = |arguments: &[&str]| {
            let output = souk.run(arguments);
            (output.status.code(), text(&output.stdout))
        };
        let open_now = || -> (Option<i32>, Value) {
            let (code, printed) = look(&["doctor", "--open", "--json"]);
            (code, serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}")))
        };
        assert_eq!(open_now().0, Some(2), "there is nothing to look at");
        souk.ok(&["migrate", "up"]);
        let (code, nothing) = open_now();
        assert_eq!((code, &nothing["open"], &nothing["overdue"]), (Some(0), &json!([]), &json!(0)));
        assert_eq!(look(&["doctor", "--open"]), (Some(0), "nothing is open\n".to_owned()));

        let place = Place { folder: souk.folder, database: souk.database };
        let now = System::real().now().ms();
        let value = |sqlite: String| if place.database.url().is_none() { sqlite } else { format!("'{STRANGER}'") };
        let stranger = value(format!("x'{}'", STRANGER.replace('-', "")));
        let key = |since_ms: i64, lease_ms: i64| format!("INSERT INTO idempotency_keys (principal, route, idempotency_key, request_hash, state, resource_id, \
            created_at_ms, lease_until_ms) VALUES ('user:x', 'POST /orders', 'k', 'h', 'open', {stranger}, {since_ms}, {lease_ms})");
        let (orders, payments) = (open(&place, "orders").await, open(&place, "payments").await);
        orders.writer().execute_unprepared(&key(now, now + 60_000)).await.unwrap();
        let souk = Souk { folder: place.folder, database: place.database };
        let open_now = || -> (Option<i32>, Value) {
            let output = souk.run(&["doctor", "--open", "--json"]);
            (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
        };
        let (code, young) = open_now();
        let item = &young["open"][0];
        assert_eq!((code, young["count"].as_u64(), item["overdue"].as_bool()), (Some(0), Some(1), Some(false)), "{young}");
        assert_eq!((&item["module"], &item["kind"], &item["id"]), (&json!("orders"), &json!("key"), &json!(STRANGER)));
        assert!(item["age_ms"].as_i64().unwrap() < 60_000 && item["what"] == "POST /orders of user:x", "{item}");
        for field in ["waits_for", "advice"] {
            assert!(item[field].as_str().is_some_and(|text| text.len() > 10), "{item}");
        }

        let intent = format!("INSERT INTO intents (id, order_id, token, capture, state, created_at_ms, lease_until_ms) \
            VALUES ({stranger}, {stranger}, 'tok', TRUE, 'open', {}, {})", now - 40_000, now - 20_000);
        payments.writer().execute_unprepared(&intent).await.unwrap();
        let event = format!("INSERT INTO outbox (event_id, event_type, aggregate_id, payload, occurred_at_ms, attempts, last_error) \
            VALUES ({stranger}, 'test.event', {stranger}, '{{}}', {}, 3, 'no ink')", now - 90_000);
        payments.writer().execute_unprepared(&event).await.unwrap();
        let (code, old) = open_now();
        let kinds: Vec<_> = old["open"].as_array().unwrap().iter().map(|item| (item["kind"].as_str().unwrap(), item["overdue"] == true)).collect();
        assert_eq!((code, kinds), (Some(1), vec![("key", false), ("event", true), ("intent", true)]), "{old}");
        assert!(old["open"][1]["last_error"] == "no ink" && old["overdue"] == 2, "{old}");
        let told = text(&souk.run(&["doctor", "--open"]).stdout);
        for line in ["OVERDUE payments", "last error: no ink", "what to do: ", "3 open, 2 overdue"] {
            assert!(told.contains(line), "{told}");
        }
        orders.close().await.unwrap();
        payments.close().await.unwrap();
    }

    async fn it_watches_and_shows_what_it_sees_as_metrics(engine: Engine) {
        let souk = Souk::new(engine).await;
        souk.ok(&["migrate", "up"]);
        let mut watch = Watch::start(&souk);
        let holds = "souk_doctor_check_holds{module=\"inventory\",check=\"inventory.ledger_adds_up\"}";
        watch.until(&format!("{holds} 1")).await;
        let page = watch.until("souk_doctor_failed_runs_total 0").await;
        for name in ["souk_doctor_violations{", "souk_doctor_open{module=\"orders\",kind=\"key\"} 0", "souk_doctor_oldest_open_seconds{", "souk_doctor_run_seconds ", "souk_doctor_last_run_timestamp_seconds 1"] {
            assert!(page.contains(name), "{name}: {page}");
        }

        let place = Place { folder: souk.folder, database: souk.database };
        let db = open(&place, "inventory").await;
        let value = if place.database.url().is_none() { format!("x'{}'", STRANGER.replace('-', "")) } else { format!("'{STRANGER}'") };
        let stock = format!("INSERT INTO stock (id, sku, on_hand, low_stock_threshold, updated_at_ms) VALUES ({value}, 'GHOST', 5, 0, 1)");
        db.writer().execute_unprepared(&stock).await.unwrap();
        watch.until(&format!("{holds} 0")).await;
        assert_eq!(watch.line(), "BROKEN inventory inventory.ledger_adds_up: the movement ledger adds up to on_hand");
        assert!(watch.line().contains("GHOST: 5 on hand, 0 by the ledger"));
        db.writer().execute_unprepared("DELETE FROM stock").await.unwrap();
        watch.until(&format!("{holds} 1")).await;
        assert_eq!(watch.line(), "healed inventory inventory.ledger_adds_up");

        // Its tables are out of reach for a while: it says so, and goes on.
        db.writer().execute_unprepared("ALTER TABLE movements RENAME TO mislaid").await.unwrap();
        watch.until_failed().await;
        db.writer().execute_unprepared("ALTER TABLE mislaid RENAME TO movements").await.unwrap();
        db.close().await.unwrap();
        watch.until(&format!("{holds} 1")).await;
        assert!(watch.stop().success());
        drop(place);
    }
}

#[test]
fn a_broker_that_is_away_is_named_and_the_rest_is_looked_at() {
    testkit::run(async {
        let souk = Souk::new(Engine::Sqlite).await;
        souk.ok(&["migrate", "up"]);
        for arguments in [&["doctor", "--json"][..], &["doctor", "--open", "--json"]] {
            let mut command = souk.command(arguments);
            let output = command.env("SOUK__RABBITMQ__URL", "amqp://127.0.0.1:1/%2f").output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let unchecked = report["unchecked"].as_array().unwrap();
            assert_eq!((unchecked.len(), &unchecked[0]["module"]), (1, &json!("events")), "{report}");
            assert!(unchecked[0]["cause"].as_str().unwrap().contains("broker"), "{report}");
        }
        let unreadable = souk.command(&["doctor"]).env("SOUK__SERVER__PORT", "no port").output().unwrap();
        assert_eq!(unreadable.status.code(), Some(2), "settings that cannot be read");
    });
}

#[test]
fn the_pause_between_two_looks_is_read_with_its_unit() {
    for wrong in ["", "60", "s", "0s", "-1s", "1.5m", "25h", "99999999999999999999h"] {
        let arguments = ["doctor", "--watch", "--listen", "127.0.0.1:1", &format!("--every={wrong}")];
        let output = Command::new(env!("CARGO_BIN_EXE_souk")).args(arguments).output().unwrap();
        assert!(text(&output.stderr).contains("--every"), "{wrong}: {}", text(&output.stderr));
    }
    let alone = Command::new(env!("CARGO_BIN_EXE_souk")).args(["doctor", "--every", "5s"]).output().unwrap();
    assert!(text(&alone.stderr).contains("--watch"), "{}", text(&alone.stderr));
}

/// A purchase, with another end each time.
async fn buy(shop: &Shop, buyer: &Person, admin: &Person, number: usize) {
    let sku = ["MUG-BLUE", "SOAP-CHARCOAL"][number % 2];
    let ordered = match number % 3 {
        0 => {
            let put = shop.call("PUT", &format!("/cart/items/{sku}")).bearer(&buyer.token);
            put.json(json!({"quantity": 1})).send().await;
            let address = json!({"shipping_address": "12 St James's Square, London"});
            let key = testkit::fresh_id().to_string();
            shop.post("/cart/checkout").bearer(&buyer.token).key(&key).json(address).send().await
        }
        _ => shop.order(buyer, sku, 1).await,
    };
    if ordered.status != 201 {
        // Sold out. The shopkeeper has more.
        let more = json!({"change": 100, "reason": "delivered"});
        shop.call("PATCH", &format!("/inventory/{sku}"))
            .bearer(&admin.token)
            .json(more)
            .send()
            .await
            .expect(200);
        return;
    }
    let order = id(&ordered.json);
    let path = format!("/orders/{order}");
    let paid = match number % 5 {
        0 => false,
        1 => shop.pay(buyer, &order, "tok_declined").await.status == 201,
        _ => shop.pay(buyer, &order, "tok_ok").await.status == 201,
    };
    if number.is_multiple_of(2) || !paid {
        let key = testkit::fresh_id().to_string();
        shop.post(&format!("{path}/cancel")).bearer(&buyer.token).key(&key).json(json!({})).send().await;
        return;
    }
    for status in ["processing", "shipped", "delivered"] {
        shop.call("PATCH", &format!("{path}/status"))
            .bearer(&admin.token)
            .json(json!({"status": status}))
            .send()
            .await;
    }
}

/// `souk doctor --watch` that runs.
struct Watch {
    process: Child,
    printed: std::io::Lines<BufReader<ChildStdout>>,
    address: String,
    client: reqwest::Client,
}

impl Watch {
    fn start(souk: &Souk) -> Self {
        let mut command = souk.command(&["doctor", "--watch", "--every", "1s", "--listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut printed = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = printed.next().unwrap().unwrap();
        let address = first.split("metrics at ").nth(1).unwrap().to_owned();
        Self { process, printed, address, client: reqwest::Client::new() }
    }

    /// Its next line.
    fn line(&mut self) -> String {
        self.printed.next().unwrap().unwrap()
    }

    async fn page(&self) -> String {
        self.client.get(&self.address).send().await.unwrap().text().await.unwrap()
    }

    /// The metrics, once they hold a line.
    async fn until(&self, line: &str) -> String {
        self.until_so(line, |page| page.lines().any(|found| found == line)).await
    }

    async fn until_failed(&self) {
        let failed = |page: &str| {
            page.lines()
                .any(|line| line.starts_with("souk_doctor_failed_runs_total ") && !line.ends_with(" 0"))
        };
        self.until_so("a failed run", failed).await;
    }

    async fn until_so(&self, hoped: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let page = self.page().await;
            if is_so(&page) {
                return page;
            }
            assert!(begun.elapsed() < BOUND, "{hoped} never came:\n{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn stop(mut self) -> std::process::ExitStatus {
        let stopped = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        self.process.wait().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _gone = self.process.kill().and_then(|()| self.process.wait());
    }
}
