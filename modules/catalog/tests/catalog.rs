//! Stories of the catalogue, on every database.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, Deps, Settings};
use contracts::catalog::{ProductChanged, ProductRef, QuoteRefusal};
use contracts::port::PortError;
use futures_util::future::join_all;
use kernel::ProductId;
use serde_json::{Value, json};
use testkit::fakes::{FakeInventory, gbp, sku};
use testkit::{Bench, Engine, Response, Sent, TestApp, TestUser};
use uuid::Uuid;

/// 3,126 products of a real shop.
const RETAIL: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/retail/products.csv"));

struct Shop {
    bench: Bench,
    app: TestApp,
    module: Catalog,
    inventory: Arc<FakeInventory>,
    admin: TestUser,
}

impl Shop {
    async fn open(engine: Engine) -> Self {
        Self::open_with(engine, Settings::default()).await
    }

    async fn open_with(engine: Engine, settings: Settings) -> Self {
        let bench = Bench::new(engine).await;
        let inventory = Arc::new(FakeInventory::default());
        let db = bench.db("catalog").await;
        let module = Catalog::new(Deps { db, settings, inventory: inventory.clone(), shared_store: None });
        let app = TestApp::start(module.clone(), bench.tokens.verifier()).await;
        let admin = bench.tokens.admin();
        Self { bench, app, module, inventory, admin }
    }

    /// Another process on the same database.
    async fn twin(&self) -> Catalog {
        let db = self.bench.open("catalog").await;
        Catalog::new(Deps {
            db,
            settings: Settings::default(),
            inventory: self.inventory.clone(),
            shared_store: None,
        })
    }

    fn post(&self, body: Value) -> Sent {
        self.app.post("/catalog/products").by(&self.admin).json(body)
    }

    async fn create(&self, sku: &str, name: &str, price: i64, category: &str) -> Value {
        let created = self.post(product(sku, name, price, category)).send().await.expect(201);
        created.json
    }

    fn call(&self, method: &str, sku: &str) -> Sent {
        self.app.call(method, &format!("/catalog/products/{sku}")).by(&self.admin)
    }

    async fn read(&self, sku: &str) -> Response {
        self.app.get(&format!("/catalog/products/{sku}")).send().await
    }

    async fn list(&self, query: &str) -> Response {
        self.app.get(&format!("/catalog/products{query}")).send().await
    }

    async fn skus(&self, query: &str) -> Vec<String> {
        skus(&self.list(query).await.expect(200).json)
    }

    /// SKUs that a search finds, in SKU order.
    async fn search(&self, text: &str) -> Vec<String> {
        let url = reqwest::Url::parse_with_params(
            &format!("{}/catalog/products", self.app.address),
            [("search", text)],
        )
        .unwrap();
        let found: Value = self.app.client.get(url).send().await.unwrap().json().await.unwrap();
        let mut found = skus(&found);
        found.sort();
        found
    }

    async fn import(&self, file: &str) -> Response {
        self.app.post("/catalog/import").by(&self.admin).body("text/csv", file.to_owned()).send().await
    }

    async fn events(&self) -> Vec<ProductChanged> {
        self.app.published::<ProductChanged>().await
    }
}

fn product(sku: &str, name: &str, price: i64, category: &str) -> Value {
    json!({"sku": sku, "name": name, "price": {"amount": price, "currency": "GBP"}, "category": category})
}

fn skus(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["sku"].as_str().unwrap().to_owned()).collect()
}

/// How many lines have a first cell that is no SKU.
fn foreign_skus(file: &str) -> i64 {
    let is_foreign = |line: &&str| kernel::Sku::parse(line.split(',').next().unwrap()).is_err();
    i64::try_from(file.lines().skip(1).filter(is_foreign).count()).unwrap()
}

fn counts(summary: &Value) -> (i64, i64, i64, i64, i64) {
    let count = |name: &str| summary[name].as_i64().unwrap();
    (count("rows_read"), count("created"), count("updated"), count("unchanged"), count("refused"))
}

