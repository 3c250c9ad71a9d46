//! Logs, to standard error: text on a terminal, one JSON object a line otherwise. Standard output belongs to commands.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::settings::{Log, LogFormat};

/// Starts logging for the process. A second call fails and changes nothing.
pub fn start_logging(settings: &Log) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;
    // What servers and migrations say about themselves is for whoever looks for it; what the broker's client says of a lost
    // connection, the bus says once and in its own words.
    // Spans of sea-orm's connections hold the whole address, password included: no level may show them.
    let level = format!(
        "actix_server=warn,sea_orm_migration=warn,lapin=off,{},sea_orm::database=warn,sea_orm::driver=warn",
        settings.level
    );
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let as_text = match settings.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if as_text {
        lines.with_target(false).finish().try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    }
}

/// How often samples that nobody has fetched are folded into their histograms.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The process's metrics; started at the first call.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    // Held while the recorder is installed: two shops of one process may start at once.
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let handle = PrometheusBuilder::new().set_buckets(&seconds)?.install_recorder()?;
    // Without this, every request of a shop whose /metrics nobody reads would stay in memory. It is a thread because
    // the metrics belong to the process and outlive any runtime.
    let upkeep = handle.clone();
    // Nobody ever sends on this channel: waiting on it is the pause.
    let (keep_open, pause) = std::sync::mpsc::channel::<()>();
    std::thread::Builder::new()
        .name("souk-metrics".to_owned())
        .spawn(move || {
            let _keep_open = keep_open;
            while pause.recv_timeout(UPKEEP_EVERY).is_err() {
                upkeep.run_upkeep();
            }
        })
        .map_err(|error| BuildError::FailedToCreateRuntime(error.to_string()))?;
    *installed = Some(handle.clone());
    Ok(handle)
}
