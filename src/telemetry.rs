//! Logs, to standard error: text on a terminal, one JSON object a line otherwise. Standard output belongs to commands.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
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
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(OneLine);
    if as_text {
        lines.with_target(false).finish().try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    }
}

/// Standard error, where an event stays on its line whatever stands in it. JSON escapes by itself; text does not, and somebody
/// who may write a line end into the log may write events into it that never happened.
struct OneLine;

impl MakeWriter<'_> for OneLine {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line
    }
}

/// Each write is one event.
struct Line;

impl Write for Line {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().write_all(&on_one_line(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Writes out the control characters of an event, but for the line end that it has itself, the escape of its own colours (the
/// subscriber writes out those in values), and tabs.
fn on_one_line(event: &[u8]) -> Cow<'_, [u8]> {
    // Nearly every event is one line of harmless ASCII.
    if let [line @ .., b'\n'] = event
        && line.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | 0x1b))
    {
        return Cow::Borrowed(event);
    }
    let text = String::from_utf8_lossy(event);
    let (text, end) = text.strip_suffix('\n').map_or((text.as_ref(), ""), |text| (text, "\n"));
    let is_harmless =
        |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}') || matches!(c, '\t' | '\u{1b}');
    let mut line = String::with_capacity(event.len());
    for c in text.chars() {
        match is_harmless(c) {
            true => line.push(c),
            false => line.extend(c.escape_unicode()),
        }
    }
    line.push_str(end);
    Cow::Owned(line.into_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = "INFO cause=a\nINFO placed order\r\u{85}\u{2028}\u{8}\tb \u{1b}[0m\n";
        let line = String::from_utf8(on_one_line(event.as_bytes()).into_owned()).unwrap();
        assert_eq!(line, "INFO cause=a\\u{a}INFO placed order\\u{d}\\u{85}\\u{2028}\\u{8}\tb \u{1b}[0m\n");
        assert_eq!(on_one_line(b"no end").as_ref(), b"no end");
        assert!(matches!(on_one_line(b"placed order\n"), Cow::Borrowed(b"placed order\n")));
    }
}
