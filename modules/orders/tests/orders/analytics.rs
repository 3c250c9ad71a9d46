//! What the shop has sold.

use serde_json::{Value, json};
use testkit::Engine;

use crate::support::Shop;

const FILE: &str = "order_number,placed_at,customer,country,sku,quantity,unit_price,currency,name,status
A1,2011-01-31T23:59:59Z,c1,France,MUG,2,10.00,GBP,Mug,delivered
A1,2011-01-31T23:59:59Z,c1,France,LAMP,1,5.00,GBP,Lamp,delivered
A2,2011-02-01T00:00:00Z,c2,United Kingdom,MUG,1,9.00,GBP,Mug,shipped
A3,2011-02-01T10:00:00Z,,,LAMP,10,1.00,GBP,Lamp,delivered
A4,2011-02-02T10:00:00Z,c2,France,LAMP,100,1.00,GBP,Lamp,cancelled
";

testkit::on_every_database! {
    async fn analytics_add_up_by_day_month_and_country(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        shop.app.post("/orders/import").by(&admin).body("text/csv", FILE).send().await.expect(200);
        let get = |query: &str| shop.app.get(&format!("/orders/analytics{query}")).by(&admin).send();
        let all = get("").await.expect(200).json;
        assert_eq!(all["orders"], 3);
        assert_eq!(all["revenue"], json!({"amount": 4_400, "currency": "GBP"}));
        assert_eq!(all["average_order_value"]["amount"], 1_466);
        assert_eq!(all["by_status"], json!({"pending": 0, "confirmed": 0, "processing": 0, "shipped": 1, "delivered": 2, "cancelled": 1}));
        assert_eq!(all["top_products"], json!([
            {"sku": "MUG", "name": "Mug", "quantity": 3, "revenue": {"amount": 2_900, "currency": "GBP"}},
            {"sku": "LAMP", "name": "Lamp", "quantity": 11, "revenue": {"amount": 1_500, "currency": "GBP"}},
        ]));
        let series = |body: &Value| -> Vec<(String, i64, i64)> {
            let points = body["series"].as_array().unwrap().iter();
            points.map(|p| (p["key"].as_str().unwrap().to_owned(), p["orders"].as_i64().unwrap(), p["revenue"]["amount"].as_i64().unwrap())).collect()
        };
        let point = |key: &str, orders, revenue| (key.to_owned(), orders, revenue);
        assert_eq!(series(&all), vec![point("2011-01-31", 1, 2_500), point("2011-02-01", 2, 1_900)]);
        assert_eq!(series(&get("?group_by=month").await.json), vec![point("2011-01", 1, 2_500), point("2011-02", 2, 1_900)]);
        let countries = series(&get("?group_by=country").await.json);
        assert_eq!(countries, vec![point("France", 1, 2_500), point("unknown", 1, 1_000), point("United Kingdom", 1, 900)]);
        let february = get("?from=2011-02-01&to=2011-02-02").await.expect(200).json;
        assert_eq!((february["orders"].as_i64(), february["revenue"]["amount"].as_i64()), (Some(2), Some(1_900)));
        let none = get("?from=2012-01-01").await.expect(200).json;
        assert_eq!((none["average_order_value"]["amount"].as_i64(), none["series"].as_array().unwrap().len()), (Some(0), 0));
        for bad in ["?group_by=week", "?from=x", "?x=1", "?from=2012-01-02&to=2012-01-01"] {
            get(bad).await.expect_problem(400, "invalid_query");
        }
        let customer = shop.bench.tokens.customer();
        shop.app.get("/orders/analytics").by(&customer).send().await.expect_problem(403, "forbidden");
        shop.app.get("/orders/analytics").send().await.expect_problem(401, "unauthenticated");
    }

    async fn orders_placed_here_count_too(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        shop.place(&ada, &[("MUG", 2)]).await;
        let cancelled = shop.place(&ada, &[("LAMP", 1)]).await;
        shop.cancel(&ada, &cancelled).await.expect(200);
        let sums = shop.app.get("/orders/analytics?group_by=country").by(&admin).send().await.expect(200).json;
        assert_eq!((sums["orders"].as_i64(), sums["revenue"]["amount"].as_i64()), (Some(1), Some(1_700)));
        assert_eq!(sums["series"][0]["key"], "GB");
    }
}
