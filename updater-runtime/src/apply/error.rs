//! Why a release could not be staged.

use crate::fs::PathError;
use std::path::PathBuf;
use updater_format::bundle::BundleError;
use updater_format::patch::PatchError;
use updater_format::{InstallKind, ReleaseVersion};

/// A release that was not staged. The installed app is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The bundle's content is not what was signed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The patch's content is not what was signed, or does not make it.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// A delta inside the patch could not be applied.
    #[error("the delta for {path} cannot be applied")]
    Delta {
        /// The file that it makes.
        path: String,
        /// What the delta engine met.
        source: Box<updater_delta::ApplyError>,
    },
    /// The patch has deltas of a codec that this program does not have.
    #[error("the patch needs the delta codec {codec}, which this version does not have")]
    Codec {
        /// The codec.
        codec: String,
    },
    /// An installed file is not the one that the patch was made from.
    #[error("the installed {path} does not fit the patch: {problem}")]
    Source {
        /// The file, relative to the install.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The release is for something else than its signed entry says.
    #[error("the release has {field} {got}, {expected} was signed")]
    OtherRelease {
        /// Which field.
        field: &'static str,
        /// What was signed.
        expected: String,
        /// What the manifest says.
        got: String,
    },
    /// The release is installed in another way than this copy.
    #[error("release {version} is installed as {got}, this copy as {expected}")]
    OtherKind {
        /// The release.
        version: ReleaseVersion,
        /// How this copy is installed.
        expected: InstallKind,
        /// How the release is installed.
        got: InstallKind,
    },
    /// The file system has too little room. Nothing was written.
    #[error("{} has {available} {unit} free, the release takes {needed}", path.display())]
    Space {
        /// A folder on the file system.
        path: PathBuf,
        /// `bytes` or `files`.
        unit: &'static str,
        /// How many the release takes.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] PathError),
    /// A file could not be written while it was made.
    #[error("cannot write {path}")]
    Output {
        /// The file, relative to the install.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A staged file is not what the manifest says, or something else lies beside it.
    #[error("the staged {path} is not what was verified: {problem}")]
    Damaged {
        /// The file, relative to the install.
        path: String,
        /// What differs.
        problem: &'static str,
    },
    /// The app asked to stop.
    #[error("the update was cancelled")]
    Cancelled,
}

impl ApplyError {
    /// Tells whether another route to the same release may still work.
    #[must_use]
    pub fn is_fault_of_route(&self) -> bool {
        match self {
            Self::Bundle(BundleError::Write { .. }) | Self::Patch(PatchError::Write { .. }) => false,
            Self::Delta { source, .. } => !is_write_failure(source),
            Self::Bundle(_) | Self::Patch(_) | Self::Codec { .. } | Self::Source { .. } => true,
            _ => false,
        }
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Bundle(BundleError::Write { .. }) | Self::Patch(PatchError::Write { .. }) | Self::Output { .. } => {
                "check the free space and the permissions of the folder beside the app, then try again"
            }
            Self::Bundle(_) | Self::Patch(_) | Self::Delta { .. } | Self::OtherRelease { .. } => {
                "report this to the publisher: what was published does not fit its signed description"
            }
            Self::Codec { .. } | Self::Source { .. } => "the full bundle is taken instead",
            Self::OtherKind { .. } => "install the new release by hand once",
            Self::Space { .. } => "free some space on this file system, then try again",
            Self::File(error) => error.hint(),
            Self::Damaged { .. } => "check again: it is downloaded anew",
            Self::Cancelled => "check again when it suits",
        }
    }

    /// Returns a stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "apply-bundle",
            Self::Patch(_) => "apply-patch",
            Self::Delta { .. } => "apply-delta",
            Self::Codec { .. } => "apply-codec",
            Self::Source { .. } => "apply-source",
            Self::OtherRelease { .. } => "apply-other-release",
            Self::OtherKind { .. } => "apply-other-kind",
            Self::Space { .. } => "apply-no-space",
            Self::File(_) | Self::Output { .. } => "apply-file",
            Self::Damaged { .. } => "apply-damaged",
            Self::Cancelled => "apply-cancelled",
        }
    }
}

fn is_write_failure(error: &updater_delta::ApplyError) -> bool {
    matches!(error, updater_delta::ApplyError::Write { .. })
}
