//! Real shops: processes of the binary on databases of their own, started once for all journeys and gone afterwards.
//!
//! What must not outlive the run (processes, queues, a deployment) is also known to a guard: a shell that waits for its
//! input to end, which happens however this program dies, and then cleans up.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Engine, TestDatabase, with_database};

/// How long a process may take to listen, or to end.
const START_BOUND: Duration = Duration::from_secs(60);
/// How long what is still on its way may take until the doctor must find everything in order.
const SETTLE_BOUND: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the guard of a process does: it is told which process there is, an empty line for none, and waits for the end.
const END_PROCESS: &str = r#"
pid=
while read -r line; do pid=$line; done
[ -z "$pid" ] || kill -TERM "$pid"
for _ in $(seq 200); do
  [ -n "$pid" ] && kill -0 "$pid" || break
  sleep 0.05
done
rm -rf "$FOLDER"
[ -z "$DATABASE" ] || psql -X -q -w -d "$SERVER" -c "DROP DATABASE IF EXISTS $DATABASE WITH (FORCE)"
"#;

/// What the guard of a deployment does. What could not be taken down is left to be looked at.
const END_DEPLOYMENT: &str = r#"
while read -r _; do :; done
scripts/split.sh down --purge >"$FOLDER/down.log" 2>&1 && rm -rf "$FOLDER"
"#;

/// Settings in which every topology agrees: cheap passwords, no limits of rate, small pools, time for crowds.
const SETTINGS: &[(&str, &str)] = &[
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

/// A way to run the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// One process on SQLite.
    Sqlite,
    /// One process on PostgreSQL.
    Postgres,
    /// Eight processes behind NGINX.
    Split,
    /// Five groups of modules, of which orders and inventory run twice.
    Mixed,
    /// Eight processes, each of them twice.
    Replicas,
}

pub const TOPOLOGIES: &[Topology] =
    &[Topology::Sqlite, Topology::Postgres, Topology::Split, Topology::Mixed, Topology::Replicas];

impl Topology {
    /// As it stands in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Topology::Sqlite => "sqlite",
            Topology::Postgres => "postgres",
            Topology::Split => "split",
            Topology::Mixed => "mixed",
            Topology::Replicas => "replicas",
        }
    }

    /// The processes of a deployment by `scripts/split.sh`; `None` for a single process.
    fn groups(self) -> Option<&'static str> {
        match self {
            Topology::Sqlite | Topology::Postgres => None,
            Topology::Split => Some("auth users catalog cart inventory orders payments notifications"),
            Topology::Mixed => Some("auth,users,notifications catalog,cart orders,inventory*2 payments"),
            Topology::Replicas => {
                Some("auth*2 users*2 catalog*2 cart*2 inventory*2 orders*2 payments*2 notifications*2")
            }
        }
    }

    /// What of it is not here to run it; `None` if all is.
    pub fn missing(self) -> Option<String> {
        let variables: &[&str] = match self {
            Topology::Sqlite => &[],
            Topology::Postgres => &["TEST_DATABASE_URL"],
            _ => &["TEST_DATABASE_URL", "TEST_RABBITMQ_URL", "TEST_REDIS_URL"],
        };
        if let Some(unset) = variables.iter().find(|name| variable(name).is_none()) {
            return Some(format!("{unset} is not set"));
        }
        let runs = |nginx: &str| Command::new(nginx).arg("-v").stderr(Stdio::null()).status().is_ok();
        // Debian does not put it into everybody's path; split.sh knows, too.
        let has_nginx = || ["nginx", "/usr/sbin/nginx"].into_iter().any(runs);
        (self.groups().is_some() && !has_nginx()).then(|| "there is no nginx here".to_owned())
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Result<Running, String> {
        let folder = tempfile::Builder::new().prefix("souk-journeys-").tempdir().map_err(text)?.keep();
        match self.groups() {
            None => Running::process(self, folder),
            Some(groups) => Running::deployment(groups, folder),
        }
    }
}

