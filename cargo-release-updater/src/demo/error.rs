//! Why the demonstration did not show what it should.

use crate::error::{ExitCode, Explain};
use std::path::PathBuf;
use std::process::ExitStatus;

/// What went wrong in a demonstration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A file or folder could not be handled.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended with an error, and has said why.
    #[error("`{what}` ended with {status}")]
    Ended {
        /// The program and its arguments.
        what: String,
        /// How.
        status: ExitStatus,
    },
    /// A program took too long.
    #[error("`{what}` did not end within {seconds} s")]
    TimedOut {
        /// The program.
        what: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// Ctrl-C cannot be caught, so that the folder would stay.
    #[error("cannot listen to signals")]
    Signal {
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody stopped it.
    #[error("stopped by a signal")]
    Stopped,
    /// The program did something else than it should.
    #[error("{what}{}", listed(lines))]
    Unexpected {
        /// What was expected.
        what: String,
        /// What happened.
        lines: Vec<String>,
    },
}

fn listed(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {}", line.escape_debug())).collect()
}

impl Explain for DemoError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Stopped => ExitCode::Usage,
            _ => ExitCode::Bundle,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Io { .. } => "check the space and the permissions of the temporary folder (TMPDIR)".to_owned(),
            Self::Start { .. } => "the temporary folder may forbid running programs; set TMPDIR to another".to_owned(),
            Self::Ended { .. } => "see its own message above; `cargo updater demo --keep` leaves the folder".to_owned(),
            Self::TimedOut { .. } => "run it again on a quieter machine".to_owned(),
            Self::Signal { .. } => "run it again, and report it if it stays".to_owned(),
            Self::Stopped => "everything was removed; run it again".to_owned(),
            Self::Unexpected { .. } => "run it with `--keep --verbose`, look around, and report it".to_owned(),
        }]
    }
}
