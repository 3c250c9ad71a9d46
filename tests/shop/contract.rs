//! What every path has in common: errors, limits, forms of a path, health.

use serde_json::json;
use testkit::Engine;

use crate::support::Shop;

testkit::on_every_database! {
    async fn every_error_is_a_problem_with_its_trace(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.demo_customer().await;
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let traced = shop.get("/nowhere").header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")).send().await;
        let traced = traced.expect_problem(404, "not_found");
        assert_eq!((traced.json["trace_id"].as_str(), traced.header("trace-id")), (Some(trace), trace));
        assert_eq!(traced.json["type"], "/docs/errors#not_found");
        for field in ["title", "status", "detail"] {
            assert!(!traced.json[field].is_null(), "{}", traced.text);
        }

        let wrong_method = shop.call("PUT", "/orders").send().await.expect_problem(405, "method_not_allowed");
        assert_eq!(wrong_method.header("allow"), "GET, HEAD, POST");
        shop.call("DELETE", "/health").send().await.expect_problem(405, "method_not_allowed");
        let order = || shop.post("/orders").bearer(&ada.token).key("k");
        order().body("text/plain", "x").send().await.expect_problem(415, "unsupported_media_type");
        order().body("application/json", "{").send().await.expect_problem(400, "malformed_json");
        let misplaced = order().json(json!({"items": [{"sku": "MUG-BLUE", "quantity": "many"}]})).send().await;
        assert_eq!(misplaced.expect_problem(400, "invalid_body").json["errors"][0]["pointer"], "/items/0/quantity");
        let deep = format!("{{\"items\":{}{}}}", "[".repeat(200), "]".repeat(200));
        order().body("application/json", deep).send().await.expect_problem(400, "malformed_json");
        let large = format!("{{\"items\":[],\"note\":\"{}\"}}", "x".repeat(300_000));
        order().body("application/json", large).send().await.expect_problem(413, "payload_too_large");
        shop.get("/orders?colour=red").bearer(&ada.token).send().await.expect_problem(400, "invalid_query");
        shop.get("/orders/not-an-id").bearer(&ada.token).send().await.expect_problem(404, "not_found");
        shop.get("/orders").header("Authorization", "Bearer x.y.z").send().await.expect_problem(401, "unauthenticated");
        shop.get("/orders").header("Authorization", "Basic eDp5").send().await.expect_problem(401, "unauthenticated");
        order().key("second").json(json!({})).send().await.expect_problem(400, "invalid_header");
        let many: Vec<_> = (0..101).map(|n| json!({"sku": format!("S{n}"), "quantity": 1})).collect();
        let too_many = order().json(json!({"items": many})).send().await;
        assert_eq!(too_many.status, 422, "{}", too_many.text);
    }

    async fn a_path_means_the_same_with_a_slash_and_under_its_alias(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.demo_customer().await;
        let canonical = shop.get("/catalog/products?limit=3").send().await.expect(200);
        for alias in ["/catalog/products/?limit=3", "/products?limit=3", "/products/?limit=3"] {
            assert_eq!(shop.get(alias).send().await.expect(200).json, canonical.json, "{alias}");
        }
        shop.get("/products/MUG-BLUE/").send().await.expect(200);
        shop.get("/productsx").send().await.expect_problem(404, "not_found");
        for path in ["/pay", "/pay/", "/payments/"] {
            shop.get(path).bearer(&ada.token).send().await.expect(200);
        }
        // A POST with a slash at the end stays a POST.
        shop.post("/auth/login/").json(json!({"email": "demo@test.com", "password": "password123"})).send().await.expect(200);
        let head = shop.call("HEAD", "/products/MUG-BLUE").send().await.expect(200);
        assert!(head.text.is_empty());
    }

    async fn the_process_and_every_module_tell_their_health(engine: Engine) {
        let shop = Shop::open(engine).await;
        for path in ["/health", "/livez", "/readyz"] {
            assert_eq!(shop.get(path).send().await.expect(200).json, json!({"status": "healthy", "service": "souk"}));
        }
        for module in souk::wiring::MODULE_NAMES {
            for path in ["health", "healthz"] {
                let answer = shop.get(&format!("/{module}/{path}")).send().await.expect(200);
                assert_eq!(answer.json, json!({"status": "healthy", "service": module}));
            }
        }
        let metrics = shop.get("/metrics").send().await.expect(200).text;
        assert!(metrics.contains("http_requests_total"), "{metrics}");
    }

    async fn docs_work_without_a_network(engine: Engine) {
        let shop = Shop::open(engine).await;
        let index = shop.get("/docs").send().await.expect(200).text;
        let errors = shop.get("/docs/errors").send().await.expect(200).text;
        assert!(errors.contains("id=\"insufficient_stock\"") && errors.contains("id=\"not_found\""));
        for module in souk::wiring::MODULE_NAMES {
            assert!(index.contains(&format!("href=\"/{module}/docs\"")), "{index}");
            let page = shop.get(&format!("/{module}/docs/")).send().await.expect(200).text;
            let files: Vec<&str> = page.split('"').filter(|text| text.starts_with(&format!("/{module}/docs/"))).collect();
            assert!(files.len() >= 4 && !page.contains("https://") && !page.contains("\"./"), "{page}");
            for file in files {
                shop.get(file).send().await.expect(200);
            }
            let initializer = shop.get(&format!("/{module}/docs/swagger-initializer.js")).send().await.expect(200).text;
            assert!(initializer.contains(&format!("/{module}/openapi.json")), "{initializer}");
            let document = shop.get(&format!("/{module}/openapi.json")).send().await.expect(200).json;
            assert_eq!(document["openapi"], "3.1.0");
            assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
        }
    }
}