/// A shop that runs. It ends with this value.
pub struct Running {
    pub address: String,
    kind: Kind,
    folder: PathBuf,
    /// Dropped after the processes that use it.
    _database: Option<TestDatabase>,
}

enum Kind {
    Process { process: Mutex<Option<Child>>, guard: Guard, database_url: Option<String> },
    Deployment { guard: Guard, environment: Vec<(&'static str, String)>, database_url: String },
}

impl Running {
    /// One process that holds all modules.
    fn process(topology: Topology, folder: PathBuf) -> Result<Self, String> {
        let engine = match (topology, variable("TEST_DATABASE_URL")) {
            (Topology::Postgres, Some(server)) => Engine::Postgres(server),
            _ => Engine::Sqlite,
        };
        let database = block_on(TestDatabase::create(engine));
        let database_url = database.url().map(str::to_owned);
        let server = variable("TEST_DATABASE_URL").unwrap_or_default();
        let name = database_url.as_deref().map(database_name).unwrap_or_default();
        let guard = Guard::start(
            END_PROCESS,
            &[("FOLDER", folder.display().to_string()), ("SERVER", server), ("DATABASE", name.to_owned())],
        )?;
        let (child, address) = serve(&folder, database_url.as_deref(), 0)?;
        guard.tell(&child.id().to_string());
        let kind = Kind::Process { process: Mutex::new(Some(child)), guard, database_url };
        Ok(Self { address, kind, folder, _database: Some(database) })
    }

    /// Many processes behind NGINX.
    fn deployment(groups: &str, folder: PathBuf) -> Result<Self, String> {
        let name = format!("souk_test_{}", testkit::fresh_id().simple());
        let server = variable("TEST_DATABASE_URL").unwrap_or_default();
        let database_url = with_database(&server, &name);
        let mut environment = vec![
            ("SOUK_BINARY", binary().display().to_string()),
            ("SOUK_SPLIT_DIR", folder.join("split").display().to_string()),
            ("SOUK_GROUPS", groups.to_owned()),
            ("SOUK_SPLIT_POSTGRES_URL", server),
            ("SOUK_SPLIT_DATABASE", name.clone()),
            ("SOUK_SPLIT_PREFIX", name),
            ("SOUK_SPLIT_RABBITMQ_URL", variable("TEST_RABBITMQ_URL").unwrap_or_default()),
            ("SOUK_SPLIT_REDIS_URL", variable("TEST_REDIS_URL").unwrap_or_default()),
            // A crowd of buyers comes from one address here.
            ("SOUK_RATE_LIMIT", "100000r/s".to_owned()),
            ("SOUK_RATE_BURST", "100000".to_owned()),
            ("SOUK_LOGIN_RATE_LIMIT", "100000r/s".to_owned()),
            ("SOUK_LOGIN_RATE_BURST", "100000".to_owned()),
        ];
        environment.extend(SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned())));
        environment.push(("FOLDER", folder.display().to_string()));
        let guard = Guard::start(END_DEPLOYMENT, &environment)?;
        let kind = Kind::Deployment { guard, environment, database_url };
        let mut running = Self { address: String::new(), kind, folder, _database: None };
        let printed = running.split(&["up"])?;
        running.address = printed.lines().last().unwrap_or_default().trim().to_owned();
        match running.address.starts_with("http://") {
            true => Ok(running),
            false => Err(format!("scripts/split.sh up printed no address:\n{printed}")),
        }
    }

    /// Runs `scripts/split.sh` and gives what it printed.
    fn split(&self, arguments: &[&str]) -> Result<String, String> {
        let Kind::Deployment { environment, .. } = &self.kind else {
            return Err("this shop is one process".to_owned());
        };
        let mut script = Command::new("scripts/split.sh");
        script.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        without_settings(&mut script).envs(environment.iter().map(|(name, value)| (name, value)));
        // The processes that it leaves behind must not hold a pipe of ours open: its output goes to files.
        let (out, errors) = (self.folder.join("split.out"), self.folder.join("split.err"));
        script.stdout(File::create(&out).map_err(text)?).stderr(File::create(&errors).map_err(text)?);
        let status = script.status().map_err(|error| format!("scripts/split.sh: {error}"))?;
        let printed = std::fs::read_to_string(out).map_err(text)?;
        match status.success() {
            true => Ok(printed),
            false => {
                let said = std::fs::read_to_string(errors).map_err(text)?;
                Err(format!("scripts/split.sh {} failed ({status}):\n{printed}{said}", arguments.join(" ")))
            }
        }
    }

