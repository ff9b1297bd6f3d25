//! The only code that prints. People read stderr, programs read stdout.

use crate::error::Error;
use std::io::Write as _;
use updater_runtime::terminal_safe;

/// Writes a line of results to stdout. A reader that is gone is no error.
pub(crate) fn out(line: impl AsRef<str>) {
    is_out(line);
}

/// Writes a line of results to stdout. Returns whether anybody reads it.
pub(crate) fn is_out(line: impl AsRef<str>) -> bool {
    writeln!(std::io::stdout().lock(), "{}", line.as_ref()).is_ok()
}

/// Writes a text that ends with its own line to stdout. A reader that is gone is no error.
pub(crate) fn text(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes a step to stderr: a verb in twelve columns, and what it is about.
pub(crate) fn step(verb: &str, what: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{verb:>12} {}", terminal_safe(what.as_ref(), MAX_LINE));
}

/// Writes an error and what to do next to stderr.
pub(crate) fn error(error: &Error) {
    let message = terminal_safe(&error.full_message(), MAX_LINE);
    let _ = writeln!(std::io::stderr().lock(), "error: {message}\n  help: {}", error.hint());
}

/// Lets what the runtime tells go to stderr, which is the launcher's log where a job runs.
pub(crate) fn log_to_stderr() {
    if log::set_logger(&StderrLog).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

struct StderrLog;

impl log::Log for StderrLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info && metadata.target().starts_with("updater")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            step("update", record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The most characters of a line: 4,096. What a server says is not let loose on a terminal.
const MAX_LINE: usize = 4096;
