//! What the launcher tells: a line in `launcher.log`, the same line on stderr in the foreground, and an event for clients.

use super::Supervisor;
use super::logs::RotatingLog;
use super::outlet::show_line;
use crate::control::VERSION;
use crate::error::Result;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use updater_format::UtcTime;
use updater_format::launcher::Log;
use updater_runtime::terminal_safe;

/// The launcher's own log.
#[derive(Debug)]
pub(super) struct Journal {
    log: RotatingLog,
    echo: bool,
    /// Lines that whoever watches did not take.
    unseen: u64,
}

/// A line of events.
#[derive(Debug, serde::Serialize)]
struct Event<'a> {
    v: u64,
    event: &'a str,
    message: &'a str,
    time: String,
    version: String,
}

impl Journal {
    pub(super) fn open(path: &Path, log: &Log) -> Result<Self> {
        let log = RotatingLog::open(path, log.bytes, log.files)?;
        Ok(Self { log, echo: std::io::stderr().is_terminal() || std::env::var_os(QUIET).is_none(), unseen: 0 })
    }

    /// Shows a line to whoever watches, if he takes it at once; it stands in the log all the same.
    fn show(&mut self, line: &str) {
        if self.unseen > 0 && show_line(format!("({} lines more stand in the log)\n", self.unseen).as_bytes()) {
            self.unseen = 0;
        }
        if self.unseen > 0 || !show_line(line.as_bytes()) {
            self.unseen += 1;
        }
    }

    /// Appends what a hook or a job has written.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.log.write(bytes);
    }
}

impl Supervisor {
    /// Tells what has happened: `name` for programs, `message` for people.
    pub(super) fn say(&mut self, name: &str, message: &str) {
        self.tell(name, message, FAILURES.contains(&name));
    }

    /// Tells it, and remembers it as the last error or not.
    pub(super) fn tell(&mut self, name: &str, message: &str, is_failure: bool) {
        let message = terminal_safe(message, MAX_MESSAGE);
        let time = now();
        let line = format!("{time} {name}: {message}\n");
        self.journal.log.write(line.as_bytes());
        if self.journal.echo {
            self.journal.show(&line);
        }
        let event =
            Event { v: VERSION, event: name, message: &message, time, version: self.version.version.to_string() };
        if let Some(server) = &mut self.server {
            server.tell(&event);
        }
        let time = event.time;
        if is_failure {
            self.note_failure(name, &message, time);
        }
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcTime::from_unix(i64::try_from(since.as_secs()).unwrap_or_default()).to_string()
}

/// Events that `status` shows as the last error.
const FAILURES: [&str; 4] = ["failed", "rolling-back", "unhealthy", "update-failed"];
/// Set for a launcher in the background, whose stderr is the same log.
pub(crate) const QUIET: &str = "UPDATER_LAUNCHER_DETACHED";
/// The most characters of a message: 2,000. What a server says may be in it.
const MAX_MESSAGE: usize = 2000;
