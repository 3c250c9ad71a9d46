//! `souk health`.

use std::process::ExitCode;
use std::time::Duration;

use platform::module::AnyError;

use crate::commands::{complain, say};
use crate::settings::Settings;

/// How long the process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the process that serves with these settings whether it is ready. The exit code says so: this is the health check
/// of the container, which has no other program to ask with.
pub(crate) async fn health(settings: &Settings) -> Result<ExitCode, AnyError> {
    let host = match settings.server.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let url = format!("http://{host}:{}/readyz", settings.server.port);
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let answer = client.get(&url).send().await?;
    let (ready, text) = (answer.status().is_success(), answer.text().await?);
    if ready {
        say(text.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    complain(text.trim_end());
    Ok(ExitCode::FAILURE)
}
