//! Real shops: processes of the binary on databases of their own.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use testkit::{Engine, TestDatabase, with_database};

use crate::guard::{END_DEPLOYMENT, END_PROCESS, Guard};
use crate::process::{
    ROOT, SETTINGS, await_death, await_that, binary, block_on, end, is_alive, kept, say, send, serve, souk,
    text, without_settings,
};
use crate::topology::{Options, Topology};

/// How long what is still on its way may take until the doctor must find everything in order.
const SETTLE_BOUND: Duration = Duration::from_secs(20);
/// The name of the only process of a shop that is one.
const WHOLE: &str = "souk";

/// A shop that runs. It ends with this value.
pub struct Running {
    pub address: String,
    kind: Kind,
    folder: PathBuf,
    options: Options,
    /// Dropped after the processes that use it.
    _database: Option<TestDatabase>,
}

enum Kind {
    Process { process: Mutex<Option<Child>>, guard: Guard, database_url: Option<String> },
    Deployment { guard: Guard, environment: Vec<(String, String)>, database_url: String },
}

/// What `souk doctor` said.
#[derive(Debug)]
pub struct Doctor {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    pub printed: String,
    pub errors: String,
}

impl Doctor {
    /// What it printed, as JSON.
    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.printed)
            .map_err(|_| format!("souk doctor printed no JSON: {}{}", self.printed, self.errors))
    }
}

impl Running {
    /// One process that holds all modules.
    pub(crate) fn process(topology: Topology, folder: PathBuf, options: Options) -> Result<Self, String> {
        let server = options.servers.postgres();
        let engine = match topology {
            Topology::Postgres => Engine::Postgres(server.clone()),
            _ => Engine::Sqlite,
        };
        let database = block_on(TestDatabase::create(engine));
        let database_url = database.url().map(str::to_owned);
        let name = database_url.as_deref().map(database_name).unwrap_or_default();
        let environment = [
            ("FOLDER".to_owned(), folder.display().to_string()),
            ("SERVER".to_owned(), server),
            ("DATABASE".to_owned(), name.to_owned()),
        ];
        let guard = Guard::start(END_PROCESS, &environment)?;
        let kind = Kind::Process { process: Mutex::new(None), guard, database_url };
        let mut running = Self { address: String::new(), kind, folder, options, _database: Some(database) };
        running.address = running.start_whole(0)?;
        Ok(running)
    }

    /// Many processes behind NGINX.
    pub(crate) fn deployment(groups: &str, folder: PathBuf, options: Options) -> Result<Self, String> {
        let name = format!("souk_test_{}", testkit::fresh_id().simple());
        let server = options.servers.postgres();
        let database_url = with_database(&server, &name);
        let mut environment = vec![
            ("SOUK_BINARY", binary().display().to_string()),
            ("SOUK_SPLIT_DIR", folder.join("split").display().to_string()),
            ("SOUK_GROUPS", groups.to_owned()),
            ("SOUK_SPLIT_POSTGRES_URL", server),
            ("SOUK_SPLIT_DATABASE", name.clone()),
            ("SOUK_SPLIT_PREFIX", name),
            ("SOUK_SPLIT_RABBITMQ_URL", options.servers.rabbitmq()),
            ("SOUK_SPLIT_REDIS_URL", options.servers.redis()),
            // A crowd of buyers comes from one address here.
            ("SOUK_RATE_LIMIT", "100000r/s".to_owned()),
            ("SOUK_RATE_BURST", "100000".to_owned()),
            ("SOUK_CLIENT_CONNECTIONS", "65535".to_owned()),
            ("SOUK_LOGIN_RATE_LIMIT", "100000r/s".to_owned()),
            ("SOUK_LOGIN_RATE_BURST", "100000".to_owned()),
            ("FOLDER", folder.display().to_string()),
        ];
        if options.failpoints {
            environment.push(("SOUK_FAILPOINTS_DIR", folder.join("failpoints").display().to_string()));
        }
        environment.extend(SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut environment: Vec<_> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        environment.extend(options.settings.iter().cloned());
        let guard = Guard::start(END_DEPLOYMENT, &environment)?;
        let kind = Kind::Deployment { guard, environment, database_url };
        let mut running = Self { address: String::new(), kind, folder, options, _database: None };
        let printed = running.split(&["up"])?;
        running.address = printed.lines().last().unwrap_or_default().trim().to_owned();
        match running.address.starts_with("http://") {
            true => Ok(running),
            false => Err(format!("scripts/split.sh up printed no address:\n{printed}")),
        }
    }

    /// Starts the process of a shop that is one; gives its address.
    fn start_whole(&self, port: u16) -> Result<String, String> {
        let Kind::Process { process, guard, database_url } = &self.kind else {
            return Err("this shop is many processes".to_owned());
        };
        let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
        if process.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return Err("the shop runs".to_owned());
        }
        let (port, data) = (port.to_string(), self.data());
        let mut arguments =
            vec![OsStr::new("--port"), OsStr::new(&port), OsStr::new("--data-dir"), data.as_os_str()];
        if let Some(url) = database_url {
            arguments.extend([OsStr::new("--database-url"), OsStr::new(url)]);
        }
        let mut settings = self.options.settings.clone();
        if self.options.failpoints {
            let failpoints = self.failpoints(WHOLE);
            std::fs::create_dir_all(&failpoints).map_err(text)?;
            settings.push(("SOUK_FAILPOINTS_DIR".to_owned(), failpoints.display().to_string()));
        }
        let (child, address) = serve(&self.folder, &arguments, &settings)?;
        guard.tell(&child.id().to_string());
        *process = Some(child);
        Ok(address)
    }

