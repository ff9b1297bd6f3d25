//! The only code that prints. People read stderr; programs read stdout.

use crate::error::CommandError;
use anstyle::{AnsiColor, Style};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

/// How results are written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MessageFormat {
    /// Text for people.
    #[default]
    Human,
    /// One JSON object per line, each with a `reason`.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is told on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Warnings and errors only.
    Quiet,
    /// Each step.
    #[default]
    Normal,
    /// Each step with its details.
    Verbose,
}

/// A line of `--message-format json`. The name of the line stands in `reason`, as in Cargo's own messages.
pub trait Message: serde::Serialize {
    /// The value of the field `reason`, kebab-case.
    const REASON: &'static str;
}

/// Where output goes. Shared by reference; lines of several threads never mix.
#[derive(Debug)]
pub struct Shell {
    format: MessageFormat,
    verbosity: Verbosity,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Process {
        terminal: bool,
    },
    /// Keeps everything, for tests: stderr and stdout.
    Captured(Mutex<(String, String)>),
}

impl Shell {
    /// Makes the shell of this process.
    #[must_use]
    pub fn new(format: MessageFormat, color: ColorChoice, verbosity: Verbosity) -> Self {
        match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        // Bars and questions have a switch of their own.
        if color != ColorChoice::Auto {
            dialoguer::console::set_colors_enabled_stderr(color == ColorChoice::Always);
        }
        Self { format, verbosity, sink: Sink::Process { terminal: std::io::stderr().is_terminal() } }
    }

    /// Makes a shell that keeps what it is told instead of printing it.
    #[must_use]
    pub fn captured(format: MessageFormat) -> Self {
        Self { format, verbosity: Verbosity::Verbose, sink: Sink::Captured(Mutex::default()) }
    }

    /// Returns what a [`Shell::captured`] has kept: stderr and stdout. Empty for the shell of the process.
    #[must_use]
    pub fn output(&self) -> (String, String) {
        match &self.sink {
            Sink::Process { .. } => Default::default(),
            Sink::Captured(kept) => kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
        }
    }

    /// Returns the format of results.
    #[must_use]
    pub fn format(&self) -> MessageFormat {
        self.format
    }

    /// Tells whether progress bars make sense: stderr is a terminal and nobody asked for quiet.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        matches!(self.sink, Sink::Process { terminal: true }) && self.verbosity >= Verbosity::Normal
    }

    /// Tells a step, as Cargo does: a verb right-aligned in 12 columns, then what it is done to.
    pub fn status(&self, verb: &str, what: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            let green = AnsiColor::Green.on_default().bold();
            self.stderr(&format!("{green}{verb:>12}{green:#} {what}"));
        }
    }

    /// Tells a detail of a step, with `--verbose` only.
    pub fn detail(&self, what: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.stderr(&format!("{:>12} {what}", ""));
        }
    }

    /// Tells something to act on that does not stop the command.
    pub fn warn(&self, what: impl std::fmt::Display) {
        self.labelled(AnsiColor::Yellow.on_default().bold(), "warning", &what);
        if self.format == MessageFormat::Json {
            self.message(&Warning { message: what.to_string() });
        }
    }

    /// Tells something worth knowing.
    pub fn note(&self, what: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Normal {
            self.labelled(AnsiColor::Cyan.on_default().bold(), "note", &what);
        }
    }

    /// Tells why the command failed and what helps.
    pub fn error(&self, error: &CommandError) {
        let causes = error.causes();
        self.labelled(AnsiColor::Red.on_default().bold(), "error", &causes[0]);
        for cause in &causes[1..] {
            self.stderr(&format!("  caused by: {}", cause.replace('\n', "\n    ")));
        }
        let cyan = AnsiColor::Cyan.on_default().bold();
        for hint in &error.hints {
            self.stderr(&format!("  {cyan}help{cyan:#}: {hint}"));
        }
        if self.format == MessageFormat::Json {
            self.message(&Failure { code: error.code.number(), causes, hints: error.hints.clone() });
        }
    }

    /// Writes a result as one JSON line on stdout, with `--message-format json` only.
    pub fn message<M: Message>(&self, message: &M) {
        if self.format != MessageFormat::Json {
            return;
        }
        // Serialising plain data into memory fails only for maps with keys that are no strings; none of ours has any.
        if let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(message) {
            fields.insert("reason".to_owned(), M::REASON.into());
            self.stdout(&serde_json::Value::Object(fields).to_string());
        }
    }

    /// Writes a text for other programs on stdout as it is, whatever format was asked for: a script, a schema.
    pub fn text(&self, text: &str) {
        match &self.sink {
            Sink::Process { .. } => drop(std::io::stdout().lock().write_all(text.as_bytes())),
            Sink::Captured(kept) => self.keep(kept, |(_, stdout)| stdout, text.trim_end_matches('\n')),
        }
    }

    /// Writes a result for people on stdout, unless JSON was asked for.
    pub fn result(&self, text: impl std::fmt::Display) {
        if self.format == MessageFormat::Human {
            self.stdout(&text.to_string());
        }
    }

    fn labelled(&self, style: Style, label: &str, what: &dyn std::fmt::Display) {
        self.stderr(&format!("{style}{label}{style:#}: {what}"));
    }

    /// Writes a line; a closed pipe is nobody's error.
    fn stderr(&self, line: &str) {
        match &self.sink {
            Sink::Process { .. } => drop(writeln!(anstream::stderr().lock(), "{line}")),
            Sink::Captured(kept) => self.keep(kept, |(stderr, _)| stderr, line),
        }
    }

    fn stdout(&self, line: &str) {
        match &self.sink {
            Sink::Process { .. } => drop(writeln!(anstream::stdout().lock(), "{line}")),
            Sink::Captured(kept) => self.keep(kept, |(_, stdout)| stdout, line),
        }
    }

    fn keep(&self, kept: &Mutex<(String, String)>, part: fn(&mut (String, String)) -> &mut String, line: &str) {
        let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let text = part(&mut kept);
        text.push_str(&anstream::adapter::strip_str(line).to_string());
        text.push('\n');
    }
}

#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Warning {
    message: String,
}

impl Message for Warning {
    const REASON: &'static str = "warning";
}

#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Failure {
    code: u8,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Message for Failure {
    const REASON: &'static str = "error";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExitCode;

    #[test]
    fn verbs_are_right_aligned_and_errors_carry_their_help() {
        let shell = Shell::captured(MessageFormat::Human);
        shell.status("Bundling", "hello 1.4.0");
        shell.error(&CommandError::new(ExitCode::Key, "no key").hint("make one"));
        shell.result("text");
        let (stderr, stdout) = shell.output();
        assert_eq!(stderr, "    Bundling hello 1.4.0\nerror: no key\n  help: make one\n");
        assert_eq!(stdout, "text\n");
    }

    #[test]
    fn json_goes_to_stdout_one_object_per_line() {
        let shell = Shell::captured(MessageFormat::Json);
        shell.warn("careful");
        shell.error(&CommandError::new(ExitCode::Key, "no key").hint("make one"));
        shell.result("not for programs");
        let (_, stdout) = shell.output();
        assert_eq!(
            stdout,
            "{\"message\":\"careful\",\"reason\":\"warning\"}\n\
             {\"causes\":[\"no key\"],\"code\":40,\"hints\":[\"make one\"],\"reason\":\"error\"}\n"
        );
    }
}
