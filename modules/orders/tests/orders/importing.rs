//! Orders of the past come in, and everything goes out.

use contracts::orders::{OrderCreated, OrderStatusChanged};
use serde_json::{Value, json};
use testkit::{Engine, Response, TestUser};

use crate::support::Shop;

const PAST_ORDERS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/retail/orders.csv"));
const PRODUCTS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/retail/products.csv"));
const HEADER: &str = "order_number,placed_at,customer,country,sku,quantity,unit_price,currency\n";

async fn import(shop: &Shop, admin: &TestUser, file: impl Into<String>) -> Response {
    shop.app.post("/orders/import").by(admin).body("text/csv", file.into()).send().await
}

/// Rows read, orders created, updated, unchanged and refused.
fn counts(summary: &Value) -> [i64; 5] {
    ["rows_read", "created", "updated", "unchanged", "refused"].map(|field| summary[field].as_i64().unwrap())
}

async fn export(shop: &Shop, admin: &TestUser) -> String {
    shop.app.get("/orders/export").by(admin).send().await.expect(200).text
}

testkit::on_every_database! {
    async fn a_year_of_a_real_shop_comes_in_and_adds_up(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        for sku in PRODUCTS.lines().skip(1).filter_map(|line| line.split(',').next()) {
            shop.catalog.put(sku, 100);
        }
        let begun = std::time::Instant::now();
        let first = import(&shop, &admin, PAST_ORDERS).await.expect(200).json;
        println!("first import: {:?}", begun.elapsed());
        assert_eq!(counts(&first), [39_147, 12_466, 0, 0, 1]);
        let refusal = &first["refusals"][0];
        let line = usize::try_from(refusal["line"].as_u64().unwrap()).unwrap();
        assert_eq!(refusal["record"], "550193");
        assert!(refusal["reason"].as_str().unwrap().contains("0.001 GBP"), "{refusal}");
        let named = PAST_ORDERS.lines().nth(line - 1).unwrap();
        assert!(named.starts_with("550193,") && named.contains(",0.001,"), "{named}");

        let begun = std::time::Instant::now();
        let again = import(&shop, &admin, PAST_ORDERS).await.expect(200).json;
        println!("second import: {:?}", begun.elapsed());
        assert_eq!(counts(&again), [39_147, 0, 0, 12_466, 1]);
        assert_eq!((shop.count("order_lines").await, shop.count("import_numbers").await), (39_139, 0));

        let begun = std::time::Instant::now();
        let sums = shop.app.get("/orders/analytics?group_by=month").by(&admin).send().await.expect(200).json;
        println!("analytics: {:?}", begun.elapsed());
        assert_eq!(sums["orders"], 12_466);
        assert_eq!(sums["revenue"], json!({"amount": 74_119_897, "currency": "GBP"}));
        assert_eq!(sums["series"].as_array().unwrap().len(), 13);
        let of_series: i64 = sums["series"].as_array().unwrap().iter().map(|p| p["revenue"]["amount"].as_i64().unwrap()).sum();
        assert_eq!(of_series, 74_119_897);
        shop.app.assert_healthy().await;

        let file = export(&shop, &admin).await;
        assert_eq!(file.lines().count(), 39_140);
        assert_eq!(counts(&import(&shop, &admin, file).await.expect(200).json), [39_139, 0, 0, 12_466, 0]);
    }

    async fn a_past_order_keeps_its_prices_and_needs_neither_stock_nor_account(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (admin, customer) = (shop.bench.tokens.admin(), shop.bench.tokens.customer());
        let rows = "P1,2011-01-01T10:00:00Z,customer-7,France,mug,2,0.10,GBP\nP1,2011-01-01T10:01:00Z,customer-7,France,GONE,1,5.00,GBP\nP1,2011-01-01T10:00:00Z,customer-7,France,MUG,1,0.10,GBP\n";
        let file = format!("{HEADER}{rows}");
        assert_eq!(counts(&import(&shop, &admin, &*file).await.expect(200).json), [3, 1, 0, 0, 0]);
        let list = shop.app.get("/orders").by(&admin).send().await.expect(200).json;
        let order = &list["items"][0];
        assert_eq!(order["number"], "P1");
        assert_eq!(order["imported"], true);
        assert_eq!(order["user_id"], Value::Null);
        assert_eq!((order["status"].as_str(), order["payment_status"].as_str()), (Some("delivered"), Some("captured")));
        assert_eq!(order["created_at"], "2011-01-01T10:00:00.000Z");
        assert_eq!(order["shipping_address"], json!({"country": "France"}));
        assert_eq!(order["total"]["amount"], 530);
        let lines: Vec<_> = order["items"].as_array().unwrap().iter().map(|i| (i["sku"].as_str().unwrap(), i["name"].as_str().unwrap(), i["product_id"].is_null())).collect();
        assert_eq!(lines, vec![("MUG", "Product MUG", false), ("GONE", "GONE", true), ("MUG", "Product MUG", false)]);
        assert_eq!(shop.available("MUG"), 100);
        assert!(shop.app.published::<OrderCreated>().await.is_empty());
        assert_eq!(shop.timeline(order["id"].as_str().unwrap()).await, vec!["created"]);
        let id = order["id"].as_str().unwrap();
        shop.app.get(&format!("/orders/{id}")).by(&customer).send().await.expect_problem(404, "not_found");
        // The catalogue renames the mug: the file still says nothing new.
        shop.sell("GONE", 1, 1);
        assert_eq!(counts(&import(&shop, &admin, &*file).await.expect(200).json), [3, 0, 0, 1, 0]);
        shop.advance(10_000);
        shop.app.work("orders.expire_unpaid").await;
        assert_eq!(shop.state(id).await.0, "delivered");
        shop.app.assert_healthy().await;
    }

    async fn an_import_updates_what_differs_and_leaves_the_shops_own_orders_alone(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (admin, ada) = (shop.bench.tokens.admin(), shop.bench.tokens.customer());
        let with_status = |status: &str, quantity: i64| {
            format!("{}\nP1,2011-01-01T10:00:00Z,c,France,MUG,{quantity},1.00,GBP,{status}\n", HEADER.trim_end().to_owned() + ",status")
        };
        assert_eq!(counts(&import(&shop, &admin, with_status("processing", 1)).await.expect(200).json), [1, 1, 0, 0, 0]);
        assert_eq!(counts(&import(&shop, &admin, with_status("processing", 1)).await.expect(200).json), [1, 0, 0, 1, 0]);
        assert_eq!(counts(&import(&shop, &admin, with_status("processing", 3)).await.expect(200).json), [1, 0, 1, 0, 0]);
        let list = shop.app.get("/orders").by(&admin).send().await.expect(200).json;
        let id = list["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(list["items"][0]["total"]["amount"], 300);
        assert_eq!(shop.timeline(&id).await, vec!["created", "updated"]);
        // An imported order lives on like any other, but holds no stock.
        shop.set_status(&admin, &id, "shipped").await.expect(200);
        assert_eq!(shop.app.published::<OrderStatusChanged>().await[0].reservation_id, None);
        // A file without a status says nothing about it.
        let silent = format!("{HEADER}P1,2011-01-01T10:00:00Z,c,France,MUG,3,1.00,GBP\n");
        assert_eq!(counts(&import(&shop, &admin, silent).await.expect(200).json), [1, 0, 0, 1, 0]);

        let own = shop.place(&ada, &[("MUG", 2)]).await;
        let number = shop.order(&ada, &own).await["number"].as_str().unwrap().to_owned();
        let stolen = format!("{HEADER}{number},2011-01-01T10:00:00Z,c,France,MUG,3,1.00,GBP\n");
        let refused = import(&shop, &admin, stolen).await.expect(200).json;
        assert_eq!(counts(&refused), [1, 0, 0, 0, 1]);
        assert_eq!((refused["refusals"][0]["line"].as_i64(), refused["refusals"][0]["record"].as_str()), (Some(2), Some(&*number)));
        let file = export(&shop, &admin).await;
        assert_eq!(counts(&import(&shop, &admin, file).await.expect(200).json), [2, 0, 0, 2, 0]);
        shop.app.assert_healthy().await;
    }

    async fn one_bad_line_refuses_its_order_and_the_rest_goes_in(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let good = |number: &str| format!("{number},2011-01-01T10:00:00Z,c,France,MUG,1,1.00,GBP\n");
        let bad: Vec<(&str, &str)> = vec![
            ("B1,2011-01-01T10:00:00Z,c,France,MUG,1,0.001,GBP", "0.001 GBP"),
            ("B1,yesterday,c,France,MUG,1,1.00,GBP", "placed_at"),
            ("B1,2011-01-01T10:00:00Z,c,France,a/b,1,1.00,GBP", "sku"),
            ("B1,2011-01-01T10:00:00Z,c,France,MUG,0,1.00,GBP", "quantity"),
            ("B1,2011-01-01T10:00:00Z,c,France,MUG,-1,1.00,GBP", "quantity"),
            ("B1,2011-01-01T10:00:00Z,c,France,MUG,1,-1.00,GBP", "unit_price"),
            ("B1,2011-01-01T10:00:00Z,c,France,MUG,1,1.00,EUR", "currency"),
            ("B1,2011-01-01T10:00:00Z,c,France,MUG,2,92233720368547758.07,GBP", "too large"),
        ];
        for (line, reason) in bad {
            let file = format!("{HEADER}{}{}{line}\n{}{}", good("A1"), good("B1"), good("B1"), good("C1"));
            let summary = import(&shop, &admin, file).await.expect(200).json;
            assert_eq!(counts(&summary)[4], 1, "{summary}");
            assert_eq!((summary["refusals"][0]["line"].as_i64(), summary["refusals"][0]["record"].as_str()), (Some(4), Some("B1")));
            assert!(summary["refusals"][0]["reason"].as_str().unwrap().contains(reason), "{summary}");
        }
        assert_eq!(shop.count("orders").await, 2);
        let nameless = format!("{HEADER}{}{}{}", good(""), good(&"x".repeat(65)), good("D1"));
        let summary = import(&shop, &admin, nameless).await.expect(200).json;
        assert_eq!(counts(&summary), [3, 1, 0, 0, 2]);
        let scattered = format!("{HEADER}{}{}{}", good("E1"), good("F1"), good("E1"));
        let summary = import(&shop, &admin, scattered).await.expect(200).json;
        assert_eq!(counts(&summary), [3, 2, 0, 0, 1]);
        assert_eq!((summary["refusals"][0]["line"].as_i64(), summary["refusals"][0]["record"].as_str()), (Some(4), Some("E1")));
        assert_eq!(shop.count("import_numbers").await, 0);
        shop.app.assert_healthy().await;
    }

    async fn numbers_that_come_back_far_apart_are_noticed(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let row = |n: usize| format!("N{n},2011-01-01T10:00:00Z,c,France,MUG,1,1.00,GBP\n");
        let file: String = HEADER.to_owned() + &(0..450).map(row).collect::<String>() + &row(0);
        assert_eq!(counts(&import(&shop, &admin, file).await.expect(200).json), [451, 450, 0, 0, 1]);
    }

    async fn two_imports_of_one_file_at_once_write_each_order_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let admin = shop.bench.tokens.admin();
        let row = |n: usize| format!("N{n},2011-01-01T10:00:00Z,c,France,MUG,1,1.00,GBP\n");
        let file: String = HEADER.to_owned() + &(0..600).map(row).collect::<String>();
        let (left, right) = futures_util::future::join(import(&shop, &admin, &*file), import(&shop, &admin, &*file)).await;
        let (left, right) = (counts(&left.expect(200).json), counts(&right.expect(200).json));
        assert_eq!((left[1] + right[1], left[3] + right[3]), (600, 600));
        assert_eq!(shop.count("order_lines").await, 600);
        shop.app.assert_healthy().await;
    }

    async fn files_are_for_admins(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (admin, customer) = (shop.bench.tokens.admin(), shop.bench.tokens.customer());
        import(&shop, &customer, HEADER).await.expect_problem(403, "forbidden");
        shop.app.post("/orders/import").body("text/csv", HEADER).send().await.expect_problem(401, "unauthenticated");
        shop.app.post("/orders/import").by(&admin).json(json!({})).send().await.expect_problem(415, "unsupported_media_type");
        import(&shop, &admin, "order_number,sku\n1,2\n").await.expect_problem(400, "csv_malformed");
        assert_eq!(counts(&import(&shop, &admin, HEADER).await.expect(200).json), [0, 0, 0, 0, 0]);
        *shop.catalog.down.lock().unwrap() = true;
        let row = format!("{HEADER}N,2011-01-01T10:00:00Z,c,France,MUG,1,1.00,GBP\n");
        import(&shop, &admin, row).await.expect_problem(503, "unavailable");
        shop.app.get("/orders/export").by(&customer).send().await.expect_problem(403, "forbidden");
        shop.app.get("/orders/export").send().await.expect_problem(401, "unauthenticated");
    }
}