    /// Runs `scripts/split.sh` and gives what it printed.
    fn split(&self, arguments: &[&str]) -> Result<String, String> {
        let Kind::Deployment { environment, .. } = &self.kind else {
            return Err("this shop is one process".to_owned());
        };
        let mut script = Command::new("scripts/split.sh");
        script.args(arguments).current_dir(ROOT).stdin(Stdio::null());
        without_settings(&mut script).envs(environment.iter().map(|(name, value)| (name, value)));
        // The processes that it leaves behind must not hold a pipe of ours open: its output goes to files.
        let folder = tempfile::tempdir_in(&self.folder).map_err(text)?;
        let (out, errors) = (folder.path().join("out"), folder.path().join("err"));
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

    /// The names of the processes, replica by replica; `souk` is all of a shop that is one.
    pub fn processes(&self) -> Result<Vec<String>, String> {
        if let Kind::Process { .. } = &self.kind {
            return Ok(vec![WHOLE.to_owned()]);
        }
        let listed = std::fs::read_to_string(self.folder.join("split/processes")).map_err(text)?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Where one process listens, past the gateway.
    pub fn address_of(&self, name: &str) -> Result<String, String> {
        match &self.kind {
            Kind::Process { .. } => Ok(self.address.clone()),
            Kind::Deployment { .. } => {
                let file = self.folder.join("split/run").join(format!("{name}.port"));
                let port = std::fs::read_to_string(file).map_err(text)?;
                Ok(format!("http://127.0.0.1:{}", port.trim()))
            }
        }
    }

    /// The number of a process; `None` if it does not run.
    pub fn pid(&self, name: &str) -> Option<u32> {
        match &self.kind {
            Kind::Process { process, .. } => {
                let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
                let child = process.as_mut()?;
                matches!(child.try_wait(), Ok(None)).then(|| child.id())
            }
            Kind::Deployment { .. } => {
                let file = self.folder.join("split/run").join(format!("{name}.pid"));
                let recorded = std::fs::read_to_string(file).ok()?;
                recorded.split_whitespace().next()?.parse().ok().filter(|pid| is_alive(*pid))
            }
        }
    }

    /// The signal that ended a shop that is one process and died; `None` if it runs, or ended by itself.
    pub fn died_of(&self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let Kind::Process { process, .. } = &self.kind else { return None };
        let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_mut()?.try_wait().ok()??.signal()
    }

    /// Kills a process (SIGKILL) and waits until it is dead.
    pub fn kill(&self, name: &str) -> Result<(), String> {
        self.signal(name, "KILL")?;
        self.await_death(name)
    }

    /// Waits until a process is dead, by whatever.
    pub fn await_death(&self, name: &str) -> Result<(), String> {
        self.pid(name).map_or(Ok(()), await_death)
    }

    /// Sends a signal to a process: `KILL`, `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str, signal: &str) -> Result<(), String> {
        let pid = self.pid(name).ok_or_else(|| format!("{name} does not run"))?;
        send(pid, signal)
    }

    /// Starts a process that is dead at its old place, and waits until it is ready.
    pub fn start_process(&self, name: &str) -> Result<(), String> {
        match &self.kind {
            Kind::Process { .. } => {
                let port = self.address.rsplit(':').next().and_then(|port| port.parse().ok());
                self.start_whole(port.unwrap_or_default()).map(|_| ())
            }
            Kind::Deployment { .. } => self.split(&["start", name]).map(|_| ()),
        }
    }

    /// Ends one process gently and starts it again at the same place.
    pub fn restart_process(&self, name: &str) -> Result<(), String> {
        match &self.kind {
            Kind::Deployment { .. } => self.split(&["restart", name]).map(|_| ()),
            Kind::Process { process, guard, .. } => {
                guard.tell("");
                let child = process.lock().unwrap_or_else(PoisonError::into_inner).take();
                child.map_or(Ok(()), end)?;
                self.start_process(name)
            }
        }
    }

    /// Ends every process gently and starts it again at the same place.
    pub fn restart(&self) -> Result<(), String> {
        self.processes()?.iter().try_for_each(|name| self.restart_process(name))
    }

    /// The folder of a process's failpoints: `armed`, `hit`, `seen`.
    pub fn failpoints(&self, process: &str) -> PathBuf {
        self.folder.join("failpoints").join(process)
    }

    /// The folder of the shop's data.
    pub fn data(&self) -> PathBuf {
        match &self.kind {
            Kind::Process { .. } => self.folder.join("data"),
            Kind::Deployment { .. } => self.folder.join("split/data"),
        }
    }

    /// The address of its database; `None` for SQLite.
    pub fn database_url(&self) -> Option<&str> {
        match &self.kind {
            Kind::Process { database_url, .. } => database_url.as_deref(),
            Kind::Deployment { database_url, .. } => Some(database_url),
        }
    }

    /// The prefix of its names in RabbitMQ and Redis; `None` for a shop that is one process.
    pub fn prefix(&self) -> Option<&str> {
        match &self.kind {
            Kind::Process { .. } => None,
            Kind::Deployment { database_url, .. } => Some(database_name(database_url)),
        }
    }

    /// Copies what the processes logged to where it stays, for a failure that needs an explanation.
    pub fn keep_logs(&self, name: &str) -> Result<(), String> {
        let kept = kept().join("logs").join(name);
        std::fs::create_dir_all(&kept).map_err(text)?;
        for folder in [self.folder.clone(), self.folder.join("split/log")] {
            for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = file.path();
                let is_log = path.extension().is_some_and(|end| end == "log");
                if is_log || file.file_name() == "log" && path.is_file() {
                    std::fs::copy(&path, kept.join(file.file_name())).map_err(text)?;
                }
            }
        }
        say(&format!("the logs of {name} are kept in {}", kept.display()));
        Ok(())
    }

