//! Servers of one test's own, which it may stop, kill, restart and flush: PostgreSQL, RabbitMQ and Redis, each on a free port
//! with a folder of its own. They end with their value, or with this program, however it ends.
//!
//! Rejected: proxies before the servers that everybody shares. A connection that is cut says nothing of a server that
//! comes up again with its own idea of what was committed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::guard::Guard;
use crate::process::{await_death, await_that, is_alive, say, send, text, without_settings};

/// How long a server may take to listen.
const START_BOUND: Duration = Duration::from_secs(60);

/// PostgreSQL refuses to run as root; Debian keeps its programs out of everybody's path.
const POSTGRES: &str = r#"
as_postgres() {
  if [ "$(id -u)" -ne 0 ]; then (cd / && "$@")
  elif id postgres >/dev/null 2>&1; then (cd / && runuser -u postgres -- "$@")
  else (cd / && runuser -u nobody -- "$@"); fi
}
bin=$(pg_config --bindir 2>/dev/null || true)
[ -x "$bin/initdb" ] || bin=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1 | xargs -r dirname)
[ -x "$bin/initdb" ] || { echo "there is no initdb here"; exit 1; }
"#;

/// Its data dies with it, so nothing waits for the disk.
const MAKE_POSTGRES: &str = r#"
[ "$(id -u)" -ne 0 ] || chown "$(as_postgres id -u)" "$FOLDER"
as_postgres "$bin/initdb" -D "$FOLDER/data" -U postgres -A trust -E UTF8 --no-locale
cat >"$FOLDER/settings" <<END
port = $PORT
listen_addresses = '127.0.0.1'
unix_socket_directories = '$FOLDER'
max_connections = 400
fsync = off
full_page_writes = off
END
as_postgres bash -c 'cat "$0/settings" >>"$0/data/postgresql.conf"' "$FOLDER"
"#;

/// Programs of RabbitMQ find their node by this.
const RABBITMQ: &str = r#"
export RABBITMQ_CONFIG_FILE=$FOLDER/none.conf RABBITMQ_NODENAME=$NODE RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
export RABBITMQ_NODE_PORT=$PORT RABBITMQ_DIST_PORT=$OTHER_PORT RABBITMQ_MNESIA_BASE=$FOLDER/data
export RABBITMQ_LOG_BASE=$FOLDER/log RABBITMQ_ENABLED_PLUGINS_FILE=$FOLDER/plugins
"#;

/// Whoever ends in order says so. Otherwise the shop's own guard is at work at the same time, and needs the server once more.
const WAIT_FOR_THE_END: &str = r#"
ends_in_order= pid=
while read -r line; do
  case $line in end) ends_in_order=yes ;; *) pid=$line ;; esac
done
[ -n "$ends_in_order" ] || sleep 30
"#;

/// A server of a test: its folder, its ports, and who ends it.
struct Place {
    folder: PathBuf,
    environment: Vec<(String, String)>,
    guard: Guard,
    port: u16,
}

impl Place {
    /// A folder and two free ports; `end` stops the server that will be there, and may use `$pid`.
    fn new(kind: &str, end: &str) -> Result<Self, String> {
        let folder =
            tempfile::Builder::new().prefix(&format!("souk-{kind}-")).tempdir().map_err(text)?.keep();
        let (port, other) = (free_port()?, free_port()?);
        let environment: Vec<(String, String)> = [
            ("FOLDER", folder.display().to_string()),
            ("PORT", port.to_string()),
            ("OTHER_PORT", other.to_string()),
            ("NODE", format!("souk-test-{port}@localhost")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let script = format!("{WAIT_FOR_THE_END}\n{end}\nrm -rf \"$FOLDER\"");
        let guard = Guard::start(&script, &environment)?;
        Ok(Self { folder, environment, guard, port })
    }

    /// Runs a script in the server's environment. What it prints goes to a file, as servers that it starts keep it open.
    fn run(&self, script: &str) -> Result<String, String> {
        let said = self.folder.join("said");
        let file = File::create(&said).map_err(text)?;
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("set -euo pipefail\n{script}")]).stdin(Stdio::null());
        shell.stdout(file.try_clone().map_err(text)?).stderr(file);
        without_settings(&mut shell).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let status = shell.status().map_err(text)?;
        let said = std::fs::read_to_string(said).map_err(text)?;
        if status.success() { Ok(said) } else { Err(format!("{}: {status}:\n{said}", self.folder.display())) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guard.tell("end");
        if let Err(failure) = self.guard.end() {
            say(&failure);
        }
    }
}

/// Below those ports that the system gives to outgoing connections: a server that restarts must find its own free.
fn free_port() -> Result<u16, String> {
    for _ in 0..200 {
        let [low, high, ..] = *testkit::fresh_id().as_bytes().last_chunk::<4>().unwrap_or(&[0; 4]);
        let port = 30_000 + u16::from_be_bytes([low, high]) % 2_700;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("there is no free port from 30000 to 32700".to_owned())
}

fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn await_listening(port: u16) -> Result<(), String> {
    let found = await_that(START_BOUND, || Ok(listens(port).then_some(())))?;
    found.ok_or_else(|| format!("nobody listens on port {port}"))
}

fn has(program: &str) -> bool {
    let found =
        Command::new("bash").args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// How PostgreSQL stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, what was not committed is rolled back.
    Fast,
    /// As in a crash: the next start recovers from the write-ahead log.
    Immediate,
}

/// A PostgreSQL server of a test's own.
pub struct PrivatePostgres {
    place: Place,
}

impl PrivatePostgres {
    /// What is missing to have one; `None` if nothing is.
    pub fn missing() -> Option<String> {
        let found = Command::new("bash").args(["-c", POSTGRES]).output();
        match found {
            Ok(found) if found.status.success() => None,
            _ => Some("there is no initdb here".to_owned()),
        }
    }

    /// A new server that takes connections.
    pub fn start() -> Result<Self, String> {
        let end = format!("{POSTGRES}\nas_postgres \"$bin/pg_ctl\" -D \"$FOLDER/data\" -m immediate -s stop");
        let server = Self { place: Place::new("postgres", &end)? };
        server.place.run(&format!("{POSTGRES}\n{MAKE_POSTGRES}"))?;
        server.start_again()?;
        Ok(server)
    }

    /// A superuser's address.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.place.port)
    }

    /// Stops it.
    pub fn stop(&self, how: Stop) -> Result<(), String> {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.control(&format!("-m {mode} -w -t 60 -s stop"))
    }

    /// Starts it where it was and waits until it takes connections.
    pub fn start_again(&self) -> Result<(), String> {
        self.control("-l \"$FOLDER/data/log\" -w -t 60 -s start")
    }

    fn control(&self, arguments: &str) -> Result<(), String> {
        let script = format!("{POSTGRES}\nas_postgres \"$bin/pg_ctl\" -D \"$FOLDER/data\" {arguments}");
        self.place.run(&script).map(|_| ())
    }
}

/// A RabbitMQ server of a test's own.
pub struct PrivateRabbitmq {
    place: Place,
}

impl PrivateRabbitmq {
    /// What is missing to have one; `None` if nothing is.
    pub fn missing() -> Option<String> {
        let programs = ["rabbitmq-server", "rabbitmqctl"];
        programs.into_iter().find(|name| !has(name)).map(|name| format!("there is no {name} here"))
    }

