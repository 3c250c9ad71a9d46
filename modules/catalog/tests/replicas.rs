//! Stories of several processes that show one catalogue and share a store, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use catalog::{Catalog, Deps, Settings};
use contracts::catalog::{ProductChanged, ProductRef};
use platform::shared_store::SharedStore;
use redis::Commands;
use sea_orm::ConnectionTrait;
use serde_json::json;
use testkit::fakes::{FakeInventory, gbp, sku};
use testkit::{Bench, Engine, Response, TestApp, TestRedis, TestUser, until};

/// One process.
struct Replica {
    app: TestApp,
    module: Catalog,
    admin: TestUser,
}

impl Replica {
    async fn start(bench: &Bench, settings: Settings, shared_store: Option<SharedStore>) -> Self {
        let deps = Deps {
            db: bench.open("catalog").await,
            settings,
            inventory: Arc::new(FakeInventory::default()),
            shared_store,
        };
        let module = Catalog::new(deps);
        let app = TestApp::start(module.clone(), bench.tokens.verifier()).await;
        let replica = Self { app, module, admin: bench.tokens.admin() };
        // The first look into the store makes what others kept worthless.
        replica.get("/catalog/products?search=nothing").await;
        replica
    }

    async fn get(&self, path: &str) -> Response {
        self.app.get(path).send().await.expect(200)
    }

    async fn set_price(&self, price: i64) {
        let body = json!({"price": {"amount": price, "currency": "GBP"}});
        self.app.call("PATCH", "/catalog/products/MUG").by(&self.admin).json(body).send().await.expect(200);
    }

    async fn price(&self) -> i64 {
        self.get("/catalog/products/MUG").await.json["price"]["amount"].as_i64().unwrap()
    }

    async fn listed_price(&self) -> i64 {
        self.get("/catalog/products").await.json["items"][0]["price"]["amount"].as_i64().unwrap()
    }

    /// Everything that it shows of the one product that there is, wherever it comes from.
    async fn shown(&self, id: &str) -> Vec<i64> {
        let by_id =
            self.get(&format!("/catalog/products/{id}")).await.json["price"]["amount"].as_i64().unwrap();
        let found = self.module.port().find(&[sku("MUG")]).await.unwrap()[0].unit_price.amount_minor;
        vec![self.price().await, by_id, self.listed_price().await, found]
    }

    async fn quoted(&self) -> i64 {
        let mug = [ProductRef::Sku(sku("MUG"))];
        self.module.port().quote(&mug).await.unwrap()[0].unit_price.amount_minor
    }

    /// Hears from another process, as through the broker.
    async fn hear(&self, event: &ProductChanged) {
        self.app.deliver(testkit::fresh_id(), event).await.unwrap();
    }
}

/// Two replicas that sell one mug, at 1.00.
struct Shop {
    bench: Bench,
    one: Replica,
    other: Replica,
    id: String,
}

impl Shop {
    async fn open(engine: Engine, redis: &TestRedis) -> Self {
        let bench = Bench::new(engine).await;
        bench.db("catalog").await.close().await.unwrap();
        let one = Replica::start(&bench, Settings::default(), Some(redis.store().await)).await;
        let other = Replica::start(&bench, Settings::default(), Some(redis.store().await)).await;
        let id = create(&one).await;
        Self { bench, one, other, id }
    }

    /// Changes the price unseen by any program.
    async fn set_price_unseen(&self, price: i64) {
        let db = self.bench.open("catalog").await;
        let sql = format!("UPDATE products SET price_minor = {price}, version = version + 1");
        db.writer().execute_unprepared(&sql).await.unwrap();
        db.close().await.unwrap();
    }
}

async fn create(replica: &Replica) -> String {
    let body =
        json!({"sku": "MUG", "name": "Mug", "category": "X", "price": {"amount": 100, "currency": "GBP"}});
    let created =
        replica.app.post("/catalog/products").by(&replica.admin).json(body).send().await.expect(201);
    replica.app.published::<ProductChanged>().await;
    created.json["id"].as_str().unwrap().to_owned()
}

fn changed(price: i64, id: &str) -> ProductChanged {
    let product = contracts::catalog::CatalogProduct {
        product_id: id.parse().unwrap(),
        sku: sku("MUG"),
        name: "Mug".to_owned(),
        unit_price: gbp(price),
        active: true,
    };
    ProductChanged { product }
}

