//! The binary under test and its processes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The root of the repository.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// How long a process may take to listen, or to end.
const START_BOUND: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Settings in which every topology agrees: cheap passwords, no limits of rate, small pools, time for crowds.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("SOUK__AUTH__BCRYPT_COST", "4"),
    ("SOUK__LIMITS__LOGIN_PER_MINUTE", "0"),
    ("SOUK__LIMITS__REGISTER_PER_MINUTE", "0"),
    ("SOUK__LIMITS__GUEST_CARTS_PER_MINUTE", "0"),
    ("SOUK__DATABASE__MAX_CONNECTIONS", "3"),
    ("SOUK__DATABASE__ACQUIRE_TIMEOUT_MS", "30000"),
    ("SOUK__SERVER__WORKERS", "2"),
    ("SOUK__SERVER__REQUEST_DEADLINE_MS", "30000"),
    ("SOUK__INTERNAL__DEADLINE_MS", "20000"),
    ("SOUK__LOG__FORMAT", "json"),
];

static BINARY: OnceLock<PathBuf> = OnceLock::new();
static KEPT: OnceLock<PathBuf> = OnceLock::new();

/// The binary that cargo built for these tests, and a folder that stays after them: `env!("CARGO_BIN_EXE_souk")` and
/// `env!("CARGO_TARGET_TMPDIR")`. `SOUK_TEST_BINARY` names another binary. The first call holds.
pub fn use_binary(built: &str, kept: &str) {
    let another = variable("SOUK_TEST_BINARY").map(|path| Path::new(ROOT).join(path));
    use_only(another.unwrap_or_else(|| PathBuf::from(built)), kept);
}

/// The same without a choice, where the tests need what only a build for tests has.
pub fn use_only(built: impl AsRef<Path>, kept: &str) {
    let _binary = BINARY.set(built.as_ref().to_owned());
    let _kept = KEPT.set(PathBuf::from(kept));
}

pub(crate) fn binary() -> &'static Path {
    BINARY.get().expect("use_binary comes first")
}

/// A folder for what is to be looked at after the tests.
pub fn kept() -> &'static Path {
    KEPT.get().expect("use_binary comes first")
}

/// The binary under test, with the settings of these tests, those of the caller, and no others.
pub(crate) fn souk(settings: &[(String, String)]) -> Command {
    let mut command = Command::new(binary());
    command.stdin(Stdio::null());
    without_settings(&mut command)
        .envs(SETTINGS.iter().copied())
        .envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// Settings of whoever runs the tests are not settings of the shops under test.
pub(crate) fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("SOUK_") || name == "WEBHOOK_URLS" {
            command.env_remove(name);
        }
    }
    command
}

/// Starts one process of the whole shop; gives it and its address.
pub(crate) fn serve(
    folder: &Path,
    arguments: &[&OsStr],
    settings: &[(String, String)],
) -> Result<(Child, String), String> {
    let path = folder.join("log");
    let log = File::options().create(true).append(true).open(&path).map_err(text)?;
    let said_before = usize::try_from(log.metadata().map_err(text)?.len()).map_err(text)?;
    let mut command = souk(settings);
    command.arg("serve").args(arguments);
    // An interrupt at the terminal reaches this program, whose guard then ends the shop.
    command.process_group(0).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().map_err(text)?;
    let mut said = String::new();
    let address = await_that(START_BOUND, || {
        said = std::fs::read_to_string(&path).map_err(text)?.split_off(said_before);
        let listening = said.lines().find_map(|line| line.split("listening on ").nth(1));
        let address = listening.and_then(|rest| rest.split([';', '"']).next()).map(str::to_owned);
        match child.try_wait().map_err(text)? {
            Some(status) => Err(format!("the shop ended at once with {status}:\n{said}")),
            None => Ok(address),
        }
    })?;
    match address {
        Some(address) => Ok((child, address)),
        None => {
            child.kill().map_err(text)?;
            child.wait().map_err(text)?;
            Err(format!("the shop did not start:\n{said}"))
        }
    }
}

/// Ends a process by SIGTERM; it must do so by itself, in time, and with success.
pub(crate) fn end(mut child: Child) -> Result<(), String> {
    send(child.id(), "TERM")?;
    match await_that(START_BOUND, || child.try_wait().map_err(text))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("the shop ended with {status}")),
        None => {
            child.kill().map_err(text)?;
            child.wait().map_err(text)?;
            Err("the shop did not end after SIGTERM".to_owned())
        }
    }
}

/// Sends a signal, by its name without `SIG`.
pub(crate) fn send(pid: u32, signal: &str) -> Result<(), String> {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .map_err(text)?;
    if status.success() { Ok(()) } else { Err(format!("there is no process {pid} to send SIG{signal} to")) }
}

/// Whether a process runs: any thread of it. One that has died and was not waited for by its parent does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.into_iter().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
        !state.is_empty() && !state.starts_with(['Z', 'X'])
    })
}

/// Waits until a process is dead.
pub(crate) fn await_death(pid: u32) -> Result<(), String> {
    let dead = await_that(START_BOUND, || Ok((!is_alive(pid)).then_some(())))?;
    dead.ok_or_else(|| format!("process {pid} does not die"))
}

/// Looks again and again until something is there; `None` if it does not come in time.
pub fn await_that<T>(
    bound: Duration,
    mut look: impl FnMut() -> Result<Option<T>, String>,
) -> Result<Option<T>, String> {
    let give_up = Instant::now() + bound;
    loop {
        let found = look()?;
        if found.is_some() || Instant::now() > give_up {
            return Ok(found);
        }
        // Not on a runtime: what looks may bring its own.
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// A variable of the environment that is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs something asynchronous to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A line for whoever watches the tests.
pub fn say(line: &str) {
    // A closed output is no reason to fail.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// What belongs to the report of the tests.
pub fn report(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