    /// A new server that is ready.
    pub fn start() -> Result<Self, String> {
        // One that is only just starting cannot be told yet.
        let stop = "for _ in $(seq 10); do ! rabbitmqctl -q -n \"$NODE\" stop || break; sleep 0.5; done";
        let end = format!("{RABBITMQ}\n{stop}");
        let server = Self { place: Place::new("rabbitmq", &end)? };
        // As root the server becomes a user of its own; the machine's own settings may name a port.
        server.place.run("chmod 0777 \"$FOLDER\"; : >\"$FOLDER/none.conf\"")?;
        server.start_again()?;
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.place.port)
    }

    /// Kills it (SIGKILL) and waits until it is dead.
    pub fn kill(&self) -> Result<(), String> {
        let printed = self.place.run("rabbitmqctl -q -n \"$NODE\" eval 'os:getpid().'")?;
        let pid = printed.chars().filter(char::is_ascii_digit).collect::<String>();
        let pid: u32 = pid.parse().map_err(|_| format!("RabbitMQ's number is not {printed}"))?;
        send(pid, "KILL")?;
        await_death(pid)
    }

    /// Starts it where it was and waits until it is ready.
    pub fn start_again(&self) -> Result<(), String> {
        // A node that is not there yet is an error to `await_startup`, not something to wait for.
        let wait = "for _ in $(seq 60); do \
             if rabbitmqctl -q -n \"$NODE\" await_startup --timeout 60; then exit 0; fi; sleep 0.5; done; exit 1";
        self.place.run(&format!("{RABBITMQ}\nrabbitmq-server -detached\n{wait}"))?;
        await_listening(self.place.port)
    }
}

/// A Redis server of a test's own. It keeps nothing on disk.
pub struct PrivateRedis {
    place: Place,
}

impl PrivateRedis {
    /// What is missing to have one; `None` if nothing is.
    pub fn missing() -> Option<String> {
        (!has("redis-server")).then(|| "there is no redis-server here".to_owned())
    }

    /// A new server that takes connections.
    pub fn start() -> Result<Self, String> {
        let end = "[ -z \"$pid\" ] || kill -KILL \"$pid\"";
        let server = Self { place: Place::new("redis", end)? };
        server.start_again()?;
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.place.port)
    }

    /// Starts it where it was, empty, and waits until it takes connections.
    pub fn start_again(&self) -> Result<(), String> {
        self.place.run(
            "redis-server --bind 127.0.0.1 --port \"$PORT\" --save '' --appendonly no --dir \"$FOLDER\" \
             --daemonize yes --pidfile \"$FOLDER/pid\" --logfile \"$FOLDER/log\"",
        )?;
        await_listening(self.place.port)?;
        self.place.guard.tell(&self.pid()?.to_string());
        Ok(())
    }

    fn pid(&self) -> Result<u32, String> {
        let file = self.place.folder.join("pid");
        let written = || Ok(read_number(&file).filter(|pid| is_alive(*pid)));
        await_that(START_BOUND, written)?.ok_or_else(|| "Redis does not run".to_owned())
    }

    /// Kills it (SIGKILL), with all that it held.
    pub fn kill(&self) -> Result<(), String> {
        let pid = self.pid()?;
        self.place.guard.tell("");
        send(pid, "KILL")?;
        await_death(pid)
    }

    /// Stops it in its tracks: connections stay, nothing is answered.
    pub fn hang(&self) -> Result<(), String> {
        send(self.pid()?, "STOP")
    }

    /// Lets it go on after [`Self::hang`].
    pub fn go_on(&self) -> Result<(), String> {
        send(self.pid()?, "CONT")
    }

    /// Forgets every key.
    pub fn flush(&self) -> Result<(), String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.place.port)).map_err(text)?;
        stream.set_read_timeout(Some(START_BOUND)).map_err(text)?;
        stream.write_all(b"FLUSHALL\r\n").map_err(text)?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).map_err(text)?;
        if answer == *b"+OK\r\n" { Ok(()) } else { Err("Redis did not flush".to_owned()) }
    }
}

fn read_number(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