    /// The processes of a deployment, replica by replica.
    pub fn processes(&self) -> Result<Vec<String>, String> {
        let listed = self.split(&["status"])?;
        let names = listed.lines().filter_map(|line| line.split_whitespace().next());
        Ok(names.filter(|name| is_process(name)).map(str::to_owned).collect())
    }

    /// Copies what the processes logged to where it stays, for a failure that needs an explanation.
    pub fn keep_logs(&self, name: &str) -> Result<(), String> {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs").join(name);
        std::fs::create_dir_all(&kept).map_err(text)?;
        for folder in [self.folder.clone(), self.folder.join("split/log")] {
            for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let is_log =
                    ["log", "err"].iter().any(|end| file.path().extension().is_some_and(|it| it == *end));
                if is_log || file.file_name() == "log" && file.path().is_file() {
                    std::fs::copy(file.path(), kept.join(file.file_name())).map_err(text)?;
                }
            }
        }
        say(&format!("the logs of {name} are kept in {}", kept.display()));
        Ok(())
    }

    /// Ends one process of a deployment gently and starts it again at the same place.
    pub fn restart_process(&self, name: &str) -> Result<(), String> {
        self.split(&["restart", name]).map(|_| ())
    }

    /// Ends every process gently and starts it again at the same place.
    pub fn restart(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Deployment { .. } => {
                for name in self.processes()? {
                    self.restart_process(&name)?;
                }
                Ok(())
            }
            Kind::Process { process, guard, database_url } => {
                let mut process = process.lock().map_err(text)?;
                guard.tell("");
                if let Some(child) = process.take() {
                    end(child)?;
                }
                let port = self.address.rsplit(':').next().and_then(|port| port.parse().ok());
                let (child, _) = serve(&self.folder, database_url.as_deref(), port.unwrap_or_default())?;
                guard.tell(&child.id().to_string());
                *process = Some(child);
                Ok(())
            }
        }
    }

    /// Asks the doctor until every invariant of every module holds, or too long.
    pub fn assert_healthy(&self) -> Result<(), String> {
        let mut failure = String::new();
        let healthy = await_that(SETTLE_BOUND, || {
            failure = match self.ask_the_doctor() {
                Ok(sick) if sick.is_empty() => return Ok(Some(())),
                Ok(sick) => format!("souk doctor found:\n{}", sick.join("\n")),
                Err(failure) => failure,
            };
            Ok(None)
        })?;
        healthy.ok_or(failure)
    }

    /// What `souk doctor` finds broken.
    fn ask_the_doctor(&self) -> Result<Vec<String>, String> {
        let mut doctor = souk();
        doctor.args(["doctor", "--json", "--data-dir"]).arg(self.folder.join("data"));
        match &self.kind {
            Kind::Process { database_url: Some(url), .. } | Kind::Deployment { database_url: url, .. } => {
                doctor.args(["--database-url", url]);
            }
            Kind::Process { database_url: None, .. } => {}
        }
        let output = doctor.output().map_err(text)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value = serde_json::from_str(&said)
            .map_err(|_| format!("souk doctor: {said}{}", String::from_utf8_lossy(&output.stderr)))?;
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        if checks.is_empty() || output.status.success() != (report["healthy"] == true) {
            return Err(format!("souk doctor contradicts itself ({}): {said}", output.status));
        }
        let broken = checks.iter().filter(|check| check["holds"] != true);
        Ok(broken
            .map(|check| format!("{}: {} {}", check["module"], check["check"], check["violations"]))
            .collect())
    }

    /// Ends what still runs; a second time does nothing.
    fn end_in_peace(&mut self) -> Result<(), String> {
        match &mut self.kind {
            Kind::Process { process, guard, .. } => {
                guard.tell("");
                let ended = process.get_mut().map_err(text)?.take().map_or(Ok(()), end);
                guard.end()?;
                ended
            }
            Kind::Deployment { guard, .. } => {
                guard.end()?;
                match std::fs::read_to_string(self.folder.join("down.log")) {
                    Ok(said) => Err(format!("scripts/split.sh down --purge failed:\n{said}")),
                    Err(_) => Ok(()),
                }
            }
        }
    }

    /// Ends it. A process that does not end gently is a failure of its own.
    pub fn stop(mut self) -> Result<(), String> {
        self.end_in_peace()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(failure) = self.end_in_peace() {
            say(&failure);
        }
    }
}