testkit::on_every_database_with_redis! {
    async fn what_one_replica_has_read_spares_the_database_of_the_other(engine: Engine, redis: &TestRedis) {
        let shop = Shop::open(engine, redis).await;
        let (one, other) = (&shop.one, &shop.other);
        assert_eq!(one.shown(&shop.id).await, [100; 4]);
        let categories = one.get("/catalog/categories").await.text;
        let mug = one.get("/catalog/products/MUG").await;
        shop.set_price_unseen(777).await;
        // The other has never read it, and still shows what the first has read, to the byte.
        assert_eq!(other.shown(&shop.id).await, [100; 4]);
        assert_eq!(other.get("/catalog/categories").await.text, categories);
        let same = other.get("/catalog/products/mug").await;
        assert_eq!((same.text, &same.headers["etag"]), (mug.text, &mug.headers["etag"]));
        assert_eq!((other.quoted().await, one.quoted().await), (777, 777), "what is sold has the price of now");
        // As old as the entry was when it came from the store, not younger.
        shop.bench.clock.advance(Duration::from_secs(30));
        assert_eq!(other.shown(&shop.id).await, [777; 4]);
    }

    async fn a_change_shows_in_the_other_replica_with_its_event(engine: Engine, redis: &TestRedis) {
        let shop = Shop::open(engine, redis).await;
        let (one, other) = (&shop.one, &shop.other);
        for price in [200, 300] {
            let before = price - 100;
            // Twice: what is asked for once is not remembered.
            for _ in 0..2 {
                assert_eq!((one.shown(&shop.id).await, other.shown(&shop.id).await), (vec![before; 4], vec![before; 4]));
            }
            one.set_price(price).await;
            assert_eq!(one.shown(&shop.id).await, [price; 4], "one's own change shows at once");
            assert_eq!(other.shown(&shop.id).await, [before; 4], "it remembers, and has not heard of it");
            other.hear(&changed(price, &shop.id)).await;
            assert_eq!(other.shown(&shop.id).await, [price; 4]);
        }
        // A process that has nothing in its memory has only the store to be misled by.
        let third = Replica::start(&shop.bench, Settings::default(), Some(redis.store().await)).await;
        assert_eq!(third.shown(&shop.id).await, [300; 4]);
        one.set_price(400).await;
        third.module.forget_all();
        assert_eq!(third.shown(&shop.id).await, [400; 4], "as after events that it may have missed");
    }

    async fn a_change_without_the_store_is_not_undone_by_it(engine: Engine, redis: &TestRedis) {
        let shop = Shop::open(engine, redis).await;
        let proxy = redis.proxy().await;
        let store = redis.store_through(&proxy).await;
        let cut_off = Replica::start(&shop.bench, Settings::default(), Some(store.clone())).await;
        for (round, lose) in [testkit::Proxy::cut, testkit::Proxy::hang].into_iter().enumerate() {
            let before = cut_off.price().await;
            assert_eq!(shop.other.shown(&shop.id).await, [before; 4]);
            lose(&proxy);
            let began = Instant::now();
            let price = before + 1;
            cut_off.set_price(price).await;
            for _ in 0..20 {
                assert_eq!(cut_off.shown(&shop.id).await, vec![price; 4]);
            }
            let took = began.elapsed();
            assert!(took < testkit::PATIENCE * 10, "round {round}: {took:?} without the store");
            shop.other.hear(&changed(price, &shop.id)).await;
            assert_eq!(shop.other.shown(&shop.id).await, [price; 4]);
            proxy.open();
            until("the store is connected again", || store.link().is_some()).await;
            assert_eq!(cut_off.shown(&shop.id).await, vec![price; 4]);
        }
    }

    async fn whatever_becomes_of_the_store_no_price_is_older_than_one_acknowledged(engine: Engine, redis: &TestRedis) {
        let shop = Shop::open(engine, redis).await;
        let proxy = redis.proxy().await;
        let store = redis.store_through(&proxy).await;
        // The two take turns to write, so that each also hears of what it did not do.
        let shaky = Replica::start(&shop.bench, Settings::default(), Some(store)).await;
        let acknowledged = AtomicI64::new(100);
        let done = AtomicBool::new(false);
        let writer = async {
            for price in 101..=140 {
                let (writer, hearer) = if price % 2 == 0 { (&shop.one, &shaky) } else { (&shaky, &shop.one) };
                writer.set_price(price).await;
                hearer.hear(&changed(price, &shop.id)).await;
                acknowledged.store(price, Ordering::SeqCst);
                for replica in [writer, hearer] {
                    assert_eq!((replica.price().await, replica.listed_price().await), (price, price));
                }
            }
            done.store(true, Ordering::SeqCst);
        };
        let reader = |replica| {
            let (replica, acknowledged, done): (&Replica, _, _) = (replica, &acknowledged, &done);
            async move {
                while !done.load(Ordering::SeqCst) {
                    let at_least = acknowledged.load(Ordering::SeqCst);
                    let (one, listed) = (replica.price().await, replica.listed_price().await);
                    assert!(at_least <= one && at_least <= listed, "{at_least} {one} {listed}");
                }
            }
        };
        let saboteur = async {
            let mut connection = redis.connect();
            for deed in (0..4).cycle() {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                match deed {
                    0 => redis.flush(),
                    1 => redis.keys().iter().for_each(|key| connection.set_ex(key, "garbage", 30).unwrap()),
                    2 => proxy.cut(),
                    _ => proxy.open(),
                }
                let before = acknowledged.load(Ordering::SeqCst);
                let goes_on = || acknowledged.load(Ordering::SeqCst) > before || done.load(Ordering::SeqCst);
                until("the next price is set", goes_on).await;
            }
        };
        futures_util::join!(writer, reader(&shop.one), reader(&shaky), saboteur);
    }

    async fn who_keeps_nothing_shares_nothing(engine: Engine, redis: &TestRedis) {
        let shop = Shop::open(engine, redis).await;
        shop.one.set_price(150).await;
        for settings in [
            Settings { cache_entries: 0, ..Settings::default() },
            Settings { cache_ttl_s: 0, ..Settings::default() },
        ] {
            let before = redis.keys();
            let forgetful = Replica::start(&shop.bench, settings, Some(redis.store().await)).await;
            assert_eq!(forgetful.shown(&shop.id).await, [150; 4]);
            shop.set_price_unseen(160).await;
            assert_eq!(forgetful.shown(&shop.id).await, [160; 4]);
            assert_eq!(redis.keys().len(), before.len());
            shop.set_price_unseen(150).await;
        }
    }
}
