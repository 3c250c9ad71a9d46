//! The port of `catalog`.

use std::sync::Arc;

use catalog::{Catalog, Deps, Settings};
use contracts::catalog::{CatalogPort, CatalogProduct, ProductRef, QuoteRefusal};
use kernel::{ProductId, Sku};
use platform::db::Db;
use serde_json::json;
use testkit::fakes::{FakeInventory, gbp, sku};
use testkit::{Bench, Engine, TestApp, fresh_id};

use crate::stage::{Form, Sides, assert_silent, refusal};

struct Stage {
    port: Arc<dyn CatalogPort>,
    app: TestApp,
    db: Db,
    bench: Bench,
}

const SIDES: Sides<dyn CatalogPort> =
    Sides { module: "catalog", routes: remote::catalog::routes, client: remote::catalog::client };

impl Stage {
    async fn open(engine: Engine, form: Form) -> Self {
        let bench = Bench::new(engine).await;
        let db = bench.db("catalog").await;
        let module = Catalog::new(Deps {
            db: db.clone(),
            settings: Settings::default(),
            inventory: Arc::new(FakeInventory::default()),
            shared_store: None,
        });
        let port = form.of(&bench, &SIDES, module.port());
        Self { port, app: TestApp::start(module, bench.tokens.verifier()).await, db, bench }
    }

    /// Puts a product in.
    async fn sell(&self, text: &str, name: &str, price_minor: i64) -> CatalogProduct {
        let price = json!({"amount": price_minor, "currency": "GBP"});
        let body = json!({"sku": text, "name": name, "price": price, "category": "Kitchen"});
        let admin = self.bench.tokens.admin();
        let product = self.app.post("/catalog/products").by(&admin).json(body).send().await.expect(201).json;
        CatalogProduct {
            product_id: product["id"].as_str().unwrap().parse().unwrap(),
            sku: sku(text),
            name: name.to_owned(),
            unit_price: gbp(price_minor),
            active: true,
        }
    }

    async fn retire(&self, text: &str) {
        let admin = self.bench.tokens.admin();
        let answer = self.app.call("DELETE", &format!("/catalog/products/{text}")).by(&admin).send().await;
        assert!(answer.status < 300, "{}", answer.text);
    }
}

fn by_sku(text: &str) -> ProductRef {
    ProductRef::Sku(sku(text))
}

conformance! { Stage:
    products_are_quoted_in_the_order_asked_for,
    unknown_and_retired_products_are_refused_by_name,
    products_are_found_whether_sold_or_not,
    a_hundred_products_fit_into_a_call,
    without_its_database_the_module_is_silent,
}

async fn products_are_quoted_in_the_order_asked_for(stage: Stage) {
    let mug = stage.sell("MUG-BLUE", "Blue mug \"Ærø\" ☕", 850).await;
    let lamp = stage.sell("LAMP", "Lamp", 2_999).await;
    let free = stage.sell("BANK CHARGES", "Free", 0).await;
    let asked = [ProductRef::Id(lamp.product_id), by_sku("bank charges"), by_sku("mug-blue")];
    for _ in 0..2 {
        assert_eq!(stage.port.quote(&asked).await.unwrap(), [lamp.clone(), free.clone(), mug.clone()]);
    }
    let twice = [by_sku("LAMP"), ProductRef::Id(lamp.product_id)];
    assert_eq!(stage.port.quote(&twice).await.unwrap(), [lamp.clone(), lamp]);
    assert_eq!(stage.port.quote(&[]).await.unwrap(), []);
}

async fn unknown_and_retired_products_are_refused_by_name(stage: Stage) {
    let lamp = stage.sell("LAMP", "Lamp", 2_999).await;
    stage.sell("MUG", "Mug", 850).await;
    stage.retire("MUG").await;
    let nobody = ProductRef::Id(ProductId(fresh_id()));
    let asked = [by_sku("LAMP"), by_sku("SOFA"), nobody.clone(), by_sku("MUG")];
    let unknown = QuoteRefusal::Unknown(vec![by_sku("SOFA"), nobody]);
    assert_eq!(refusal(stage.port.quote(&asked).await), unknown);
    let asked = [ProductRef::Id(lamp.product_id), by_sku("MUG")];
    assert_eq!(refusal(stage.port.quote(&asked).await), QuoteRefusal::Retired(vec![by_sku("MUG")]));
    assert_eq!(refusal(stage.port.quote(&asked).await), QuoteRefusal::Retired(vec![by_sku("MUG")]));
}

async fn products_are_found_whether_sold_or_not(stage: Stage) {
    let lamp = stage.sell("LAMP", "Lamp", 2_999).await;
    let mug = CatalogProduct { active: false, ..stage.sell("MUG", "Mug", 850).await };
    stage.retire("MUG").await;
    let asked = [sku("MUG"), sku("SOFA"), sku("LAMP")];
    assert_eq!(stage.port.find(&asked).await.unwrap(), [mug, lamp]);
    assert_eq!(stage.port.find(&[sku("SOFA")]).await.unwrap(), []);
    assert_eq!(stage.port.find(&[]).await.unwrap(), []);
}

async fn a_hundred_products_fit_into_a_call(stage: Stage) {
    stage.sell("S1", "One", 1).await;
    let skus: Vec<Sku> = (0..101).map(|n| sku(&format!("S{n}"))).collect();
    let references: Vec<ProductRef> = skus.iter().cloned().map(ProductRef::Sku).collect();
    assert_eq!(stage.port.find(&skus[..100]).await.unwrap().len(), 1);
    let QuoteRefusal::Unknown(unknown) = refusal(stage.port.quote(&references[..100]).await) else {
        panic!("99 are unknown");
    };
    assert_eq!(unknown.len(), 99);
    // More than a caller may ask for is a mistake in the program, not a refusal.
    assert_silent("catalog", stage.port.find(&skus).await);
    assert_silent("catalog", stage.port.quote(&references).await);
}

async fn without_its_database_the_module_is_silent(stage: Stage) {
    stage.db.close().await.unwrap();
    assert_silent("catalog", stage.port.quote(&[by_sku("LAMP")]).await);
    assert_silent("catalog", stage.port.find(&[sku("LAMP")]).await);
}