testkit::on_every_database! {
    async fn an_admin_adds_a_product_and_everyone_reads_it(engine: Engine) {
        let shop = Shop::open(engine).await;
        let body = json!({
            "sku": "mug-blue", "name": " Blue mug ", "price": {"amount": 999, "currency": "GBP"}, "category": "Kitchen",
            "description": "Stoneware", "attributes": {"colour": "blue", "size": {"ml": 300}},
            "image_url": "https://shop.example/mug.png",
            // Not for clients to say.
            "id": Uuid::nil(), "slug": "mine", "created_at": "2000-01-01T00:00:00Z", "version": 77,
        });
        let created = shop.post(body).send().await.expect(201);
        let id = created.json["id"].as_str().unwrap().to_owned();
        assert_ne!(id, Uuid::nil().to_string());
        assert_eq!(created.header("location"), format!("/catalog/products/{id}"));
        for path in [id.as_str(), "MUG-BLUE", "mug-blue"] {
            let read = shop.read(path).await.expect(200);
            assert_eq!((&read.json, read.header("etag")), (&created.json, created.header("etag")), "{path}");
        }
        let fields: BTreeSet<&str> = created.json.as_object().unwrap().keys().map(String::as_str).collect();
        let contract = ["id", "sku", "slug", "name", "description", "category", "price", "active", "attributes", "image_url", "created_at", "updated_at"];
        assert_eq!(fields, BTreeSet::from(contract));
        assert_eq!(created.json["sku"], "MUG-BLUE");
        assert_eq!(created.json["name"], "Blue mug");
        assert_eq!(created.json["slug"], "blue-mug");
        assert_eq!(created.json["price"], json!({"amount": 999, "currency": "GBP"}));
        assert_eq!(created.json["attributes"], json!({"colour": "blue", "size": {"ml": 300}}));
        assert_ne!(created.json["created_at"], "2000-01-01T00:00:00Z");
        let events = shop.events().await;
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].product.sku.clone(), events[0].product.unit_price), (sku("MUG-BLUE"), gbp(999)));
        shop.app.assert_healthy().await;
    }

    async fn only_admins_change_the_catalogue(engine: Engine) {
        let shop = Shop::open(engine).await;
        shop.create("MUG", "Mug", 100, "Kitchen").await;
        let customer = shop.bench.tokens.customer();
        let body = product("MUG", "Stolen", 0, "Kitchen");
        for (method, path) in [
            ("POST", "/catalog/products"),
            ("PUT", "/catalog/products/MUG"),
            ("PATCH", "/catalog/products/MUG"),
            ("DELETE", "/catalog/products/MUG"),
            ("PATCH", "/catalog/products/MUG/stock"),
            ("POST", "/catalog/import"),
            ("GET", "/catalog/export"),
            ("GET", "/catalog/products?active=false"),
        ] {
            let call = || shop.app.call(method, path).json(body.clone());
            call().send().await.expect_problem(401, "unauthenticated");
            call().by(&customer).send().await.expect_problem(403, "forbidden");
            call().header("Authorization", "Bearer forged").send().await.expect_problem(401, "unauthenticated");
        }
        assert_eq!(shop.read("MUG").await.expect(200).json["name"], "Mug");
        assert_eq!(shop.events().await.len(), 1);
        // A token that has run out does not close the storefront.
        let stale = shop.app.get("/catalog/products").header("Authorization", "Bearer stale").send().await;
        stale.expect(200);
    }

    async fn what_is_not_there_is_not_found(engine: Engine) {
        let shop = Shop::open(engine).await;
        let body = product("MUG", "Mug", 0, "Kitchen");
        for path in ["NONE", &testkit::fresh_id().to_string(), "%20", "a%2Fb", "%00"] {
            shop.read(path).await.expect_problem(404, "not_found");
            shop.call("PUT", path).json(body.clone()).send().await.expect_problem(404, "not_found");
            shop.call("PATCH", path).json(json!({"name": "x"})).send().await.expect_problem(404, "not_found");
            shop.call("DELETE", path).send().await.expect_problem(404, "not_found");
            shop.call("PATCH", &format!("{path}/stock")).json(json!({"change": 1})).send().await.expect_problem(404, "not_found");
        }
    }

    async fn every_broken_rule_is_named_by_its_pointer(engine: Engine) {
        let shop = Shop::open(engine).await;
        let broken = json!({
            "sku": "a/b", "name": "", "category": "x".repeat(101), "price": {"amount": 100_000_001, "currency": "USD"},
            "description": "x".repeat(10_001), "image_url": "javascript:x", "attributes": {"a": "x".repeat(9_000)},
        });
        let refused = shop.post(broken.clone()).send().await.expect_problem(400, "invalid_body");
        let pointers: Vec<&str> = refused.json["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        let all = ["/sku", "/name", "/category", "/description", "/image_url", "/price/amount", "/price/currency", "/attributes"];
        assert_eq!(pointers, all);
        shop.create("MUG", "Mug", 100, "Kitchen").await;
        shop.call("PUT", "MUG").json(broken.clone()).send().await.expect_problem(400, "invalid_body");
        shop.call("PATCH", "MUG").json(broken).send().await.expect_problem(400, "invalid_body");
        for (field, value) in [
            ("sku", json!(testkit::fresh_id())),
            ("price", json!({"amount": -1, "currency": "GBP"})),
            ("price", json!({"amount": 9.99, "currency": "GBP"})),
            ("price", json!(999)),
            ("name", json!(null)),
            ("name", json!("a\u{0}b")),
            ("attributes", json!([1])),
            ("attributes", json!({"a": "\u{0}"})),
            ("active", json!("yes")),
        ] {
            shop.call("PATCH", "MUG").json(json!({field: value.clone()})).send().await.expect_problem(400, "invalid_body");
            let mut body = product("NEW", "New", 1, "Kitchen");
            body[field] = value;
            shop.post(body).send().await.expect_problem(400, "invalid_body");
        }
        shop.post(json!([])).send().await.expect_problem(400, "invalid_body");
        assert_eq!(shop.read("MUG").await.header("etag"), "\"1\"");
        assert_eq!(shop.skus("").await, ["MUG"]);
    }

    async fn a_sku_names_one_product(engine: Engine) {
        let shop = Shop::open(engine).await;
        shop.create("MUG", "Mug", 100, "Kitchen").await;
        shop.create("CUP", "Cup", 100, "Kitchen").await;
        shop.post(product("mug", "Other", 1, "Kitchen")).send().await.expect_problem(409, "sku_taken");
        shop.call("PUT", "CUP").json(product("mug", "Cup", 1, "Kitchen")).send().await.expect_problem(409, "sku_fixed");
        // Its stock lies under the SKU: a product keeps it, also where another is free, and also when it is retired.
        shop.call("PATCH", "CUP").json(json!({"sku": "beaker"})).send().await.expect_problem(409, "sku_fixed");
        shop.call("PATCH", "CUP").json(json!({"sku": "cup", "name": "Beaker"})).send().await.expect(200);
        shop.call("DELETE", "CUP").send().await.expect(204);
        shop.post(product("CUP", "Other", 1, "Kitchen")).send().await.expect_problem(409, "sku_taken");
        shop.app.assert_healthy().await;
    }

    async fn one_sku_posted_many_times_at_once_is_one_product(engine: Engine) {
        let shop = Shop::open(engine).await;
        let posts = (0..20).map(|_| shop.post(product("MUG", "Mug", 100, "Kitchen")).send());
        let mut statuses: Vec<u16> = join_all(posts).await.iter().map(|response| response.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [vec![201], vec![409; 19]].concat());
        assert_eq!(shop.events().await.len(), 1);
        shop.app.assert_healthy().await;
    }

    async fn a_keyed_post_acts_once_and_answers_the_same(engine: Engine) {
        let shop = Shop::open(engine).await;
        let body = product("MUG", "Mug", 100, "Kitchen");
        let posts = (0..10).map(|_| shop.post(body.clone()).key("k1").send());
        let answers: Vec<Response> = join_all(posts).await.into_iter().map(|answer| answer.expect(201)).collect();
        assert!(answers.iter().all(|answer| answer.json == answers[0].json && answer.header("etag") == "\"1\""));
        let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
        assert_eq!(fresh, 1);
        assert_eq!(shop.events().await.len(), 1);
        // The stored answer stands, whatever became of the product.
        shop.call("PATCH", "MUG").json(json!({"name": "Renamed"})).send().await.expect(200);
        let replay = shop.post(body).key("k1").send().await.expect(201);
        assert_eq!((replay.json["name"].as_str(), replay.header("idempotency-replayed")), (Some("Mug"), "true"));
        shop.post(product("CUP", "Cup", 1, "Kitchen")).key("k1").send().await.expect_problem(422, "idempotency_key_reused");
        // A refusal is not stored: the same request may come again once its cause is gone.
        shop.post(product("MUG", "x", 1, "Kitchen")).key("k2").send().await.expect_problem(409, "sku_taken");
        shop.post(product("CUP", "x", 1, "Kitchen")).key("k2").send().await.expect(201);
        shop.app.assert_healthy().await;
    }

    async fn put_replaces_and_patch_changes(engine: Engine) {
        let shop = Shop::open(engine).await;
        let mut body = product("MUG", "Mug", 100, "Kitchen");
        body["description"] = json!("Stoneware");
        body["image_url"] = json!("https://a.example/b");
        body["attributes"] = json!({"a": 1});
        let created = shop.post(body.clone()).send().await.expect(201);
        shop.bench.clock.advance(Duration::from_secs(5));
        // The same again is no change: no version, no event.
        let same = shop.call("PUT", "mug").json(body).send().await.expect(200);
        assert_eq!((same.header("etag"), &same.json), ("\"1\"", &created.json));
        let patched = shop.call("PATCH", "MUG").json(json!({"price": {"amount": 250, "currency": "GBP"}, "description": null})).send().await.expect(200);
        assert_eq!((patched.header("etag"), patched.json["price"]["amount"].as_i64()), ("\"2\"", Some(250)));
        assert_eq!((&patched.json["description"], &patched.json["image_url"]), (&json!(null), &json!("https://a.example/b")));
        assert_eq!((&patched.json["attributes"], &patched.json["name"]), (&json!({"a": 1}), &json!("Mug")));
        assert!(patched.json["updated_at"].as_str() > created.json["updated_at"].as_str());
        let mut bare = product("MUG", "Bare", 1, "Kitchen");
        bare["id"] = json!(Uuid::nil());
        bare["created_at"] = json!("2000-01-01T00:00:00Z");
        let replaced = shop.call("PUT", "MUG").json(bare).send().await.expect(200);
        assert_eq!((&replaced.json["image_url"], &replaced.json["attributes"]), (&json!(null), &json!({})));
        for kept in ["id", "slug", "created_at"] {
            assert_eq!(replaced.json[kept], created.json[kept], "{kept}");
        }
        let prices: Vec<_> = shop.events().await.iter().map(|event| event.product.unit_price).collect();
        assert_eq!(prices, [gbp(100), gbp(250), gbp(1)]);
        shop.app.assert_healthy().await;
    }

    async fn tags_save_transfers_and_lost_updates(engine: Engine) {
        let shop = Shop::open(engine).await;
        shop.create("MUG", "Mug", 100, "Kitchen").await;
        let tag = shop.read("MUG").await.expect(200).header("etag").to_owned();
        let unchanged = shop.app.get("/catalog/products/MUG").header("If-None-Match", &tag).send().await.expect(304);
        assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", tag.as_str()));
        let patches = (0..10).map(|n| shop.call("PATCH", "MUG").header("If-Match", &tag).json(json!({"name": format!("Mug {n}")})).send());
        let mut statuses: Vec<u16> = join_all(patches).await.iter().map(|response| response.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [vec![200], vec![412; 9]].concat());
        shop.app.get("/catalog/products/MUG").header("If-None-Match", &tag).send().await.expect(200);
        let stale = |method: &str| shop.call(method, "MUG").header("If-Match", &tag);
        stale("PUT").json(product("MUG", "x", 1, "y")).send().await.expect_problem(412, "precondition_failed");
        stale("PATCH").json(json!({"name": "x"})).send().await.expect_problem(412, "precondition_failed");
        let refused = stale("DELETE").send().await.expect_problem(412, "precondition_failed");
        assert_eq!(refused.header("etag"), "\"2\"");
        shop.call("PATCH", "MUG").header("If-Match", "*").json(json!({"name": "any"})).send().await.expect(200);
    }

    async fn a_retired_product_is_read_but_not_listed_or_sold(engine: Engine) {
        let shop = Shop::open(engine).await;
        shop.create("OLD", "Old", 100, "Kitchen").await;
        shop.create("NEW", "New", 100, "Kitchen").await;
        for _repeated in 0..2 {
            shop.call("DELETE", "OLD").send().await.expect(204);
        }
        assert_eq!(shop.read("old").await.expect(200).json["active"], false);
        assert_eq!(shop.skus("").await, ["NEW"]);
        let retired = shop.app.get("/catalog/products?active=false").by(&shop.admin).send().await.expect(200);
        assert_eq!(skus(&retired.json), ["OLD"]);
        let port = shop.module.port();
        let refusal = port.quote(&[ProductRef::Sku(sku("NEW")), ProductRef::Sku(sku("OLD"))]).await;
        assert!(matches!(refusal, Err(PortError::Refused(QuoteRefusal::Retired(which))) if which == [ProductRef::Sku(sku("OLD"))]));
        let shown = port.find(&[sku("OLD"), sku("NONE"), sku("NEW")]).await.unwrap();
        assert_eq!(shown.iter().map(|p| (p.sku.as_str(), p.active)).collect::<Vec<_>>(), [("OLD", false), ("NEW", true)]);
        assert_eq!(shop.events().await.len(), 3);
        shop.call("PATCH", "OLD").json(json!({"active": true})).send().await.expect(200);
        assert_eq!(shop.skus("").await, ["NEW", "OLD"]);
    }

    async fn categories_count_what_is_on_sale(engine: Engine) {
        let shop = Shop::open(engine).await;
        assert_eq!(shop.app.get("/catalog/categories").send().await.expect(200).json, json!({"categories": []}));
        for (sku, category) in [("A", "Öfen"), ("B", "kitchen"), ("C", "Kitchen"), ("D", "Kitchen"), ("E", "Gone")] {
            shop.create(sku, sku, 1, category).await;
        }
        shop.call("DELETE", "E").send().await.expect(204);
        let expected = json!({"categories": [
            {"name": "Kitchen", "products": 2}, {"name": "kitchen", "products": 1}, {"name": "Öfen", "products": 1},
        ]});
        assert_eq!(shop.app.get("/catalog/categories").send().await.expect(200).json, expected);
    }

    async fn a_search_is_literal_and_blind_to_case(engine: Engine) {
        let shop = Shop::open(engine).await;
        for (sku, name) in [
            ("P-1", "100% cotton"), ("P-2", "100 cotton"), ("P-3", "a_b cable"), ("P-4", "axb cable"),
            ("P-5", r"back\slash"), ("P-6", "ÄPFEL aus Übersee"), ("P-7", "äpfel"), ("P-8", "ΟΔΟΣ lamp"), ("P-9", "quote ' \" ; --"),
        ] {
            shop.create(sku, name, 100, "Search").await;
        }
        shop.call("PATCH", "P-2").json(json!({"description": "Soft\nand WARM"})).send().await.expect(200);
        for (text, found) in [
            ("100%", vec!["P-1"]),
            ("%", vec!["P-1"]),
            ("_", vec!["P-3"]),
            ("a_b", vec!["P-3"]),
            (r"\", vec!["P-5"]),
            (r"K\S", vec!["P-5"]),
            ("äpfel", vec!["P-6", "P-7"]),
            ("ÄPFEL", vec!["P-6", "P-7"]),
            ("übersee ÄP", vec!["P-6"]),
            ("οδοσ", vec!["P-8"]),
            ("ΟΔΟΣ", vec!["P-8"]),
            ("'", vec!["P-9"]),
            ("COTTON 100", vec!["P-1", "P-2"]),
            ("cotton warm p-2", vec!["P-2"]),
            ("cotton lamp", vec![]),
            ("  ", vec!["P-1", "P-2", "P-3", "P-4", "P-5", "P-6", "P-7", "P-8", "P-9"]),
            // A word does not reach from one field into the next.
            ("softandwarm", vec![]),
        ] {
            assert_eq!(shop.search(text).await, found, "{text}");
        }
    }

    async fn a_search_follows_what_a_product_is_called(engine: Engine) {
        let shop = Shop::open(engine).await;
        for (sku, name) in [("A-1", "Brass lantern"), ("A-2", "Brass lamp"), ("A-3", "Copper \"lamp\"")] {
            shop.create(sku, name, 100, "Search").await;
        }
        assert_eq!(shop.search("lamp").await, ["A-2", "A-3"]);
        assert_eq!(shop.search("\"lamp\"").await, ["A-3"]);
        shop.call("PATCH", "A-1").json(json!({"name": "Brass lamp post", "price": {"amount": 200, "currency": "GBP"}})).send().await.expect(200);
        shop.call("PATCH", "A-2").json(json!({"description": "With a shade"})).send().await.expect(200);
        shop.call("PATCH", "A-3").json(json!({"price": {"amount": 300, "currency": "GBP"}})).send().await.expect(200);
        assert_eq!(shop.search("lantern").await, Vec::<String>::new());
        assert_eq!(shop.search("lamp").await, ["A-1", "A-2", "A-3"]);
        assert_eq!(shop.search("shade brass").await, ["A-2"]);
        shop.call("DELETE", "A-2").send().await.expect(204);
        assert_eq!(shop.search("lamp").await, ["A-1", "A-3"]);
        let dear = shop.list("?search=lamp&category=Search&min_price=250&sort=-price&page=1").await.expect(200).json;
        assert_eq!((skus(&dear), &dear["pagination"]["total"]), (vec!["A-3".to_owned()], &json!(1)));
    }

    /// The walks through the list, a hundred rows of it and then more, and the indexes of words and numbers must give the same pages: some words are
    /// found on the first rows, some promise more than they keep, some are only beyond.
    async fn a_search_gives_the_same_pages_whichever_way_it_goes(engine: Engine) {
        let shop = Shop::open(engine).await;
        for n in 0..150 {
            let kind = match n {
                140.. => "late",
                90..=120 => "middling",
                _ if n % 40 == 5 => "scarce",
                _ => "usual",
            };
            // A number without the digits that are searched for as words.
            let number: String = [81, 27, 9, 3, 1].map(|place| ['0', '8', '9'][n / place % 3]).iter().collect();
            let (name, price) = (format!("{n:03} {kind} lamp no 98{number}"), 100 + i64::try_from(n).unwrap());
            shop.create(&format!("L-{n:03}"), &name, price, ["X", "Y"][usize::from(n % 30 == 0)]).await;
        }
        for sort in ["name", "-name", "price", "-created_at"] {
            for (words, total) in [
                ("late", 10), ("middling", 31), ("scarce", 4), ("usual", 105), ("lamp", 150), ("lamp%204", 33), ("lam%2012", 12), ("lamp%20none", 0),
                ("lamp&category=Y", 5), ("lamp&min_price=220", 30), ("usual&max_price=105&category=X", 4),
                ("9889808", 1), ("89808", 1), ("98808", 9), ("98808%20middling%20lamp", 9), ("98808%2089808", 0), ("98808&category=Y", 1),
                ("98808&min_price=195", 4),
            ] {
                let query = format!("?search={words}&sort={sort}");
                let mut all = skus(&shop.list(&format!("{query}&limit=100")).await.expect(200).json);
                if total > 100 {
                    all.extend(skus(&shop.list(&format!("{query}&limit=100&page=2")).await.expect(200).json));
                }
                assert_eq!(all.len(), total, "{query}");
                for limit in [7, 25] {
                    let (mut seen, mut cursor) = (Vec::new(), String::new());
                    loop {
                        let page = shop.list(&format!("{query}&limit={limit}{cursor}")).await.expect(200).json;
                        seen.extend(skus(&page));
                        let Some(next) = page["next_cursor"].as_str() else { break };
                        cursor = format!("&cursor={next}");
                    }
                    assert_eq!(seen, all, "{query} {limit}");
                    let third = shop.list(&format!("{query}&limit={limit}&page=3")).await.expect(200).json;
                    assert_eq!(skus(&third), all.iter().skip(2 * limit).take(limit).cloned().collect::<Vec<_>>(), "{query} {limit}");
                    assert_eq!(third["pagination"]["total"], json!(total), "{query}");
                }
            }
        }
    }

    async fn a_product_is_the_same_in_a_list_and_alone(engine: Engine) {
        let shop = Shop::open(engine).await;
        let mut full = product("FULL", "Full \"quoted\" näme", 100, "X");
        full["description"] = json!("Two\nlines");
        full["attributes"] = json!({"watts": 5, "a": {"deep": [1, null, "ä"]}, "colour": "blue"});
        full["image_url"] = json!("https://shop.example/a.png");
        shop.post(full).send().await.expect(201);
        shop.create("BARE", "Bare", 200, "X").await;
        let items = shop.list("?sort=name").await.expect(200).json["items"].clone();
        assert_eq!(items, json!([shop.read("BARE").await.json, shop.read("FULL").await.json]));
    }

    async fn every_sort_pages_through_ties_giving_each_product_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let names = ["lamp", "Lamp", "LAMP", "äther", "Zebra", "zebra", "_x", "Mug 10", "Mug 2", "mug 2", "1", "é"];
        for (n, name) in names.iter().enumerate() {
            if n % 3 == 0 {
                shop.bench.clock.advance(Duration::from_millis(10));
            }
            shop.create(&format!("S-{n}"), name, [100, 200][n % 2], ["A", "B"][n % 2]).await;
        }
        for sort in ["name", "-name", "price", "-price", "created_at", "-created_at"] {
            for filter in ["", "&category=A", "&min_price=100&max_price=199", "&search=m", "&search=mug"] {
                let expected: Vec<Value> = shop.list(&format!("?sort={sort}{filter}&limit=100")).await.expect(200).json["items"].as_array().unwrap().clone();
                assert!(!expected.is_empty());
                let mut seen = Vec::new();
                let mut cursor = String::new();
                for page in 0.. {
                    let answer = shop.list(&format!("?sort={sort}{filter}&limit=2{cursor}")).await.expect(200).json;
                    seen.extend(answer["items"].as_array().unwrap().iter().map(|item| item["sku"].as_str().unwrap().to_owned()));
                    // A product that arrives on the way does not disturb those that were there.
                    if page == 1 && filter == "&category=A" {
                        let name = format!("{}{sort}", ["aaa", "zzz"][usize::from(sort.starts_with('-'))]);
                        let sku = format!("LATE{}", sort.replace('-', "_").to_uppercase());
                        let late = shop.post(product(&sku, &name, 150, "A")).send().await;
                        assert!(matches!(late.status, 201 | 409));
                    }
                    match answer["next_cursor"].as_str() {
                        Some(next) => cursor = format!("&cursor={next}"),
                        None => break,
                    }
                }
                let unique: BTreeSet<&String> = seen.iter().collect();
                assert_eq!(unique.len(), seen.len(), "{sort}{filter}: {seen:?}");
                let known: Vec<&str> = expected.iter().map(|item| item["sku"].as_str().unwrap()).collect();
                let before: Vec<&String> = seen.iter().filter(|sku| known.contains(&sku.as_str())).collect();
                assert_eq!(before, known, "{sort}{filter}");
            }
        }
    }

    async fn lists_have_the_same_order_on_every_database(engine: Engine) {
        let shop = Shop::open(engine).await;
        for (sku, name) in [("A", "zebra"), ("B", "Äther"), ("C", "_x"), ("D", "Zebra"), ("E", "a b"), ("F", "ab"), ("G", "A-B"), ("H", "äTHER")] {
            shop.create(sku, name, 100, "X").await;
        }
        assert_eq!(shop.skus("").await, ["C", "E", "G", "F", "A", "D", "B", "H"]);
        assert_eq!(shop.skus("?sort=-name").await, ["H", "B", "D", "A", "F", "G", "E", "C"]);
        assert_eq!(shop.skus("?sort=created_at&limit=3").await, ["A", "B", "C"]);
        assert_eq!(shop.skus("?sort=-created_at&limit=3").await, ["H", "G", "F"]);
    }

    async fn numbered_pages_know_the_total(engine: Engine) {
        let shop = Shop::open(engine).await;
        for n in 1..=7 {
            shop.create(&format!("S-{n}"), &format!("Name {n}"), n * 100, "X").await;
        }
        let page = shop.list("?page=2&limit=3&sort=price").await.expect(200).json;
        assert_eq!((skus(&page), &page["pagination"]), (vec!["S-4".to_owned(), "S-5".to_owned(), "S-6".to_owned()], &json!({"page": 2, "limit": 3, "total": 7, "pages": 3})));
        let next = shop.list(&format!("?limit=3&sort=price&cursor={}", page["next_cursor"].as_str().unwrap())).await.expect(200).json;
        assert_eq!((skus(&next), &next["next_cursor"], next.get("pagination")), (vec!["S-7".to_owned()], &json!(null), None));
        let beyond = shop.list("?page=9&limit=3&min_price=300&max_price=500").await.expect(200).json;
        assert_eq!((skus(&beyond).len(), &beyond["pagination"]["total"]), (0, &json!(3)));
        shop.list("?page=100&limit=100").await.expect(200);
        shop.list("?page=101&limit=100").await.expect_problem(400, "invalid_query");
    }

    async fn an_unknown_or_wrong_parameter_is_refused(engine: Engine) {
        let shop = Shop::open(engine).await;
        for n in 0..3 {
            shop.create(&format!("S-{n}"), "Name", 100, "X").await;
        }
        let first = shop.list("?limit=1&sort=price").await.expect(200).json;
        let cursor = first["next_cursor"].as_str().unwrap().to_owned();
        shop.list(&format!("?limit=1&sort=price&cursor={cursor}")).await.expect(200);
        let (of_another_sort, with_page) = (format!("?sort=-price&cursor={cursor}"), format!("?page=1&sort=price&cursor={cursor}"));
        let (long, wordy) = (format!("?search={}", "x".repeat(201)), format!("?search={}", "x+".repeat(11)));
        for bad in [
            "?x=1", "?sort=id", "?sort=", "?sort=Name", "?limit=0", "?limit=101", "?limit=-1", "?page=0", "?page=x", "?cursor=", "?cursor=zz",
            "?min_price=-1", "?max_price=9.99", "?min_price=x", "?search=%00", "?category=%00", "?category=%20", "?limit=1&limit=2", "?Search=x",
            &format!("?cursor={cursor}"), &of_another_sort, &with_page, &long, &wordy,
        ] {
            shop.list(bad).await.expect_problem(400, "invalid_query");
        }
        assert_eq!(shop.skus("?search=&category=&min_price=200&max_price=100").await, Vec::<String>::new());
    }

    async fn a_quote_prices_every_line_in_order_or_none(engine: Engine) {
        let shop = Shop::open(engine).await;
        let mug = shop.create("MUG", "Mug", 100, "X").await;
        shop.create("CUP", "Cup", 200, "X").await;
        let by_id = ProductRef::Id(ProductId(mug["id"].as_str().unwrap().parse().unwrap()));
        let by_sku = |text: &str| ProductRef::Sku(sku(text));
        let port = shop.module.port();
        let quoted = port.quote(&[by_sku("CUP"), by_id.clone(), by_sku("CUP")]).await.unwrap();
        let lines: Vec<_> = quoted.iter().map(|line| (line.sku.as_str(), line.unit_price.amount_minor)).collect();
        assert_eq!(lines, [("CUP", 200), ("MUG", 100), ("CUP", 200)]);
        let nobody = ProductRef::Id(ProductId(testkit::fresh_id()));
        let refusal = port.quote(&[by_sku("NONE"), by_id, nobody.clone()]).await;
        assert!(matches!(refusal, Err(PortError::Refused(QuoteRefusal::Unknown(which))) if which == [by_sku("NONE"), nobody]));
        assert_eq!(port.quote(&[]).await.unwrap(), vec![]);
        assert!(port.find(&[]).await.unwrap().is_empty());
        let many: Vec<_> = (0..101).map(|n| by_sku(&format!("S-{n}"))).collect();
        assert!(matches!(port.quote(&many).await, Err(PortError::Unavailable { .. })));
    }

    async fn a_product_is_remembered_when_it_is_asked_for_again(engine: Engine) {
        let shop = Shop::open(engine).await;
        // It hears of no change.
        let other = TestApp::start(shop.twin().await, shop.bench.tokens.verifier()).await;
        shop.create("MUG", "Mug", 100, "X").await;
        for (price, shown) in [(100, 100), (200, 200), (300, 200)] {
            shop.call("PATCH", "MUG").json(json!({"price": {"amount": price, "currency": "GBP"}})).send().await.expect(200);
            assert_eq!(other.get("/catalog/products/MUG").send().await.expect(200).json["price"]["amount"], shown);
        }
    }

    async fn own_changes_show_at_once_and_foreign_ones_within_the_bound(engine: Engine) {
        let shop = Shop::open(engine).await;
        let twin = shop.twin().await;
        let other = TestApp::start(twin.clone(), shop.bench.tokens.verifier()).await;
        shop.create("MUG", "Mug", 100, "X").await;
        let mug = [ProductRef::Sku(sku("MUG"))];
        for price in [200, 300] {
            // Both remember it, page and product alike: what is asked for once would not be.
            for app in [&shop.app, &other, &shop.app, &other] {
                app.get("/catalog/products/MUG").send().await.expect(200);
                app.get("/catalog/products").send().await.expect(200);
                app.get("/catalog/categories").send().await.expect(200);
            }
            twin.port().find(&[sku("MUG")]).await.unwrap();
            shop.call("PATCH", "MUG").json(json!({"price": {"amount": price, "currency": "GBP"}})).send().await.expect(200);
            assert_eq!(shop.read("MUG").await.json["price"]["amount"], price);
            assert_eq!(shop.list("").await.json["items"][0]["price"]["amount"], price);
            assert_eq!(shop.module.port().find(&[sku("MUG")]).await.unwrap()[0].unit_price, gbp(price));
            // What is sold has the price of now, in every process.
            assert_eq!(twin.port().quote(&mug).await.unwrap()[0].unit_price, gbp(price));
            let remembered = other.get("/catalog/products/MUG").send().await.expect(200).json;
            assert_eq!(remembered["price"]["amount"], price - 100, "the other process reads from memory");
            shop.bench.clock.advance(Duration::from_secs(30));
            assert_eq!(other.get("/catalog/products/MUG").send().await.json["price"]["amount"], price);
            assert_eq!(other.get("/catalog/products").send().await.json["items"][0]["price"]["amount"], price);
            assert_eq!(twin.port().find(&[sku("MUG")]).await.unwrap()[0].unit_price, gbp(price));
        }
    }

    async fn a_reader_never_sees_an_older_price_than_one_acknowledged(engine: Engine) {
        let shop = Shop::open(engine).await;
        shop.create("MUG", "Mug", 0, "X").await;
        let writer = async {
            for price in 1..=40 {
                let body = json!({"price": {"amount": price, "currency": "GBP"}});
                shop.call("PATCH", "MUG").json(body).send().await.expect(200);
                assert_eq!(shop.read("MUG").await.json["price"]["amount"], price);
                assert_eq!(shop.list("").await.json["items"][0]["price"]["amount"], price);
            }
        };
        let reader = || async {
            let mut last = 0;
            while last < 40 {
                let (read, list) = (shop.read("MUG").await, shop.list("").await);
                let (one, page) = (read.json["price"]["amount"].as_i64().unwrap(), list.json["items"][0]["price"]["amount"].as_i64().unwrap());
                assert!(last <= one && one <= page, "{last} {one} {page}");
                last = page;
            }
        };
        futures_util::join!(writer, reader(), reader(), reader());
    }

    async fn stock_is_changed_through_inventory_once_a_key(engine: Engine) {
        let shop = Shop::open(engine).await;
        let mug = shop.create("MUG", "Mug", 100, "X").await;
        let id = mug["id"].as_str().unwrap().to_owned();
        let patch = |path: &str, change: i64| shop.call("PATCH", &format!("{path}/stock")).json(json!({"change": change, "reason": "count"}));
        let level = patch(&id, 10).send().await.expect(200).json;
        assert_eq!((level["sku"].as_str(), level["on_hand"].as_i64()), (Some("MUG"), Some(10)));
        let first = patch("mug", -3).key("k").send().await.expect(200);
        let again = patch("mug", -3).key("k").send().await.expect(200);
        assert_eq!((&again.json, again.header("idempotency-replayed")), (&first.json, "true"));
        assert_eq!(shop.inventory.available(&sku("MUG")), 7);
        patch("MUG", -8).key("k").send().await.expect_problem(422, "idempotency_key_reused");
        patch("MUG", -8).key("k2").send().await.expect_problem(409, "insufficient_stock");
        patch("MUG", -8).key("k2").send().await.expect_problem(409, "insufficient_stock");
        patch("NONE", 1).key("k3").send().await.expect_problem(404, "not_found");
        shop.call("PATCH", "MUG/stock").json(json!({"change": 1})).send().await.expect(200);
        shop.call("PATCH", "MUG/stock").json(json!({})).send().await.expect_problem(400, "invalid_body");
        *shop.inventory.down.lock().unwrap() = true;
        patch("MUG", 1).send().await.expect_problem(503, "unavailable");
        shop.app.assert_healthy().await;
    }

    async fn a_stock_change_without_an_answer_can_be_asked_again_and_ends_finished(engine: Engine) {
        let shop = Shop::open(engine).await;
        shop.create("MUG", "Mug", 100, "X").await;
        let patch = |key: &str| shop.call("PATCH", "MUG/stock").key(key).json(json!({"change": 5}));
        *shop.inventory.down.lock().unwrap() = true;
        patch("retried").send().await.expect_problem(503, "unavailable");
        patch("forgotten").send().await.expect_problem(503, "unavailable");
        *shop.inventory.down.lock().unwrap() = false;
        assert_eq!(shop.events().await.len(), 1);
        // The lease of the first attempt ends, and the second goes on with the same movement.
        shop.bench.clock.advance(Duration::from_secs(31));
        patch("retried").send().await.expect(200);
        assert_eq!(shop.inventory.available(&sku("MUG")), 5);
        // Nobody asks for the other again; the worker does.
        *shop.inventory.down.lock().unwrap() = true;
        shop.app.work("catalog.finish_stock_changes").await;
        *shop.inventory.down.lock().unwrap() = false;
        shop.bench.clock.advance(Duration::from_secs(7));
        shop.app.work("catalog.finish_stock_changes").await;
        assert_eq!(shop.inventory.available(&sku("MUG")), 10);
        patch("forgotten").send().await.expect(200);
        assert_eq!(shop.inventory.available(&sku("MUG")), 10);
        shop.app.assert_healthy().await;
    }

    async fn a_file_is_imported_line_by_line(engine: Engine) {
        let shop = Shop::open(engine).await;
        let file = "sku,name,category,price,currency,active,attributes,stock\n\
            mug,Mug,Kitchen,9.99,GBP,,\"{\"\"a\"\":1}\",5\n\
            CUP,Cup,Kitchen,1,,false,,\n\
            a/b,X,Kitchen,1,,,,\n\
            EUR,X,Kitchen,1,EUR,,,\n\
            FINE,X,Kitchen,0.001,,,,\n\
            DEAR,X,Kitchen,1000000.01,,,,\n\
            NAMELESS,,Kitchen,1,,,,\n\
            JSON,X,Kitchen,1,,,[1],\n\
            STOCK,X,Kitchen,1,,,,-1\n\
            BOOL,X,Kitchen,1,,maybe,,\n";
        let summary = shop.import(file).await.expect(200).json;
        assert_eq!(counts(&summary), (10, 2, 0, 0, 8));
        let refusals: Vec<_> = summary["refusals"].as_array().unwrap().iter().map(|r| (r["line"].as_u64().unwrap(), r["record"].as_str().unwrap())).collect();
        assert_eq!(refusals, [(4, "a/b"), (5, "EUR"), (6, "FINE"), (7, "DEAR"), (8, "NAMELESS"), (9, "JSON"), (10, "STOCK"), (11, "BOOL")]);
        assert_eq!(summary["refusals"][1]["reason"], "price/currency: this shop's prices are in GBP");
        assert_eq!(counts(&shop.import(file).await.expect(200).json), (10, 0, 0, 2, 8));
        let mug = shop.read("MUG").await.expect(200).json;
        assert_eq!((&mug["price"]["amount"], &mug["attributes"]), (&json!(999), &json!({"a": 1})));
        assert_eq!(shop.inventory.available(&sku("MUG")), 5);
        assert_eq!(shop.events().await.len(), 2);

        // A file of prices alone leaves the rest, and the later of two lines holds.
        let prices = "price,sku,name,category\n2.00,MUG,Mug,Kitchen\n3.00,mug,Mug,Kitchen\n1.00,CUP,Cup,Kitchen\n";
        assert_eq!(counts(&shop.import(prices).await.expect(200).json), (3, 0, 2, 1, 0));
        let mug = shop.read("MUG").await.expect(200).json;
        assert_eq!((&mug["price"]["amount"], &mug["attributes"]), (&json!(300), &json!({"a": 1})));
        assert_eq!(shop.read("CUP").await.json["active"], false);

        shop.import("sku,name\nA,B\n").await.expect_problem(400, "csv_malformed");
        let form = reqwest::multipart::Form::new().part("file", reqwest::multipart::Part::text(file));
        let request = shop.app.client.post(format!("{}/catalog/import", shop.app.address)).bearer_auth(&shop.admin.token);
        let by_form: Value = request.multipart(form).send().await.unwrap().json().await.unwrap();
        assert_eq!(counts(&by_form).0, 10);
        shop.app.post("/catalog/import").by(&shop.admin).json(json!({})).send().await.expect_problem(415, "unsupported_media_type");
        shop.app.assert_healthy().await;
    }

    async fn importing_again_never_undoes_a_sale_and_hands_over_stock_that_was_left(engine: Engine) {
        let shop = Shop::open(engine).await;
        let file = "sku,name,category,price,stock\nMUG,Mug,Kitchen,1,5\nCUP,Cup,Kitchen,1,7\n";
        *shop.inventory.down.lock().unwrap() = true;
        let refused = shop.import(file).await.expect_problem(503, "unavailable");
        assert!(refused.json["detail"].as_str().unwrap().contains("Import the file again"), "{}", refused.text);
        shop.app.get("/catalog/export").by(&shop.admin).send().await.expect_problem(503, "unavailable");
        *shop.inventory.down.lock().unwrap() = false;
        assert_eq!(counts(&shop.import(file).await.expect(200).json), (2, 0, 0, 2, 0));
        assert_eq!(shop.inventory.available(&sku("MUG")), 5);
        shop.inventory.put("MUG", 2);
        assert_eq!(counts(&shop.import(file).await.expect(200).json), (2, 0, 0, 2, 0));
        assert_eq!((shop.inventory.available(&sku("MUG")), shop.inventory.available(&sku("CUP"))), (2, 7));
    }

    async fn an_export_can_be_imported_again(engine: Engine) {
        let shop = Shop::open(engine).await;
        for (n, name) in ["=1+1", "+x", "-x", "@x", "'quoted'", "'=x", "com,ma", "quo\"te", "ünïcode"].iter().enumerate() {
            let mut body = product(&format!("-S{n}"), name, 1_000 + i64::try_from(n).unwrap(), "=Cat");
            body["description"] = json!("two\nlines, \"quoted\"\t=");
            body["attributes"] = json!({"f": 1.5, "deep": {"a": [1, null, "x"]}});
            body["image_url"] = json!("https://a.example/?a=1,2");
            shop.post(body).send().await.expect(201);
        }
        shop.create("PLAIN", "Plain", 5, "Kitchen").await;
        shop.call("DELETE", "-S3").send().await.expect(204);
        shop.inventory.put("PLAIN", 3);
        let export = |shop: &Shop| shop.app.get("/catalog/export").by(&shop.admin).send();
        let file = export(&shop).await.expect(200);
        assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
        assert!(file.text.starts_with("sku,name,category,price,currency,description,image_url,active,attributes,stock\n"), "{}", file.text);
        assert!(file.text.contains("'-S0,'=1+1,'=Cat,10.00,GBP,"), "{}", file.text);
        assert!(file.text.contains("\nPLAIN,Plain,Kitchen,0.05,GBP,,,true,{},3\n"), "{}", file.text);
        assert_eq!(counts(&shop.import(&file.text).await.expect(200).json), (10, 0, 0, 10, 0));
        assert_eq!(export(&shop).await.expect(200).text, file.text);
    }

    async fn a_real_catalogue_goes_in_once_and_comes_out_whole(engine: Engine) {
        let shop = Shop::open(engine).await;
        let summary = shop.import(RETAIL).await.expect(200).json;
        // The file names one line by words with a space between, which may or may not be a SKU: `kernel` decides.
        let (taken, refused) = (3126 - foreign_skus(RETAIL), foreign_skus(RETAIL));
        assert_eq!(counts(&summary), (3126, taken, 0, 0, refused), "{}", summary["refusals"]);
        assert_eq!(counts(&shop.import(RETAIL).await.expect(200).json), (3126, 0, 0, taken, refused));
        let categories = shop.app.get("/catalog/categories").send().await.expect(200).json;
        assert_eq!(categories["categories"], json!([{"name": "Gifts", "products": taken}]));
        assert_eq!(shop.list("?page=1").await.expect(200).json["pagination"]["pages"], 157);
        let mut seen = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page = shop.list(&format!("?limit=100&sort=-price{cursor}")).await.expect(200).json;
            for item in page["items"].as_array().unwrap() {
                assert!(seen.insert(item["sku"].to_string(), item["slug"].to_string()).is_none());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(i64::try_from(seen.len()).unwrap(), taken);
        assert_eq!(seen.values().collect::<BTreeSet<_>>().len(), seen.len(), "every slug is its own");
        let file = shop.app.get("/catalog/export").by(&shop.admin).send().await.expect(200).text;
        assert_eq!(counts(&shop.import(&file).await.expect(200).json), (taken, 0, 0, taken, 0));
        assert_eq!(shop.inventory.available(&sku("10002")), 19);
        shop.app.assert_healthy().await;
    }

    async fn imports_at_once_make_each_product_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let lines: Vec<String> = (0..500).map(|n| format!("S-{n},Name {},X,1.00", n % 7)).collect();
        let there = format!("sku,name,category,price\n{}\n", lines.join("\n"));
        let back = format!("sku,name,category,price\n{}\n", lines.iter().rev().cloned().collect::<Vec<_>>().join("\n"));
        // In opposite orders, so that they would wait for one another for ever if they took rows as they come.
        let imports = (0..8).map(|n| shop.import(if n % 2 == 0 { &there } else { &back }));
        let summaries: Vec<_> =
            join_all(imports).await.into_iter().map(|answer| counts(&answer.expect(200).json)).collect();
        assert_eq!(summaries.iter().map(|summary| summary.1).sum::<i64>(), 500, "{summaries:?}");
        assert_eq!(summaries.iter().map(|summary| summary.2).sum::<i64>(), 0, "{summaries:?}");
        assert_eq!(counts(&shop.import(&there).await.expect(200).json), (500, 0, 0, 500, 0));
        assert_eq!(shop.events().await.len(), 500);
        shop.app.assert_healthy().await;
    }

    async fn a_clash_of_slugs_adds_the_sku(engine: Engine) {
        let shop = Shop::open(engine).await;
        assert_eq!(shop.create("A1", "Blue mug", 1, "X").await["slug"], "blue-mug");
        assert_eq!(shop.create("A2", "Blue  MUG!", 1, "X").await["slug"], "blue-mug-a2");
        assert_eq!(shop.create("B", "Blue mug a3", 1, "X").await["slug"], "blue-mug-a3");
        let third = shop.create("A3", "Blue mug", 1, "X").await;
        assert!(third["slug"].as_str().unwrap().starts_with("blue-mug-a3-"), "{third}");
        shop.import("sku,name,category,price\nA4,Blue mug,X,1\nA5,Cup,X,1\nA6,Cup,X,1\n").await.expect(200);
        let slugs = [shop.read("A4").await.json["slug"].clone(), shop.read("A5").await.json["slug"].clone(), shop.read("A6").await.json["slug"].clone()];
        assert_eq!(slugs, ["blue-mug-a4", "cup", "cup-a6"]);
    }

    async fn the_schema_and_the_doctor_keep_the_promises(engine: Engine) {
        use sea_orm::ConnectionTrait;
        let shop = Shop::open(engine).await;
        shop.create("MUG", "Mug", 100, "X").await;
        let db = shop.bench.open("catalog").await;
        for broken in ["sku = 'mug'", "price_minor = -1", "price_minor = 100000001", "name = ''", "currency = 'POUND'"] {
            let statement = format!("UPDATE products SET {broken}");
            assert!(db.writer().execute_unprepared(&statement).await.is_err(), "the schema refuses {broken}");
        }
        shop.app.assert_healthy().await;
        db.writer().execute_unprepared("UPDATE products SET currency = 'USD'").await.unwrap();
        let found: Vec<_> = shop.app.module().doctor().await.unwrap().into_iter().filter(|check| !check.holds()).collect();
        assert_eq!(found.iter().map(|check| check.name).collect::<Vec<_>>(), ["catalog.prices_in_range"]);
        assert_eq!(found[0].violations, ["MUG: 100 USD"]);
        db.close().await.unwrap();
    }

    async fn a_shop_of_another_currency_has_its_own_prices(engine: Engine) {
        let settings = Settings { currency: kernel::Currency::parse("JPY").unwrap(), cache_entries: 0, cache_ttl_s: 0 };
        let shop = Shop::open_with(engine, settings).await;
        shop.post(product("MUG", "Mug", 100, "X")).send().await.expect_problem(400, "invalid_body");
        assert_eq!(counts(&shop.import("sku,name,category,price\nMUG,Mug,X,120\nCUP,Cup,X,1.5\n").await.expect(200).json), (2, 1, 0, 0, 1));
        assert_eq!(shop.read("MUG").await.expect(200).json["price"], json!({"amount": 120, "currency": "JPY"}));
        assert_eq!(shop.read("MUG").await.expect(200).json["price"], json!({"amount": 120, "currency": "JPY"}));
    }
}
