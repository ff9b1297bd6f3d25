//! How a command fails: what went wrong, of which kind, and what to do next.

use std::error::Error;

/// What a shell script sees. Documented in `docs/exit-codes.md`, and never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCode {
    /// Done, or nothing to do.
    Success = 0,
    /// Something that should not happen: a bug, or a machine in trouble.
    Unexpected = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Done, and before long people have to do something: a role comes near its end.
    Due = 10,
    /// Done as far as it goes now: somebody else has to sign, or a time to pass.
    Waiting = 11,
    /// The project's settings are missing or refused.
    Config = 20,
    /// The app could not be built, bundled, compared or rehearsed.
    Bundle = 30,
    /// A key is missing, locked, or not the one that is asked for.
    Key = 40,
    /// Published data did not pass the client's own verification.
    Verification = 50,
    /// The storage refused, failed, or was changed by somebody else.
    Storage = 60,
    /// A hook of the project failed or took too long.
    Hook = 70,
}

impl ExitCode {
    /// Every code, in order.
    pub const ALL: [Self; 11] = [
        Self::Success,
        Self::Unexpected,
        Self::Usage,
        Self::Due,
        Self::Waiting,
        Self::Config,
        Self::Bundle,
        Self::Key,
        Self::Verification,
        Self::Storage,
        Self::Hook,
    ];

    /// Returns the number that the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// An error that knows which exit code it ends with and what helps. Every error enum of this crate implements it, so
/// that `?` is enough in a command.
pub trait Explain: Error + Send + Sync + 'static {
    /// Returns the exit code.
    fn code(&self) -> ExitCode;
    /// Returns what to do next, each one line.
    fn hints(&self) -> Vec<String>;
}

/// The failure of a command.
#[derive(Debug)]
pub struct CommandError {
    /// Which exit code it ends with.
    pub code: ExitCode,
    /// What went wrong, with its causes.
    pub source: Box<dyn Error + Send + Sync>,
    /// What to do next, each one line.
    pub hints: Vec<String>,
}

/// The result of a command.
pub type CommandResult<T = ()> = Result<T, CommandError>;

impl CommandError {
    /// Makes an error from anything that can be one.
    pub fn new(code: ExitCode, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code, source: source.into(), hints: Vec::new() }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the message of each cause, the outermost first, leaving out one that only repeats the one before.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        causes(&*self.source)
    }
}

/// Returns an error and its causes in one line.
pub(crate) fn in_one_line(error: &dyn Error) -> String {
    causes(error).join(": ")
}

fn causes(error: &dyn Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let message = error.to_string();
        if messages.last() != Some(&message) {
            messages.push(message);
        }
        next = error.source();
    }
    messages
}

impl<E: Explain> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self { code: error.code(), hints: error.hints(), source: Box::new(error) }
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.causes().join(": "))
    }
}

impl Explain for updater_build::TableError {
    fn code(&self) -> ExitCode {
        ExitCode::Config
    }
    fn hints(&self) -> Vec<String> {
        vec![self.hint()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        let page = include_str!("../../docs/exit-codes.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && !line.contains("code")).collect();
        assert_eq!(rows.len(), ExitCode::ALL.len());
        for (row, code) in rows.iter().zip(ExitCode::ALL) {
            assert!(row.starts_with(&format!("| {} | {code:?} |", code.number())), "{row} is not {code:?}");
        }
    }

    #[test]
    fn causes_are_told_once_and_in_order() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open it")]
        struct Outer(#[source] std::io::Error);
        let error = CommandError::new(ExitCode::Storage, Outer(std::io::Error::other("disk on fire"))).hint("run");
        assert_eq!(error.causes(), ["cannot open it", "disk on fire"]);
        assert_eq!(error.hints, ["run"]);
    }
}
