//! `souk doctor --watch`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use platform::module::AnyError;
use platform::system::System;

use crate::commands::serve::stop_signal;
use crate::commands::{complain, say};
use crate::doctor::{Checked, Doctor, Found, Opened, Unchecked};
use crate::health;
use crate::settings::Settings;

/// Looks again and again until the process is told to stop. A look that fails is told and counted, and the next one comes: the
/// gauges then keep what was seen last, and `souk_doctor_last_run_timestamp_seconds` stays behind.
pub(crate) async fn watch(
    settings: &Settings,
    every: Duration,
    listen: SocketAddr,
) -> Result<ExitCode, AnyError> {
    crate::telemetry::metrics()?;
    describe();
    let server = HttpServer::new(|| App::new().service(health::metrics)).workers(1).disable_signals();
    let server = server.bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    say(&format!("looking every {} s; metrics at http://{address}/metrics", every.as_secs()))?;
    let server = server.run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    let stopped = stop_signal();
    let ended = tokio::select! {
        ended = look_for_ever(settings, every) => ended,
        stopped = stopped => stopped.map_err(AnyError::from),
    };
    handle.stop(true).await;
    serving.await??;
    ended.map(|()| ExitCode::SUCCESS)
}

fn describe() {
    describe_gauge!("souk_doctor_check_holds", "1 while a promise holds, 0 while it is broken");
    describe_gauge!("souk_doctor_violations", "places where a promise is broken, at most 100");
    describe_gauge!("souk_doctor_open", "work that has been begun and not ended");
    describe_gauge!("souk_doctor_overdue", "work that should have ended");
    describe_gauge!("souk_doctor_oldest_open_seconds", "the age of the oldest work that has not ended");
    describe_gauge!(
        "souk_doctor_last_run_timestamp_seconds",
        "when everything was last looked at, Unix time"
    );
    describe_gauge!("souk_doctor_run_seconds", "how long the last look took");
    describe_counter!("souk_doctor_failed_runs_total", "looks that could not see everything");
}

/// Ends only if nobody can be told any more.
async fn look_for_ever(settings: &Settings, every: Duration) -> Result<(), AnyError> {
    let system = System::real();
    let mut last_seen = Seen::default();
    // So that it is there from the beginning.
    counter!("souk_doctor_failed_runs_total").absolute(0);
    loop {
        let begun = Instant::now();
        let doctor = Doctor::open(settings, &system).await;
        let opened = doctor.open_work().await;
        let checked = doctor.check().await;
        doctor.close().await;
        gauge!("souk_doctor_run_seconds").set(begun.elapsed().as_secs_f64());
        if checked.unchecked.is_empty() && opened.unchecked.is_empty() {
            let now = Duration::from_millis(u64::try_from(system.now().ms()).unwrap_or_default());
            gauge!("souk_doctor_last_run_timestamp_seconds").set(now.as_secs_f64());
        } else {
            counter!("souk_doctor_failed_runs_total").increment(1);
        }
        show(&checked, &opened);
        last_seen.tell_changes(&checked, &opened)?;
        tokio::time::sleep(every).await;
    }
}

fn show(checked: &Checked, opened: &Opened) {
    for Found { module, found } in &checked.checks {
        let labels = [("module", *module), ("check", found.name)];
        gauge!("souk_doctor_check_holds", &labels).set(if found.holds() { 1.0 } else { 0.0 });
        gauge!("souk_doctor_violations", &labels).set(as_gauge(found.violations.len()));
    }
    for Found { module, found } in &opened.work {
        let labels = [("module", *module), ("kind", found.kind)];
        gauge!("souk_doctor_open", &labels).set(as_gauge(found.count));
        gauge!("souk_doctor_overdue", &labels).set(as_gauge(found.overdue));
        let age_ms = found.oldest.map(|since| opened.now.since(since)).unwrap_or_default();
        gauge!("souk_doctor_oldest_open_seconds", &labels).set(age_ms.as_secs_f64());
    }
}

/// Beyond 4 thousand millions it does not matter how many.
fn as_gauge(number: impl TryInto<u32>) -> f64 {
    f64::from(number.try_into().unwrap_or(u32::MAX))
}

/// What was told last, so that only changes are.
#[derive(Default)]
struct Seen {
    holds: BTreeMap<(&'static str, &'static str), bool>,
    unchecked: Vec<Unchecked>,
}

impl Seen {
    fn tell_changes(&mut self, checked: &Checked, opened: &Opened) -> std::io::Result<()> {
        for Found { module, found } in &checked.checks {
            let held = self.holds.insert((module, found.name), found.holds()).unwrap_or(true);
            match (held, found.holds()) {
                (true, false) => {
                    say(&format!("BROKEN {module} {}: {}", found.name, found.promise))?;
                    found.violations.iter().try_for_each(|violation| say(&format!("       {violation}")))?;
                }
                (false, true) => say(&format!("healed {module} {}", found.name))?,
                _ => {}
            }
        }
        let mut unchecked = checked.unchecked.clone();
        unchecked.extend(opened.unchecked.iter().filter(|it| !checked.unchecked.contains(it)).cloned());
        for Unchecked { module, cause } in unchecked.iter().filter(|it| !self.unchecked.contains(it)) {
            complain(&format!("cannot look at {module}: {cause}"));
        }
        if unchecked.is_empty() && !self.unchecked.is_empty() {
            complain("everything can be looked at again");
        }
        self.unchecked = unchecked;
        Ok(())
    }
}
