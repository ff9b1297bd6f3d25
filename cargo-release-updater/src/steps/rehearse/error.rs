//! Why a release did not pass its rehearsal, so that nobody gets it.

use crate::error::{ExitCode, Explain};
use crate::serve::ServeError;
use std::path::PathBuf;
use updater_format::bundle::BundleError;
use updater_format::{FilePath, ReleaseVersion, TargetName};

/// What went wrong in a rehearsal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearseError {
    /// The signed release could not be served on loopback.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A file could not be handled.
    #[error("cannot use {} in the rehearsal", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A bundle is not what was signed.
    #[error("{} is not the bundle that was signed", path.display())]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// The client found no update.
    #[error("the client at {from} does not take {to}: {why}")]
    NoUpdate {
        /// The installed release.
        from: ReleaseVersion,
        /// The new one.
        to: ReleaseVersion,
        /// What the client says.
        why: String,
    },
    /// The client found another update.
    #[error("the client at {from} takes {found} instead of {to}")]
    OtherVersion {
        /// The installed release.
        from: ReleaseVersion,
        /// The new one.
        to: ReleaseVersion,
        /// What the client takes.
        found: Box<ReleaseVersion>,
    },
    /// The client went back to another route.
    #[error("the client at {from} cannot use {name} to reach {to}: {why}")]
    Route {
        /// The installed release.
        from: ReleaseVersion,
        /// The new one.
        to: ReleaseVersion,
        /// The patch or bundle.
        name: Box<TargetName>,
        /// What the client says.
        why: String,
    },
    /// The client failed.
    #[error("the update from {from} to {to} does not work")]
    Client {
        /// The installed release.
        from: ReleaseVersion,
        /// The new one.
        to: ReleaseVersion,
        /// Why.
        source: Box<updater_runtime::Error>,
    },
    /// An installed file is not the new release's.
    #[error("after the update {path} is not the file of the new release")]
    Differs {
        /// The file.
        path: FilePath,
    },
}

impl Explain for RehearseError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Serve(error) => error.code(),
            _ => ExitCode::Bundle,
        }
    }

    fn hints(&self) -> Vec<String> {
        let first = match self {
            Self::Serve(error) => return error.hints(),
            Self::Io { .. } => "check the space and the permissions there".to_owned(),
            Self::Bundle { .. } => "remove target/updater and run the command again".to_owned(),
            Self::NoUpdate { .. } | Self::OtherVersion { .. } => {
                "nothing was published; compare with `cargo updater status`".to_owned()
            }
            Self::Route { .. } => {
                "nothing was published; make the patches again, or publish with `--no-patches`".to_owned()
            }
            Self::Client { source, .. } => format!("nothing was published; {}", source.hint()),
            Self::Differs { .. } => "nothing was published; report the two releases".to_owned(),
        };
        let mut hints = vec![first];
        if let Self::Client { source, .. } = self
            && source.code() == UNPROBED
        {
            // A client that does not contain the runtime either: whoever updates it decides, and says so once.
            hints.push("for a program without updater-runtime, set `probe = false` in its table".to_owned());
        }
        hints
    }
}

/// The code of a program that did not answer the probe.
const UNPROBED: &str = "install-probe";
