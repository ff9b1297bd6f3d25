//! What every command is given: where it runs, whom it talks to, what time it is.

use crate::shell::Shell;
use std::path::{Path, PathBuf};
use updater_format::UtcTime;

/// Built once, passed down by reference.
#[derive(Debug)]
pub struct Context {
    /// Where output goes.
    pub shell: Shell,
    /// The folder that relative paths start from.
    pub working_dir: PathBuf,
    /// Where the time comes from.
    pub clock: Clock,
    /// Whether a person can be asked.
    pub prompts: Prompts,
}

/// Where the time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The system's clock.
    System,
    /// Always this moment, for tests.
    Fixed(UtcTime),
}

impl Clock {
    /// Returns the time. A system clock before 1970 reads as 1970.
    #[must_use]
    pub fn now(self) -> UtcTime {
        match self {
            Self::Fixed(time) => time,
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                UtcTime::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
            }
        }
    }
}

/// Whether a person can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompts {
    /// Stdin and stderr are a terminal.
    Allowed,
    /// There is nobody: a missing answer is an error that names the option.
    Never,
}

impl Prompts {
    /// Looks whether stdin and stderr are a terminal.
    #[must_use]
    pub fn of_process() -> Self {
        use std::io::IsTerminal as _;
        match std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
            true => Self::Allowed,
            false => Self::Never,
        }
    }
}

/// Whether a command acts or only tells what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execute {
    /// Writes, uploads, publishes.
    ForReal,
    /// Prints the plan; nothing is changed.
    DryRun,
}

impl Context {
    /// Makes a path absolute from the folder that the command runs in.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.working_dir.join(path)
    }
}
