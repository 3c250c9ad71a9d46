//! An event that nobody can read: it must become a dead letter, once or more often, and never be lost.

use std::process::Command;

use deployments::{Running, text};
use serde_json::{Value, json};

use crate::journeys::Scene;

/// Writes it into the outbox of orders, as no version of the program would.
pub fn emit(running: &Running, scene: &mut Scene) -> Result<(), String> {
    let (event, aggregate) = (testkit::fresh_id(), testkit::fresh_id());
    let url = running.database_url().ok_or("poison needs PostgreSQL")?;
    let insert = format!(
        "INSERT INTO orders.outbox (event_id, event_type, aggregate_id, payload, occurred_at_ms, claimed_until_ms, attempts)
         VALUES ('{event}', 'order.updated', '{aggregate}', '{{}}', (extract(epoch FROM now()) * 1000)::bigint, 0, 0)"
    );
    let mut psql = Command::new("psql");
    let output = psql.args(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", &insert]).output();
    let output = output.map_err(text)?;
    scene.poison = Some(event.to_string());
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Whether it lies among the dead letters, and where else.
pub fn facts(running: &Running, scene: &Scene) -> Value {
    let listed = running.operate(&["events", "dead", "list", "--json"]).and_then(|listed| listed.json());
    let letters = listed.as_ref().map(|listed| &listed["dead"]).ok().and_then(Value::as_array);
    let places: std::collections::BTreeSet<String> = letters
        .into_iter()
        .flatten()
        .filter(|letter| scene.poison.is_some() && letter["event_id"].as_str() == scene.poison.as_deref())
        .map(|letter| {
            format!(
                "{} {}",
                letter["place"].as_str().unwrap_or_default(),
                letter["module"].as_str().unwrap_or_default()
            )
        })
        .collect();
    json!({"dead": places})
}

/// The doctor names the dead letters, and nothing else.
pub fn assert_named(running: &Running) -> Result<(), String> {
    let sick = running.ask_the_doctor()?;
    match sick.as_slice() {
        [only] if only.contains("events.none_dead") => Ok(()),
        _ => Err(format!("the doctor should name the dead letters only:\n{}", sick.join("\n"))),
    }
}
