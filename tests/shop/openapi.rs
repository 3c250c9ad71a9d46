//! The documents: what they say of every operation, and that they change only on purpose.

use contracts::scopes::Scope;
use platform::access::policy::Policies;
use platform::system::System;
use serde_json::{Value, json};
use souk::docs::{Docs, document};
use souk::route_table::RouteTable;
use souk::wiring::{Databases, Shop};
use testkit::Engine;

use crate::support::Place;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

async fn shop_without_server() -> (Shop, Place) {
    let place = Place::new(Engine::Sqlite).await;
    let settings = place.settings();
    let system = System::real();
    let databases = Databases::open(&settings, &system).await.unwrap();
    souk::server::prepare_schemas(&settings, &databases).await.unwrap();
    (Shop::assemble(&settings, &databases, system).await.unwrap(), place)
}

/// Every operation as `METHOD path` with its description.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS.iter().filter_map(move |method| {
                item.get(method).map(|operation| (format!("{} {path}", method.to_uppercase()), operation))
            })
        })
        .collect()
}

#[test]
fn documents_change_only_on_purpose() {
    testkit::run(async {
        let (shop, _place) = shop_without_server().await;
        for module in &shop.modules {
            let document = serde_json::to_value(document(module.as_ref())).unwrap();
            insta::assert_json_snapshot!(format!("openapi-{}", module.name()), document);
        }
    });
}

#[test]
fn error_codes_change_only_on_purpose() {
    testkit::run(async {
        let (shop, _place) = shop_without_server().await;
        let (mut routes, mut policies) = (RouteTable::default(), Policies::default());
        let docs = Docs::of(&shop.modules, &mut routes, &mut policies).unwrap();
        let table: Vec<String> = docs
            .error_codes()
            .iter()
            .map(|code| format!("{} {}: {}", code.status, code.code, code.title))
            .collect();
        insta::assert_snapshot!("error-codes", table.join("\n"));
    });
}

#[test]
fn every_operation_says_what_it_does_how_it_fails_and_shows_an_example() {
    testkit::run(async {
        let (shop, _place) = shop_without_server().await;
        let mut missing = Vec::new();
        for module in &shop.modules {
            let document = serde_json::to_value(document(module.as_ref())).unwrap();
            for (name, operation) in operations(&document) {
                let mut miss = |what: &str| missing.push(format!("{name}: {what}"));
                if operation["summary"].as_str().is_none_or(|summary| summary.len() < 6) {
                    miss("no summary");
                }
                let responses = operation["responses"].as_object().unwrap();
                if !responses.keys().any(|status| status.starts_with('2')) {
                    miss("no success");
                }
                if !responses.contains_key("default") {
                    miss("no default error");
                }
                // The policy: `{}` lets everyone in.
                let policy = operation["security"].as_array().cloned().unwrap_or_default();
                if policy.is_empty() {
                    miss("no policy");
                }
                let guarded = !policy.iter().any(|one| one == &json!({}));
                for status in ["401", "403"] {
                    if guarded && !responses.contains_key(status) {
                        miss(&format!("guarded, but no {status}"));
                    }
                }
                for (status, response) in responses {
                    let is_problem = response["content"].get("application/problem+json").is_some();
                    if (status.starts_with('4') || status.starts_with('5')) && !is_problem {
                        miss(&format!("{status} is no problem+json"));
                    }
                }
                if !has_example(operation, &document) {
                    miss("no example");
                }
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    });
}

#[test]
fn a_customers_key_may_have_the_scopes_that_customers_can_use() {
    testkit::run(async {
        let (shop, _place) = shop_without_server().await;
        let mut usable = std::collections::BTreeSet::new();
        for module in &shop.modules {
            let document = serde_json::to_value(document(module.as_ref())).unwrap();
            for (_, operation) in operations(&document) {
                let needs = operation["security"].as_array().unwrap().iter();
                let needs: Vec<&str> = needs
                    .filter_map(|one| one["api_key"].as_array())
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                if !needs.contains(&"admin") {
                    usable.extend(needs.into_iter().map(str::to_owned));
                }
            }
        }
        for scope in Scope::all() {
            assert_eq!(scope.is_for_customers(), usable.contains(&scope.to_string()), "{scope}");
        }
    });
}

/// An example in the operation itself or in any schema it refers to; an operation without any body needs none.
fn has_example(operation: &Value, document: &Value) -> bool {
    let bodies: Vec<&Value> = operation["responses"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(status, _)| status.starts_with('2'))
        .map(|(_, response)| &response["content"])
        .chain([&operation["requestBody"]["content"], &operation["parameters"]])
        .filter(|content| !content.is_null())
        .collect();
    bodies.is_empty() || bodies.iter().any(|content| mentions_example(content, document, 0))
}

fn mentions_example(value: &Value, document: &Value, depth: usize) -> bool {
    if depth > 12 {
        return false;
    }
    match value {
        Value::Object(fields) => {
            if fields.contains_key("example") || fields.contains_key("examples") {
                return true;
            }
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let target = document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
                return mentions_example(target, document, depth + 1);
            }
            fields.values().any(|field| mentions_example(field, document, depth + 1))
        }
        Value::Array(items) => items.iter().any(|item| mentions_example(item, document, depth + 1)),
        _ => false,
    }
}
