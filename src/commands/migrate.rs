//! `souk migrate`.

use std::process::ExitCode;

use platform::module::AnyError;
use platform::system::System;

use crate::commands::{complain, say};
use crate::settings::Settings;
use crate::wiring::Databases;

pub(crate) async fn up(settings: &Settings) -> Result<ExitCode, AnyError> {
    for db in Databases::open(settings, &System::real()).await?.iter() {
        let pending = |steps: &[(String, bool)]| steps.iter().filter(|(_, applied)| !applied).count();
        let before = pending(&migrations::status(db.module(), db.reader()).await?);
        migrations::up(db.module(), db.orm()).await?;
        say(&format!("{}: {before} applied", db.module()))?;
        db.close().await?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn down(
    settings: &Settings,
    steps: Option<u32>,
    confirmed: bool,
) -> Result<ExitCode, AnyError> {
    if !confirmed {
        complain("souk: this deletes data; say --yes if you mean it");
        return Ok(ExitCode::FAILURE);
    }
    for db in Databases::open(settings, &System::real()).await?.iter() {
        migrations::down(db.module(), db.orm(), steps).await?;
        say(&format!("{}: taken back", db.module()))?;
        db.close().await?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn status(settings: &Settings) -> Result<ExitCode, AnyError> {
    for db in Databases::open(settings, &System::real()).await?.iter() {
        for (step, applied) in migrations::status(db.module(), db.reader()).await? {
            let state = if applied { "applied" } else { "pending" };
            say(&format!("{:<14} {step:<32} {state}", db.module()))?;
        }
        db.close().await?;
    }
    Ok(ExitCode::SUCCESS)
}
