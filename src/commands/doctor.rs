//! `souk doctor`.

use std::process::ExitCode;

use platform::module::AnyError;
use platform::system::System;
use serde_json::Value;

use crate::commands::say;
use crate::doctor::Doctor;
use crate::settings::Settings;

/// Checks every invariant of the shop.
pub(crate) async fn check(settings: &Settings, as_json: bool) -> Result<ExitCode, AnyError> {
    let doctor = Doctor::open(settings, &System::real()).await;
    let checked = doctor.check().await;
    doctor.close().await;
    tell(as_json, || checked.json(), || checked.lines())?;
    Ok(ExitCode::from(checked.exit_code()))
}

/// Lists what has been begun and not ended.
pub(crate) async fn open_work(settings: &Settings, as_json: bool) -> Result<ExitCode, AnyError> {
    let doctor = Doctor::open(settings, &System::real()).await;
    let opened = doctor.open_work().await;
    doctor.close().await;
    tell(as_json, || opened.json(), || opened.lines())?;
    Ok(ExitCode::from(opened.exit_code()))
}

fn tell(as_json: bool, json: impl Fn() -> Value, lines: impl Fn() -> Vec<String>) -> Result<(), AnyError> {
    match as_json {
        true => say(&serde_json::to_string_pretty(&json())?)?,
        false => lines().iter().try_for_each(|line| say(line))?,
    }
    Ok(())
}
