//! What is for sale, at what price, and how many there are.

use serde_json::{Value, json};

use deployments::{Shop, path_of, pence};

fn skus(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().filter_map(|item| item["sku"].as_str()).collect()
}

pub async fn a_guest_browses_searches_and_pages(shop: &Shop) {
    let admin = shop.admin().await;
    for (sku, price) in
        [("BROWSE-A", 300), ("BROWSE-B", 100), ("BROWSE-C", 200), ("BROWSE-D", 400), ("BROWSE-E", 500)]
    {
        shop.offer(&admin, sku, price, 1).await;
    }
    let odd = json!({"sku": "BROWSE-ODD", "name": "50%_off \\ odd", "price": pence(600), "category": shop.category(),
        "description": "Zwölf Boxkämpfer", "attributes": {"colour": "blue"}});
    shop.post("/catalog/products").bearer(&admin.token).json(odd).send().await.expect(201);
    let category = shop.category().replace(' ', "%20");
    let list = async |query: &str| {
        shop.get(&format!("/catalog/products?category={category}&{query}")).send().await.expect(200).json
    };
    assert_eq!(
        skus(&list("sort=price").await),
        ["BROWSE-B", "BROWSE-C", "BROWSE-A", "BROWSE-D", "BROWSE-E", "BROWSE-ODD"]
    );
    assert_eq!(skus(&list("sort=-price&limit=2").await), ["BROWSE-ODD", "BROWSE-E"]);
    assert_eq!(
        skus(&list("min_price=200&max_price=400&sort=-created_at").await),
        ["BROWSE-D", "BROWSE-C", "BROWSE-A"]
    );
    assert_eq!(skus(&list("search=browse-c").await), ["BROWSE-C"]);
    assert_eq!(skus(&list("search=zw%C3%B6lf").await), ["BROWSE-ODD"]);
    assert_eq!(skus(&list("search=%25_OFF").await), ["BROWSE-ODD"]);
    assert_eq!(skus(&list("search=nothing%20like%20it").await), Vec::<&str>::new());

    // Page by page, each product once.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("sort=name&limit=4{cursor}")).await;
        seen.extend(skus(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6);
    let numbered = list("limit=4&page=2").await;
    assert_eq!(numbered["pagination"], json!({"page": 2, "limit": 4, "total": 6, "pages": 2}));
    for bad in
        ["sort=colour", "limit=0", "limit=101", "cursor=nonsense", "colour=red", "min_price=x", "page=0"]
    {
        let path = format!("/catalog/products?{bad}");
        shop.get(&path).send().await.expect_problem(400, "invalid_query");
    }
    shop.get("/catalog/products/browse-a").send().await.expect(200);
    shop.get("/catalog/products/BROWSE-NONE").send().await.expect_problem(404, "not_found");
    let categories = shop.get("/catalog/categories").unrecorded().send().await.expect(200).json;
    let mine = categories["categories"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == shop.category().as_str());
    assert_eq!(mine.unwrap()["products"], 6);
}

pub async fn what_has_changed_meanwhile_is_not_overwritten(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    shop.offer(&admin, "TAG-MUG", 850, 50).await;
    let put = shop.put("/cart/items/TAG-MUG").bearer(&ada.token).json(json!({"quantity": 1}));
    put.send().await.expect(200);
    let other = shop.newcomer("bob").await;
    let order = shop.order(&other, "order", "TAG-MUG", 1).send().await.expect(201).json;
    let order = path_of("/orders", &order);
    let product = json!({"sku": "TAG-MUG", "name": "Mug", "price": pence(850), "category": shop.category()});
    let stock = "/inventory/TAG-MUG";
    for (person, path, changes) in [
        (&admin, "/products/TAG-MUG", vec![("PUT", "", product), ("PATCH", "", json!({"name": "x"}))]),
        (&ada, "/cart", vec![("PUT", "/items/TAG-MUG", json!({"quantity": 2}))]),
        (
            &admin,
            stock,
            vec![("PUT", "", json!({"on_hand": 40})), ("PATCH", "", json!({"change": 1, "reason": "found"}))],
        ),
        (&admin, order.as_str(), vec![("PATCH", "/status", json!({"status": "confirmed"}))]),
    ] {
        let read = |tag: &str| shop.get(path).bearer(&person.token).header("If-None-Match", tag).send();
        let tag = read("\"none\"").await.expect(200).header("etag").to_owned();
        assert!(tag.starts_with('"'), "{path}: {tag}");
        let unchanged = read(&tag).await.expect(304);
        assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", tag.as_str()), "{path}");
        for (method, below, body) in changes {
            let path_below = format!("{path}{below}");
            let call = |tag: &str| {
                shop.call(method, &path_below)
                    .bearer(&person.token)
                    .header("If-Match", tag)
                    .json(body.clone())
            };
            call("\"stale\"").send().await.expect_problem(412, "precondition_failed");
            let now = shop.get(path).bearer(&person.token).send().await.expect(200).header("etag").to_owned();
            call(&now).send().await.expect(200);
        }
        read(&tag).await.expect(200);
    }
}

pub async fn an_admin_changes_a_price_and_carts_and_orders_follow(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    let product = shop.offer(&admin, "EDIT-PEN", 1_700, 20).await;
    let path = path_of("/catalog/products", &product);
    let put = shop.put("/cart/items/EDIT-PEN").bearer(&ada.token).json(json!({"quantity": 2}));
    assert_eq!(put.send().await.expect(200).json["total"], pence(3_400));
    let before = shop.order(&ada, "before", "EDIT-PEN", 1).send().await.expect(201).json;

    let change = json!({"price": pence(1_900), "name": "Dearer pen"});
    shop.patch(&path).bearer(&ada.token).json(change.clone()).send().await.expect_problem(403, "forbidden");
    shop.patch(&path).bearer(&admin.token).json(change).send().await.expect(200);
    let read = shop.get("/products/EDIT-PEN").send().await.expect(200).json;
    assert_eq!((read["name"].as_str(), &read["price"]), (Some("Dearer pen"), &pence(1_900)));
    // The first order took one piece of the cart's two.
    let cart = shop.until("/cart", &ada, |cart| cart["items"][0]["unit_price"] == pence(1_900)).await;
    assert_eq!(cart["items"][0]["name"], "Dearer pen");
    let after = shop.order(&ada, "after", "EDIT-PEN", 1).send().await.expect(201).json;
    assert_eq!(after["total"], pence(1_900));
    let kept = shop.get(&path_of("/orders", &before)).bearer(&ada.token).send().await.expect(200).json;
    assert_eq!((&kept["total"], &kept["items"]), (&pence(1_700), &before["items"]));

    let twin = json!({"sku": "edit-pen", "name": "Twin", "price": pence(1), "category": "x"});
    shop.post("/catalog/products")
        .bearer(&admin.token)
        .json(twin)
        .send()
        .await
        .expect_problem(409, "sku_taken");
    let bad = json!({"sku": "", "name": "", "price": pence(-1), "category": ""});
    shop.post("/catalog/products").bearer(&admin.token).json(bad).send().await.expect(400);
    let whole = json!({"sku": "EDIT-PEN", "name": "Pen", "price": pence(1_800), "category": shop.category()});
    shop.put(&path).bearer(&admin.token).json(whole).send().await.expect(200);
    let keyed = json!({"sku": "EDIT-INK", "name": "Ink", "price": pence(980), "category": shop.category()});
    let create = || shop.post("/catalog/products").bearer(&admin.token).key("edit-ink").json(keyed.clone());
    create().send().await.expect(201);
    assert_eq!(create().send().await.expect(201).header("idempotency-replayed"), "true");
}

pub async fn a_retired_product_stays_on_the_orders_that_have_it(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    let product = shop.offer(&admin, "RETIRE-MUG", 850, 10).await;
    let by_id = json!({"items": [{"product_id": product["id"], "quantity": 2}]});
    let order =
        shop.post("/orders").bearer(&ada.token).key("order").json(by_id).send().await.expect(201).json;
    let put = shop.put("/cart/items/RETIRE-MUG").bearer(&ada.token).json(json!({"quantity": 1}));
    put.send().await.expect(200);
    shop.delete(&path_of("/catalog/products", &product)).bearer(&admin.token).send().await.expect(204);
    assert_eq!(shop.get("/products/RETIRE-MUG").send().await.expect(200).json["active"], false);
    let kept = shop.get(&path_of("/orders", &order)).bearer(&ada.token).send().await.expect(200).json;
    assert_eq!(kept["items"], order["items"]);
    shop.order(&ada, "again", "RETIRE-MUG", 1).send().await.expect_problem(422, "retired_product");
    let listed = shop
        .get(&format!("/products?category={}", shop.category().replace(' ', "%20")))
        .send()
        .await
        .expect(200);
    assert_eq!(skus(&listed.json), Vec::<&str>::new());
}

pub async fn stock_is_a_ledger(shop: &Shop) {
    let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
    let product = shop.offer(&admin, "LEDGER-CAN", 2_900, 24).await;
    let by_admin = |method: &'static str, path: &str, body: Value| {
        shop.call(method, path).bearer(&admin.token).json(body).send()
    };
    let path = "/inventory/ledger-can";
    by_admin("PUT", path, json!({"on_hand": 30, "low_stock_threshold": 40})).await.expect(200);
    by_admin("PATCH", path, json!({"change": -2, "reason": "broken"})).await.expect(200);
    let of_product = format!("{}/stock", path_of("/catalog/products", &product));
    let level = by_admin("PATCH", &of_product, json!({"change": 5})).await.expect(200).json;
    assert_eq!(shop.get(path).bearer(&ada.token).send().await.expect(200).json, level);
    assert_eq!((level["on_hand"].as_i64(), level["low_stock_threshold"].as_i64()), (Some(33), Some(40)));
    let ledger =
        shop.get("/inventory/LEDGER-CAN/movements").bearer(&admin.token).send().await.expect(200).json;
    let changes: Vec<_> =
        ledger["items"].as_array().unwrap().iter().map(|row| row["change"].as_i64().unwrap()).collect();
    assert_eq!(changes, [5, -2, 6, 24]);
    let low = shop.all("/inventory", &ada).await;
    assert!(low.iter().any(|level| level["sku"] == "LEDGER-CAN"), "{low:?}");
    // What orders hold cannot be taken away by either way.
    shop.order(&ada, "order", "LEDGER-CAN", 30).send().await.expect(201);
    by_admin("PATCH", path, json!({"change": -4, "reason": "broken"}))
        .await
        .expect_problem(409, "insufficient_stock");
    by_admin("PATCH", &of_product, json!({"change": -4})).await.expect_problem(409, "insufficient_stock");
    by_admin("PUT", path, json!({"on_hand": 29})).await.expect_problem(409, "insufficient_stock");
    by_admin("PUT", path, json!({"on_hand": -1})).await.expect(400);
    shop.put(path)
        .bearer(&ada.token)
        .json(json!({"on_hand": 1}))
        .send()
        .await
        .expect_problem(403, "forbidden");
    shop.get("/inventory/LEDGER-NONE").bearer(&ada.token).send().await.expect_problem(404, "not_found");
}
