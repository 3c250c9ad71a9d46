//! What is true after a story, as its customer and the shopkeeper see it.

use deployments::Person;
use serde_json::{Value, json};

use crate::careful::Careful;
use crate::journeys::Scene;

/// The facts, without ids and times: `expected` of each journey is compared with them.
pub async fn facts(client: &Careful, scene: &Scene) -> Value {
    let Scene { customer, admin, sku, .. } = scene;
    let mut orders = Vec::new();
    for order in items(client, customer, "/orders").await {
        let path = format!("/orders/{}/timeline", order["id"].as_str().unwrap());
        let timeline = client.get(customer, &path).await;
        let mut steps: Vec<String> = timeline["events"].as_array().unwrap().iter().map(step).collect();
        // Only the events of one payment follow each other: what became of an earlier one may be heard later.
        steps.sort_by_key(|step| (step != "created", step != "payment_failed"));
        orders.push(json!({
            "is": line(&[&order["status"], &order["payment_status"], &order["total"]["amount"]]),
            "was": steps,
        }));
    }
    let payments: Vec<String> = items(client, customer, "/payments")
        .await
        .iter()
        .map(|payment| {
            let amounts = ["amount", "captured", "refunded"].map(|name| &payment[name]["amount"]);
            line(&[&payment["status"], amounts[0], amounts[1], amounts[2]])
        })
        .collect();
    let level = client.get(admin, &format!("/inventory/{sku}")).await;
    let moved = items(client, admin, &format!("/inventory/{sku}/movements")).await;
    let cart = client.get(customer, "/cart").await;
    json!({
        "orders": orders,
        "payments": sorted(payments),
        "stock": line(&[&level["on_hand"], &level["reserved"]]),
        "moved": sorted(moved.iter().map(|it| line(&[&it["kind"], &it["change"]])).collect()),
        "cart": cart["items"].as_array().unwrap().len(),
        "mails": sorted(items(client, customer, "/notifications").await.iter().map(mail).collect()),
    })
}

/// A list with up to a hundred items; no story makes more.
async fn items(client: &Careful, person: &Person, path: &str) -> Vec<Value> {
    let page = client.get(person, &format!("{path}?limit=100")).await;
    page["items"].as_array().unwrap().clone()
}

/// A step of a timeline: what happened, and where to.
fn step(event: &Value) -> String {
    match event["to"].as_str() {
        Some(to) => format!("{} {to}", event["type"].as_str().unwrap_or_default()),
        None => event["type"].as_str().unwrap_or_default().to_owned(),
    }
}

fn mail(mail: &Value) -> String {
    match mail["status"].as_str() {
        Some("sent") => mail["template"].as_str().unwrap_or_default().to_owned(),
        _ => line(&[&mail["template"], &mail["status"]]),
    }
}

fn line(values: &[&Value]) -> String {
    let text = |value: &&Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// Different things happen side by side; the order among them is no fact.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}
