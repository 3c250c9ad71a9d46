//! `souk keys`: the keys that sign access tokens. A shop that runs beside it notices within seconds.

use std::process::ExitCode;

use platform::module::AnyError;

use crate::commands::{close_shop, open_shop, say};
use crate::settings::Settings;

pub(crate) async fn rotate(settings: &Settings, now: bool) -> Result<ExitCode, AnyError> {
    let (shop, databases) = open_shop(settings).await?;
    let rotated = shop.rotate_keys(now).await;
    close_shop(shop, databases).await?;
    let rotated = rotated?;
    say(&format!("the key {} signs from now on", rotated.kid))?;
    match now {
        true => say("tokens of the keys before it are refused")?,
        false => say(&format!("tokens of the key before it are valid until {} at most", rotated.until))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn list(settings: &Settings, json: bool) -> Result<ExitCode, AnyError> {
    let (shop, databases) = open_shop(settings).await?;
    let keys = shop.list_keys().await;
    close_shop(shop, databases).await?;
    let keys = keys?;
    if json {
        say(&serde_json::to_string_pretty(&keys)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for key in keys {
        let until = key.verifies_until.map(|until| format!(", verifies until {until}")).unwrap_or_default();
        say(&format!("{}  {}, created {}{until}", key.kid, key.state, key.created_at))?;
    }
    Ok(ExitCode::SUCCESS)
}
