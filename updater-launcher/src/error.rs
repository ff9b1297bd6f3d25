//! What a command can end with: a message, the next step, and a documented exit code.

use std::path::{Path, PathBuf};
use updater_format::FormatError;
use updater_format::launcher::LauncherError;
use updater_runtime::{ConfigError, Error as UpdateError, FirstInstallError, InstallError};

/// A command that did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A file or folder could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The arguments do not fit together.
    #[error("{problem}")]
    Usage {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// A folder that has no install.
    #[error("{} has no install", path.display())]
    NoInstall {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder that others than the administrator can change, who runs this.
    #[error("{} can be changed by others, who would choose what runs as root", path.display())]
    NotTrusted {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder that something else is in.
    #[error("{} is not empty: it has {found}", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// The first thing found.
        found: String,
    },
    /// An interrupted install of something else.
    #[error("{} has an unfinished install of {found}", path.display())]
    OtherInstall {
        /// The folder.
        path: PathBuf,
        /// What was being installed there.
        found: String,
    },
    /// A table with an unknown key or a wrong value.
    #[error("{}: {source}{}", path.display(), suggestion.as_deref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
    Settings {
        /// The file.
        path: PathBuf,
        /// The known key that looks most like it.
        suggestion: Option<String>,
        /// What is wrong.
        source: LauncherError,
    },
    /// A file that cannot be read as what it should be.
    #[error("{} cannot be read: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A variable that does not exist.
    #[error("unknown variable `{{{{{name}}}}}` in {text:?}")]
    Variable {
        /// Its name.
        name: String,
        /// Where it stands.
        text: String,
    },
    /// A name or number that breaks the rule of its type.
    #[error(transparent)]
    Name(#[from] FormatError),
    /// The first install did not come about.
    #[error(transparent)]
    FirstInstall(#[from] FirstInstallError),
    /// A check or an update ended without a result.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// There is a newer version, but not for this install; or it cannot be told.
    #[error("{problem}")]
    NoUpdate {
        /// The reason.
        problem: String,
    },
    /// The launcher cannot update itself.
    #[error("this launcher does not update itself: {reason}")]
    NoSelfUpdate {
        /// Why not.
        reason: String,
    },
    /// Another launcher has the folder.
    #[error("another launcher{} has {}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Its process, if known.
        pid: Option<u32>,
    },
    /// No launcher runs for this folder.
    #[error("no launcher runs for {}", path.display())]
    NotRunning {
        /// The folder.
        path: PathBuf,
    },
    /// The supervisor ended before it had answered.
    #[error("the launcher of {} ended before it answered", path.display())]
    HungUp {
        /// The folder.
        path: PathBuf,
    },
    /// The supervisor refused, or failed to do, what it was asked for.
    #[error("{message}")]
    Refused {
        /// What it said.
        message: String,
        /// What it advises.
        hint: String,
        /// The exit code that the same outcome has without a supervisor.
        exit: u8,
    },
    /// The supervisor does not answer, although it is there.
    #[error("the launcher of {} does not answer", path.display())]
    Silent {
        /// The folder.
        path: PathBuf,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {problem}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        problem: String,
    },
    /// What was started did not do well: a command, a health check, or the app itself.
    #[error("{what} {problem}")]
    Failed {
        /// What was started.
        what: String,
        /// How it failed.
        problem: String,
    },
    /// A process of the launcher that did a step of an update was killed, or ended by itself, before it could say how it went.
    #[error("the process of the {job} has ended without a result")]
    Lost {
        /// Which step.
        job: &'static str,
    },
    /// A hook failed.
    #[error("hook {name}: {problem}")]
    Hook {
        /// Which one.
        name: &'static str,
        /// How it failed.
        problem: String,
    },
    /// The new version did not become ready.
    #[error("version {version} failed: {problem}; {previous} {outcome}")]
    Unhealthy {
        /// The version.
        version: String,
        /// The version that was put back.
        previous: String,
        /// What has become of that: it runs, or had failed before.
        outcome: &'static str,
        /// How it failed.
        problem: String,
    },
    /// Something that this system cannot do.
    #[error("{what}: not on {}", std::env::consts::OS)]
    NotHere {
        /// What was asked for.
        what: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The launcher was asked to end meanwhile.
    #[error("the launcher was asked to stop")]
    Stopping,
}

impl Error {
    /// Makes the error of a file or folder.
    pub(crate) fn file(action: &'static str, path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::File { action, path: path.to_owned(), source: source.into() }
    }

    /// Makes the refusal of a socket that the launcher is to hold.
    pub(crate) fn no_sockets() -> Self {
        Self::NotHere {
            what: "`listen`, a socket that the launcher hands to the app",
            hint: "let the app listen by itself, and set no `listen`; docs/launcher.md, \"Windows\"",
        }
    }

    /// Returns the next step.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "run it as the user to whom the folder belongs"
            }
            Self::File { .. } => "check the path and its permissions",
            Self::Usage { hint, .. } => hint,
            Self::NoInstall { .. } => {
                "install an app there with `updater-launcher install URL DIR`, or name its folder with -C"
            }
            Self::NotTrusted { .. } => {
                "run it as the user to whom the folder belongs, or give it to root and take the right to write from others"
            }
            Self::Occupied { .. } => "name an empty folder or one that does not exist yet; `updater-launcher update` takes what is newer for an install that is there",
            Self::OtherInstall { .. } => "finish that install with the same command, or remove the folder",
            Self::Settings { .. } => {
                "mend the key; docs/format/launcher.md lists them all"
            }
            Self::Format { .. } => "mend or remove the file",
            Self::Variable { .. } => {
                "known are {{version}}, {{previous}}, {{dir}}, {{root}}, {{app}}, {{fd}} and {{value.NAME}}"
            }
            Self::Name(_) => "correct it",
            Self::FirstInstall(error) => return error.hint().to_owned(),
            Self::Update(UpdateError::Config(ConfigError::Url { .. })) => {
                "name the repository as https://..., or as file:/... on this computer; plain http is for this computer alone"
            }
            Self::Update(error) => error.hint(),
            Self::NoUpdate { .. } => "the app goes on with the version that is installed",
            Self::NoSelfUpdate { .. } => {
                "replace its program as it was installed, then `updater-launcher restart --launcher`; docs/launcher.md says how a publisher builds one that updates itself"
            }
            Self::Busy { .. } => "talk to it with `updater-launcher status`, or end it with `updater-launcher stop`",
            Self::NotRunning { .. } => "start it with `updater-launcher start`",
            Self::HungUp { .. } => "its log is var/log/launcher.log; start it again with `updater-launcher start`",
            Self::Refused { hint, .. } => hint,
            Self::Silent { .. } => "look whether its process stands still (its number is in var/run/lock): wake it with `kill -CONT`, or end it with `kill -KILL` and start it again",
            Self::Start { .. } => "check `exec` with `updater-launcher config`",
            Self::Failed { .. } => "what it has written is in var/log",
            Self::Lost { .. } => "somebody has killed it, or memory was short; look at var/log/launcher.log and ask again",
            Self::Hook { .. } => "the old version goes on; the hook's output is in var/log/launcher.log",
            Self::Unhealthy { .. } => "its output is in var/log; it is not offered again until there is a newer one",
            Self::NotHere { hint, .. } => hint,
            Self::Stopping => "start it again to go on",
        }
        .to_owned()
    }

    /// Returns the name of the error for programs, which never changes.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Usage { .. } => "usage",
            Self::NoInstall { .. } => "no-install",
            Self::NotTrusted { .. } => "not-trusted",
            Self::Occupied { .. } => "occupied",
            Self::OtherInstall { .. } => "other-install",
            Self::Settings { .. } => "settings",
            Self::Format { .. } => "format",
            Self::Variable { .. } => "variable",
            Self::Name(_) => "name",
            Self::FirstInstall(error) => error.code(),
            Self::Update(error) => error.code(),
            Self::NoUpdate { .. } => "no-update",
            Self::NoSelfUpdate { .. } => "no-self-update",
            Self::Busy { .. } => "busy",
            Self::NotRunning { .. } => "not-running",
            Self::HungUp { .. } => "hung-up",
            Self::Refused { .. } => "refused",
            Self::Silent { .. } => "silent",
            Self::Start { .. } => "start",
            Self::Failed { .. } => "failed",
            Self::Lost { .. } => "lost",
            Self::Hook { .. } => "hook",
            Self::Unhealthy { .. } => "unhealthy",
            Self::NotHere { .. } => "not-here",
            Self::Stopping => "stopping",
        }
    }

    /// Returns the exit code: 2 usage, 20 settings, 50 repository or release, 70 folder or file, 75 busy or not running,
    /// 80 the app itself.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Name(_) | Self::NotHere { .. } => 2,
            Self::Settings { .. } | Self::Format { .. } | Self::Variable { .. } => 20,
            Self::FirstInstall(_) | Self::Update(_) | Self::NoUpdate { .. } | Self::NoSelfUpdate { .. } => 50,
            Self::File { .. }
            | Self::NotTrusted { .. }
            | Self::NoInstall { .. }
            | Self::Occupied { .. }
            | Self::OtherInstall { .. } => 70,
            Self::Busy { .. }
            | Self::NotRunning { .. }
            | Self::HungUp { .. }
            | Self::Silent { .. }
            | Self::Stopping => 75,
            Self::Refused { exit, .. } => *exit,
            Self::Start { .. }
            | Self::Failed { .. }
            | Self::Lost { .. }
            | Self::Hook { .. }
            | Self::Unhealthy { .. } => 80,
        }
    }

    /// Returns the message and those of all causes in one line.
    pub(crate) fn full_message(&self) -> String {
        let mut message = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            next = cause.source();
        }
        message
    }
}

impl From<InstallError> for Error {
    fn from(error: InstallError) -> Self {
        Self::Update(error.into())
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Update(error.into())
    }
}

/// What most functions here return.
pub(crate) type Result<T> = std::result::Result<T, Error>;
