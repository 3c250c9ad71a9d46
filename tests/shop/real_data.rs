//! The year of a real shop: see `tests/data/retail/ATTRIBUTION.md`.

use serde_json::json;
use testkit::Engine;

use crate::support::Shop;

const PRODUCTS: &str = include_str!("../data/retail/products.csv");
const ORDERS: &str = include_str!("../data/retail/orders.csv");

testkit::on_every_database! {
    async fn a_real_shop_moves_in_over_http(engine: Engine) {
        let shop = Shop::open_with(engine, |settings| settings.demo.load = true).await;
        let admin = shop.admin().await;
        let import = |path: &'static str, file: &'static str| {
            shop.post(path).bearer(&admin.token).body("text/csv", file).send()
        };
        let products = import("/catalog/import", PRODUCTS).await.expect(200).json;
        assert_eq!((products["rows_read"].as_i64(), products["created"].as_i64(), products["refused"].as_i64()), (Some(3126), Some(3126), Some(0)));
        let again = import("/catalog/import", PRODUCTS).await.expect(200).json;
        assert_eq!((again["unchanged"].as_i64(), again["updated"].as_i64()), (Some(3126), Some(0)));

        let orders = import("/orders/import", ORDERS).await.expect(200).json;
        assert_eq!((orders["rows_read"].as_i64(), orders["created"].as_i64(), orders["refused"].as_i64()), (Some(39_147), Some(12_466), Some(1)));
        let refusal = &orders["refusals"][0];
        assert_eq!(refusal["record"], "550193");
        let line = ORDERS.lines().position(|line| line.contains(",0.001,")).unwrap() + 1;
        assert_eq!(refusal["line"], json!(line));
        let again = import("/orders/import", ORDERS).await.expect(200).json;
        assert_eq!((again["created"].as_i64(), again["updated"].as_i64(), again["unchanged"].as_i64()), (Some(0), Some(0), Some(12_466)));

        let analytics = shop.get("/orders/analytics?group_by=country").bearer(&admin.token).send().await.expect(200).json;
        assert_eq!(analytics["orders"], 12_466);
        assert_eq!(analytics["revenue"], json!({"amount": 74_119_897, "currency": "GBP"}));
        let listed = shop.get("/orders?limit=1").bearer(&admin.token).send().await.expect(200).json;
        assert_eq!((listed["items"][0]["imported"].as_bool(), listed["items"][0]["user_id"].is_null()), (Some(true), true));
        // Past orders took no stock: what was imported is all there.
        let level = shop.get("/inventory/10002").bearer(&admin.token).send().await.expect(200).json;
        assert_eq!((level["on_hand"].as_i64(), level["available"].as_i64()), (Some(19), Some(19)));
        shop.assert_healthy().await;
    }
}
