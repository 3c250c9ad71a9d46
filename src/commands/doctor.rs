//! `souk doctor`.

use std::process::ExitCode;

use platform::module::{AnyError, Check, MAX_VIOLATIONS};
use platform::problem::chain;
use platform::rabbit;
use platform::system::System;
use serde_json::json;

use crate::commands::say;
use crate::settings::{DatabaseSettings, Settings};
use crate::wiring::{Databases, Shop};

/// Checks every module. It changes nothing: it refuses an old schema instead of migrating it.
pub(crate) async fn doctor(settings: &Settings, as_json: bool) -> Result<ExitCode, AnyError> {
    // Opening a SQLite file would create it.
    let missing = |module: &&str| !settings.data.dir.join(format!("{module}.sqlite")).is_file();
    if settings.database.url.is_empty() && crate::wiring::compiled().iter().any(missing) {
        let folder = settings.data.dir.display();
        return Err(format!(
            "there is no whole shop in {folder}; start `souk` or run `souk migrate up` first"
        )
        .into());
    }
    let database = DatabaseSettings { auto_migrate: false, ..settings.database.clone() };
    let settings = Settings { database, ..settings.clone() };
    let system = System::real();
    let databases = Databases::open(&settings, &system).await?;
    crate::server::prepare_schemas(&settings, &databases).await?;
    let shop = Shop::assemble(&settings, &databases, system).await?;
    let mut checks: Vec<(&'static str, Check)> = Vec::new();
    for module in &shop.modules {
        checks.extend(module.doctor().await?.into_iter().map(|check| (module.name(), check)));
    }
    if let Some(options) = settings.rabbit() {
        checks.push(("events", dead_letters(&options).await));
    }
    let broken = checks.iter().filter(|(_, check)| !check.holds()).count();
    if as_json {
        let listed: Vec<_> = checks
            .iter()
            .map(|(module, check)| json!({"module": module, "check": check.name, "promise": check.promise, "holds": check.holds(), "violations": check.violations}))
            .collect();
        say(&serde_json::to_string_pretty(&json!({"healthy": broken == 0, "checks": listed}))?)?;
    } else {
        report(&checks, broken)?;
    }
    for db in databases.iter() {
        db.close().await?;
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the broker keeps because a module could not handle it.
async fn dead_letters(options: &rabbit::Options) -> Check {
    let bound = usize::try_from(MAX_VIOLATIONS).unwrap_or(usize::MAX);
    let violations = match rabbit::list(options, &rabbit::Selection::default()).await {
        Ok(dead) => {
            let named = dead.letters.iter().take(bound);
            named.map(|letter| format!("{}: {}", letter.module, letter.cause)).collect()
        }
        // The rest of the shop can be checked all the same.
        Err(error) => vec![format!("the message broker cannot be asked: {}", chain(&error))],
    };
    Check::new(
        "events.none_dead",
        "no event waits among the dead letters; see `souk events dead list`",
        violations,
    )
}

fn report(checks: &[(&'static str, Check)], broken: usize) -> std::io::Result<()> {
    for (module, check) in checks {
        let verdict = if check.holds() { "ok    " } else { "BROKEN" };
        say(&format!("{verdict} {module:<14} {}: {}", check.name, check.promise))?;
        for violation in &check.violations {
            say(&format!("         {violation}"))?;
        }
    }
    match broken {
        0 => say(&format!("all {} checks hold", checks.len())),
        _ => say(&format!("{broken} of {} checks are broken", checks.len())),
    }
}
