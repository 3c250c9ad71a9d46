//! Reading orders: lists, filters, and who may see what.

use serde_json::{Value, json};
use testkit::{Engine, TestUser, fresh_id};

use crate::support::Shop;

async fn ids(shop: &Shop, reader: &TestUser, query: &str) -> Vec<String> {
    let list = shop.app.get(query).by(reader).send().await.expect(200).json;
    list["items"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
}

testkit::on_every_database! {
    async fn another_customers_order_does_not_exist_on_any_route(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, eve) = (shop.bench.tokens.customer(), shop.bench.tokens.customer());
        let id = shop.place(&ada, &[("MUG", 1)]).await;
        let unknown = fresh_id().to_string();
        let status = json!({"status": "cancelled"});
        let routes: Vec<(&str, &str, Option<Value>)> = vec![
            ("GET", "/orders/{id}", None),
            ("GET", "/orders/{id}/timeline", None),
            ("POST", "/orders/{id}/cancel", None),
            ("PATCH", "/orders/{id}/status", Some(status)),
        ];
        for (method, path, body) in routes {
            let call = |id: &str| {
                let sent = shop.app.call(method, &path.replace("{id}", id));
                match &body {
                    Some(body) => sent.json(body.clone()),
                    None => sent,
                }
            };
            call(&id).send().await.expect_problem(401, "unauthenticated");
            let (foreign, missing) = (call(&id).by(&eve).send().await, call(&unknown).by(&eve).send().await);
            assert_eq!(foreign.text, missing.text, "{method} {path}");
            foreign.expect_problem(404, "not_found");
            call("not-a-uuid").by(&eve).send().await.expect_problem(404, "not_found");
            call(&unknown).by(&shop.bench.tokens.admin()).send().await.expect_problem(404, "not_found");
        }
        let of_ada = format!("/orders/user/{}", ada.id);
        shop.app.get(&of_ada).send().await.expect_problem(401, "unauthenticated");
        shop.app.get(&of_ada).by(&eve).send().await.expect_problem(404, "not_found");
        let filtered = format!("/orders?user_id={}", ada.id);
        shop.app.get(&filtered).by(&eve).send().await.expect_problem(404, "not_found");
        assert_eq!(shop.state(&id).await.0, "pending");
        shop.app.get("/orders").send().await.expect_problem(401, "unauthenticated");
    }

    async fn a_customer_lists_their_own_and_an_admin_all(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, bob, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let first = shop.place(&ada, &[("MUG", 1), ("LAMP", 2)]).await;
        // Others' orders lie between: the owner's filter comes before the limit.
        for _more in 0..5 {
            shop.place(&bob, &[("MUG", 1)]).await;
        }
        let second = shop.place(&ada, &[("MUG", 1)]).await;
        assert_eq!(ids(&shop, &ada, "/orders?limit=2").await, vec![second.clone(), first.clone()]);
        assert_eq!(ids(&shop, &ada, &format!("/orders/user/{}", ada.id)).await, vec![second.clone(), first.clone()]);
        assert_eq!(ids(&shop, &admin, &format!("/orders/user/{}", ada.id)).await.len(), 2);
        assert_eq!(ids(&shop, &admin, &format!("/orders?user_id={}", bob.id)).await.len(), 5);
        assert_eq!(ids(&shop, &ada, &format!("/orders?user_id={}", ada.id)).await.len(), 2);
        assert_eq!(ids(&shop, &admin, "/orders?limit=100").await.len(), 7);
        let list = shop.app.get("/orders").by(&ada).send().await.expect(200).json;
        assert_eq!(list["items"][1]["items"].as_array().unwrap().len(), 2);
        assert!(list["next_cursor"].is_null());
        // A list reads its rows in another way than an order alone.
        for listed in list["items"].as_array().unwrap() {
            let alone = shop.app.get(&format!("/orders/{}", listed["id"].as_str().unwrap())).by(&ada).send().await;
            assert_eq!(*listed, alone.expect(200).json);
        }

        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = shop.app.get(&format!("/orders?limit=3{next}")).by(&admin).send().await.expect(200).json;
            seen.extend(page["items"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()));
            // An order that comes in between does not shift the pages.
            shop.place(&bob, &[("MUG", 1)]).await;
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 7);
        assert_eq!((seen.first(), seen.last()), (Some(&second), Some(&first)));
    }

    async fn lists_are_filtered_by_status_and_time(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.bench.tokens.customer();
        let first = shop.place(&ada, &[("MUG", 1)]).await;
        shop.cancel(&ada, &first).await.expect(200);
        shop.advance(60);
        let second = shop.place(&ada, &[("MUG", 1)]).await;
        assert_eq!(ids(&shop, &ada, "/orders?status=cancelled").await, vec![first.clone()]);
        assert_eq!(ids(&shop, &ada, "/orders?status=shipped").await, Vec::<String>::new());
        let at = shop.order(&ada, &second).await["created_at"].as_str().unwrap().to_owned();
        assert_eq!(ids(&shop, &ada, &format!("/orders?from={at}")).await, vec![second]);
        assert_eq!(ids(&shop, &ada, &format!("/orders?to={at}")).await, vec![first]);
        assert_eq!(ids(&shop, &ada, "/orders?from=2020-01-01&to=2020-01-02").await, Vec::<String>::new());
        for bad in ["status=lost", "from=x", "limit=0", "limit=101", "sort=x", "cursor=zz", "user_id=x", "from=2020-01-02&to=2020-01-01"] {
            shop.app.get(&format!("/orders?{bad}")).by(&ada).send().await.expect_problem(400, "invalid_query");
        }
    }

    async fn the_doctor_names_what_was_tampered_with(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.bench.tokens.customer();
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let number = shop.order(&ada, &id).await["number"].as_str().unwrap().to_owned();
        shop.app.assert_healthy().await;
        shop.execute("UPDATE orders SET total_minor = 9").await;
        let sick: Vec<_> = shop.app.module().doctor().await.unwrap().into_iter().filter(|check| !check.holds()).collect();
        assert_eq!(sick.len(), 1, "{sick:?}");
        assert_eq!((sick[0].name, &sick[0].violations), ("orders.lines_add_up", &vec![format!("{number}: 9 in total, 1700 by its lines")]));
        // The rest the schema refuses outright.
        use sea_orm::ConnectionTrait;
        let writer = shop.app.module().db().writer();
        for forbidden in [
            "UPDATE orders SET refunded_minor = 10",
            "UPDATE orders SET status = 'lost'",
            "UPDATE orders SET payment_status = 'captured'",
            "UPDATE orders SET reservation_id = NULL",
            "UPDATE orders SET status = 'cancelled'",
            "UPDATE orders SET user_id = NULL",
            "UPDATE order_lines SET line_total_minor = 1",
            "UPDATE order_lines SET quantity = 0, line_total_minor = 0",
        ] {
            assert!(writer.execute_unprepared(forbidden).await.is_err(), "{forbidden}");
        }
    }
}
