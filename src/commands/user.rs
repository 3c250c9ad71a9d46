//! `souk user`: accounts, for whoever runs the shop.

use std::io::IsTerminal;
use std::process::ExitCode;

use contracts::users::Role;
use kernel::EmailAddress;
use platform::module::AnyError;

use crate::commands::{close_shop, complain, open_shop, say};
use crate::settings::Settings;
use crate::wiring::NewAccount;

pub(crate) async fn create(
    settings: &Settings,
    email: &str,
    username: Option<String>,
    name: Option<String>,
    admin: bool,
) -> Result<ExitCode, AnyError> {
    let email = EmailAddress::parse(email).map_err(|error| format!("--email: {error}"))?;
    let password = ask_password()?;
    let role = if admin { Role::Admin } else { Role::Customer };
    let (shop, databases) = open_shop(settings).await?;
    let account = NewAccount { email: email.clone(), username, name, password, role };
    let created = shop.create_account(account).await?;
    close_shop(shop, databases).await?;
    if !created {
        complain("souk: an account with this email or username exists");
        return Ok(ExitCode::FAILURE);
    }
    say(&format!("created the {} {email}", role.as_str()))?;
    Ok(ExitCode::SUCCESS)
}

/// A shop that runs beside it refuses the ended sessions within seconds.
pub(crate) async fn remove_second_factor(settings: &Settings, login: &str) -> Result<ExitCode, AnyError> {
    let (shop, databases) = open_shop(settings).await?;
    let removed = shop.remove_second_factor(login).await;
    close_shop(shop, databases).await?;
    say(&format!("took the second factor of {} away and ended their sessions", removed?))?;
    Ok(ExitCode::SUCCESS)
}

/// From `SOUK_PASSWORD`, a person at a terminal, or the first line of standard input; never from a flag, which every
/// user of the machine can read in the list of processes.
fn ask_password() -> Result<String, AnyError> {
    if let Ok(password) = std::env::var("SOUK_PASSWORD") {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = rpassword::prompt_password("Password: ")?;
    if rpassword::prompt_password("Again: ")? != password {
        return Err("the passwords differ".into());
    }
    Ok(password)
}
