//! Why no patch was made, or one was thrown away.

use crate::error::{ExitCode, Explain};
use crate::steps::bundle::BundleStepError;
use std::path::PathBuf;
use updater_delta::{ApplyError, DiffError};
use updater_format::bundle::BundleError;
use updater_format::patch::PatchError;
use updater_format::{FilePath, FormatError, Sha256};

/// What went wrong while patches were made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffStepError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A bundle is not what its entry says.
    #[error("{} is not the bundle that was signed", path.display())]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// The digest of a patch could not be computed.
    #[error(transparent)]
    Digest {
        /// Why.
        source: BundleStepError,
    },
    /// The name or header of a patch breaks a rule.
    #[error("cannot make a patch between these releases")]
    Name {
        /// Which rule.
        source: FormatError,
    },
    /// A patch container was refused or could not be written.
    #[error("the patch {} is not usable", path.display())]
    Patch {
        /// The patch, or the releases between which it leads.
        path: PathBuf,
        /// Why.
        source: PatchError,
    },
    /// A delta could not be made.
    #[error("cannot make a delta for {}", path.display())]
    Diff {
        /// The new file.
        path: PathBuf,
        /// Why.
        source: DiffError,
    },
    /// A delta does not apply.
    #[error("the delta for {path} does not apply")]
    Delta {
        /// The new file.
        path: FilePath,
        /// Why.
        source: ApplyError,
    },
    /// A patch names a codec that this program does not have.
    #[error("the patch uses the codec {codec:?}, which is not known here")]
    UnknownCodec {
        /// The codec.
        codec: String,
    },
    /// A patch makes another file than it should.
    #[error("the patch makes {path} with sha256 {got}, expected {expected}")]
    WrongFile {
        /// The file.
        path: FilePath,
        /// The manifest's digest.
        expected: Sha256,
        /// The digest of what was made.
        got: Sha256,
    },
    /// An operation is missing: a fault of this program.
    #[error("the patch {} lacks an operation", path.display())]
    Incomplete {
        /// The patch.
        path: PathBuf,
    },
    /// A thread that makes deltas ended abnormally: a fault of this program.
    #[error("a thread that makes deltas panicked")]
    Panicked,
}

impl Explain for DiffStepError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Incomplete { .. } | Self::Panicked => ExitCode::Unexpected,
            _ => ExitCode::Bundle,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Digest { source } => return source.hints(),
            Self::Read { .. } | Self::Write { .. } => "check the space and the permissions there".to_owned(),
            Self::Bundle { .. } => "remove it and run the command again; it is fetched or made anew".to_owned(),
            Self::Name { .. } => "shorten the app id or the version".to_owned(),
            Self::Diff { source, .. } => source.hint().to_owned(),
            Self::Patch { .. } | Self::Delta { .. } | Self::UnknownCodec { .. } | Self::WrongFile { .. } => {
                "publish without patches (`--no-patches`), and report the two releases".to_owned()
            }
            Self::Incomplete { .. } | Self::Panicked => "run it again, and report it if it stays".to_owned(),
        }]
    }
}