/// Starts one process of the whole shop; gives it and its address.
fn serve(folder: &Path, database_url: Option<&str>, port: u16) -> Result<(Child, String), String> {
    let path = folder.join("log");
    let log = File::options().create(true).append(true).open(&path).map_err(text)?;
    let said_before = usize::try_from(log.metadata().map_err(text)?.len()).map_err(text)?;
    let mut command = souk();
    command.args(["serve", "--port", &port.to_string(), "--data-dir"]).arg(folder.join("data"));
    if let Some(url) = database_url {
        command.args(["--database-url", url]);
    }
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
fn end(mut child: Child) -> Result<(), String> {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().map_err(text)?;
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

/// Looks again and again until something is there; `None` if it does not come in time.
fn await_that<T>(
    bound: Duration,
    mut look: impl FnMut() -> Result<Option<T>, String>,
) -> Result<Option<T>, String> {
    block_on(async {
        let give_up = Instant::now() + bound;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let found = look()?;
            if found.is_some() || Instant::now() > give_up {
                return Ok(found);
            }
        }
    })
}

/// A shell that cleans up when its input ends.
struct Guard {
    shell: Child,
    input: Mutex<Option<ChildStdin>>,
}

impl Guard {
    fn start(script: &str, environment: &[(&'static str, String)]) -> Result<Self, String> {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).current_dir(env!("CARGO_MANIFEST_DIR")).process_group(0);
        without_settings(&mut shell).envs(environment.iter().map(|(name, value)| (name, value)));
        let mut shell =
            shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(text)?;
        let input = Mutex::new(shell.stdin.take());
        Ok(Self { shell, input })
    }

    /// Says a line to it: which process to end.
    fn tell(&self, line: &str) {
        let mut input = self.input.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(Err(error)) = input.as_mut().map(|input| writeln!(input, "{line}")) {
            say(&format!("the guard of a shop is gone: {error}"));
        }
    }

    /// Lets it clean up and waits for it; a second time does nothing.
    fn end(&mut self) -> Result<(), String> {
        drop(self.input.get_mut().map_err(text)?.take());
        self.shell.wait().map_err(text).map(|_| ())
    }
}

/// The binary under test, with the settings of these tests and no others.
fn souk() -> Command {
    let mut command = Command::new(binary());
    command.stdin(Stdio::null());
    without_settings(&mut command).envs(SETTINGS.iter().copied());
    command
}

/// `SOUK_TEST_BINARY`, or the one that cargo built for these tests.
fn binary() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_souk"));
    variable("SOUK_TEST_BINARY").map_or_else(built, |path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

/// Settings of whoever runs the tests are not settings of the shops under test.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("SOUK_") || name == "WEBHOOK_URLS" {
            command.env_remove(name);
        }
    }
    command
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The name of the database in an address.
fn database_name(url: &str) -> &str {
    url.rsplit('/').next().and_then(|last| last.split('?').next()).unwrap_or_default()
}

/// Whether the first word of a line of `scripts/split.sh status` names a process: its modules, and a replica's number.
fn is_process(word: &str) -> bool {
    let modules = word.split('-').next().unwrap_or_default();
    modules.split('+').all(|module| souk::wiring::MODULE_NAMES.contains(&module))
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
