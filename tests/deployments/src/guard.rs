//! What must not outlive the run (processes, queues, a deployment) is also known to a guard: a shell that waits for its
//! input to end, which happens however this program dies, and then cleans up.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::process::{ROOT, say, text, without_settings};

/// What the guard of a process does: it is told which process there is, an empty line for none, and waits for the end.
pub(crate) const END_PROCESS: &str = r#"
pid=
while read -r line; do pid=$line; done
[ -z "$pid" ] || { kill -CONT "$pid"; kill -TERM "$pid"; }
for _ in $(seq 200); do
  [ -n "$pid" ] && kill -0 "$pid" || break
  sleep 0.05
done
rm -rf "$FOLDER"
[ -z "$DATABASE" ] || psql -X -q -w -d "$SERVER" -c "DROP DATABASE IF EXISTS $DATABASE WITH (FORCE)"
"#;

/// What the guard of a deployment does. What could not be taken down is left to be looked at.
pub(crate) const END_DEPLOYMENT: &str = r#"
while read -r _; do :; done
scripts/split.sh down --purge >"$FOLDER/down.log" 2>&1 && rm -rf "$FOLDER"
"#;

/// A shell that cleans up when its input ends.
pub(crate) struct Guard {
    shell: Child,
    input: Mutex<Option<ChildStdin>>,
}

impl Guard {
    pub(crate) fn start(script: &str, environment: &[(String, String)]) -> Result<Self, String> {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).current_dir(ROOT).process_group(0);
        without_settings(&mut shell).envs(environment.iter().map(|(name, value)| (name, value)));
        let mut shell =
            shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(text)?;
        let input = Mutex::new(shell.stdin.take());
        Ok(Self { shell, input })
    }

    /// Says a line to it: which process to end.
    pub(crate) fn tell(&self, line: &str) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = input.as_mut().map(|input| writeln!(input, "{line}")) {
            say(&format!("the guard of a shop is gone: {error}"));
        }
    }

    /// Lets it clean up and waits for it; a second time does nothing.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        drop(self.input.get_mut().map_err(text)?.take());
        self.shell.wait().map_err(text).map(|_| ())
    }
}
