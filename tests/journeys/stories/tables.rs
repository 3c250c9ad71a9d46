//! Tables that go in and out.

use serde_json::{Value, json};

use deployments::{Person, Shop, pence};

/// Reads a table in, as it is and as an upload of a form; gives both summaries.
async fn import(shop: &Shop, admin: &Person, module: &str, table: &str) -> Value {
    let path = format!("/{module}/import");
    let summary = shop.post(&path).bearer(&admin.token).body("text/csv", table).send().await.expect(200).json;
    let form = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"t.csv\"\r\nContent-Type: text/csv\r\n\r\n\
         {table}\r\n--edge--\r\n"
    );
    let again = shop.post(&path).bearer(&admin.token).body("multipart/form-data; boundary=edge", form);
    let again = again.send().await.expect(200).json;
    assert_eq!((&again["created"], &again["updated"]), (&json!(0), &json!(0)), "{module}: {again}");
    summary
}

/// The rows of a table that begin with this, in order, with its head.
async fn exported(shop: &Shop, admin: &Person, module: &str, beginning: &str) -> String {
    let path = format!("/{module}/export");
    let table = shop.get(&path).bearer(&admin.token).unrecorded().send().await.expect(200);
    assert!(table.header("content-type").starts_with("text/csv"), "{module}");
    let mut rows: Vec<&str> = table.text.lines().skip(1).filter(|row| row.starts_with(beginning)).collect();
    rows.sort_unstable();
    let table = format!("{}\n{}\n", table.text.lines().next().unwrap_or_default(), rows.join("\n"));
    shop.note(&path, &table);
    table
}

pub async fn products_and_stock_go_in_and_out_as_tables(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    let products = "sku,name,category,price\nTABLE-A,Good,Tables,29.99\nTABLE-BAD,Bad,Tables,abc\nTABLE-B,=1+1,Tables,0.05\n";
    let summary = import(shop, &admin, "catalog", products).await;
    assert_eq!((&summary["created"], &summary["refused"]), (&json!(2), &json!(1)), "{summary}");
    assert_eq!(summary["refusals"][0]["line"], 3);
    let good = shop.get("/products/TABLE-A").send().await.expect(200).json;
    assert_eq!(good["price"], pence(2_999), "a decimal price is read from a table");
    let stock = "sku,on_hand\nTABLE-A,60\nTABLE-BAD,-1\n";
    let summary = import(shop, &admin, "inventory", stock).await;
    assert_eq!(summary["refused"], 1, "{summary}");
    assert_eq!(shop.available(&ada, "TABLE-A").await, 60);
    let table = exported(shop, &admin, "catalog", "TABLE-").await;
    assert!(table.contains("'=1+1"), "a formula is defused: {table}");
    exported(shop, &admin, "inventory", "TABLE-").await;
    for module in ["catalog", "inventory", "users", "orders"] {
        shop.get(&format!("/{module}/export"))
            .bearer(&ada.token)
            .send()
            .await
            .expect_problem(403, "forbidden");
        let path = format!("/{module}/import");
        shop.post(&path)
            .bearer(&ada.token)
            .body("text/csv", "a")
            .send()
            .await
            .expect_problem(403, "forbidden");
        let json = shop.post(&path).bearer(&admin.token).json(json!({})).send().await;
        json.expect_problem(415, "unsupported_media_type");
    }
}

pub async fn users_go_in_and_out_as_a_table(shop: &Shop) {
    let admin = shop.admin().await;
    let table = "email,name\ntable-good@example.com,Good\nno address,Bad\n";
    let summary = import(shop, &admin, "users", table).await;
    assert_eq!((&summary["created"], &summary["refusals"][0]["line"]), (&json!(1), &json!(3)), "{summary}");
    exported(shop, &admin, "users", "table-").await;
    let found =
        shop.get("/users?email=table-good@example.com").bearer(&admin.token).send().await.expect(200).json;
    assert_eq!(found["items"][0]["name"], "Good");
}

pub async fn past_orders_go_in_and_out_as_a_table_and_are_counted(shop: &Shop) {
    let admin = shop.admin().await;
    let table = "order_number,placed_at,customer,country,sku,quantity,unit_price,currency\n\
        TABLE-1,1975-01-01T10:00:00Z,c1,France,TABLE-PAST,2,1.50,GBP\n\
        TABLE-1,1975-01-01T10:00:00Z,c1,France,TABLE-OLD,1,4.00,GBP\n\
        TABLE-2,1975-02-03T11:00:00Z,c2,Spain,TABLE-PAST,1,1.50,GBP\n\
        TABLE-3,yesterday,c3,Spain,TABLE-PAST,1,1.50,GBP\n";
    let summary = import(shop, &admin, "orders", table).await;
    assert_eq!(summary["refused"], 1, "{summary}");
    exported(shop, &admin, "orders", "TABLE-").await;
    // Nobody else has orders of that year.
    for group_by in ["day", "month", "country"] {
        let path = format!("/orders/analytics?from=1975-01-01&to=1976-01-01&group_by={group_by}");
        let sums = shop.get(&path).bearer(&admin.token).send().await.expect(200).json;
        assert_eq!((&sums["orders"], &sums["revenue"]), (&json!(2), &pence(850)), "{sums}");
    }
    let listed =
        shop.get("/orders?from=1975-01-01&to=1976-01-01").bearer(&admin.token).send().await.expect(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    shop.get("/orders/analytics?group_by=colour")
        .bearer(&admin.token)
        .send()
        .await
        .expect_problem(400, "invalid_query");
}
