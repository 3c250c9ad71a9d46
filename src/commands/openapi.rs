//! `souk openapi`.

use std::process::ExitCode;

use platform::module::AnyError;
use serde_json::{Map, Value};

use crate::commands::{close_shop, open_shop, say};
use crate::docs::document;
use crate::settings::Settings;

/// Writes one document, or an object of all of them.
pub(crate) async fn openapi(settings: &Settings, only: Option<&str>) -> Result<ExitCode, AnyError> {
    let (shop, databases) = open_shop(settings).await?;
    let documents: Map<String, Value> = shop
        .modules
        .iter()
        .map(|module| Ok((module.name().to_owned(), serde_json::to_value(document(module.as_ref()))?)))
        .collect::<Result<_, serde_json::Error>>()?;
    close_shop(shop, databases).await?;
    let text = match only {
        None => serde_json::to_string_pretty(&documents)?,
        Some(module) => {
            let document = documents.get(module).ok_or_else(|| {
                let names: Vec<&str> = documents.keys().map(String::as_str).collect();
                format!("there is no module {module}; there are {}", names.join(", "))
            })?;
            serde_json::to_string_pretty(document)?
        }
    };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}