    /// Runs `souk` on the shop's databases and broker, as its operator does: `["doctor", "--json"]`.
    pub fn operate(&self, arguments: &[&str]) -> Result<Doctor, String> {
        self.command(arguments).output().map_err(text).map(|output| Doctor {
            code: output.status.code(),
            printed: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The same, to be started by the caller.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = souk(&self.options.settings);
        command.args(arguments).arg("--data-dir").arg(self.data());
        if let Some(url) = self.database_url() {
            command.args(["--database-url", url]);
        }
        if let Some(prefix) = self.prefix() {
            command.env("SOUK__RABBITMQ__URL", self.options.servers.rabbitmq());
            command.env("SOUK__RABBITMQ__PREFIX", prefix);
        }
        command
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
    pub fn ask_the_doctor(&self) -> Result<Vec<String>, String> {
        let doctor = self.operate(&["doctor", "--json"])?;
        let report = doctor.json()?;
        all_were_asked(&report)?;
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        if checks.is_empty() || (doctor.code == Some(0)) != (report["healthy"] == true) {
            return Err(format!("souk doctor contradicts itself ({:?}): {}", doctor.code, doctor.printed));
        }
        let broken = checks.iter().filter(|check| check["holds"] != true);
        Ok(broken
            .map(|check| format!("{}: {} {}", check["module"], check["check"], check["violations"]))
            .collect())
    }

    /// What `souk doctor --open` lists: intents, keys, events and the like that wait to be finished or undone.
    pub fn what_is_open(&self) -> Result<Vec<Value>, String> {
        let report = self.operate(&["doctor", "--open", "--json"])?.json()?;
        all_were_asked(&report)?;
        report["open"]
            .as_array()
            .cloned()
            .ok_or_else(|| format!("souk doctor --open lists nothing: {report}"))
    }

    /// Ends what still runs; a second time does nothing.
    fn end_in_peace(&mut self) -> Result<(), String> {
        match &mut self.kind {
            Kind::Process { process, guard, .. } => {
                guard.tell("");
                let child = process.get_mut().map_err(text)?.take();
                // One that a test has killed, and left so, has ended.
                let ended = match child {
                    Some(mut child) => match child.try_wait().map_err(text)? {
                        None => end(child),
                        Some(_) => Ok(()),
                    },
                    None => Ok(()),
                };
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

/// What could not be asked is no good news.
fn all_were_asked(report: &Value) -> Result<(), String> {
    match report["unchecked"].as_array().is_none_or(Vec::is_empty) {
        true => Ok(()),
        false => Err(format!("souk doctor could not ask: {}", report["unchecked"])),
    }
}

/// The name of the database in an address.
fn database_name(url: &str) -> &str {
    url.rsplit('/').next().and_then(|last| last.split('?').next()).unwrap_or_default()
}
