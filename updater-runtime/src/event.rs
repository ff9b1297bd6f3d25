//! What an update tells while it runs. The library never prints; the app shows what it likes.

use updater_format::{ReleaseVersion, TargetName};

/// How far a download or an unpacking is. Sent at most about thirty times a second, and at the end of each phase.
///
/// ```
/// use updater_runtime::{Phase, Progress};
///
/// /// The text beside a bar.
/// fn text(progress: &Progress) -> String {
///     match progress.phase {
///         Phase::Download => format!("{} of {} bytes", progress.bytes, progress.total),
///         Phase::Apply => "putting the new version together".to_owned(),
///         _ => "trying whether it starts".to_owned(),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is going on.
    pub phase: Phase,
    /// Bytes done in this phase; after a fallback to another route they start again.
    pub bytes: u64,
    /// Bytes to do in this phase.
    pub total: u64,
}

/// A part of an update that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The patch or bundle is being downloaded.
    Download,
    /// The new version is being put together and checked.
    Apply,
    /// The new version is started once, to see that it can start.
    Probe,
}

impl Progress {
    pub(crate) const fn new(phase: Phase, bytes: u64, total: u64) -> Self {
        Self { phase, bytes, total }
    }
}

/// Something that happened, told once, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A way to the new version was chosen.
    RouteChosen {
        /// The new version.
        version: ReleaseVersion,
        /// The patch or bundle.
        name: TargetName,
        /// Its length in bytes.
        bytes: u64,
        /// Why this one, in words.
        why: String,
    },
    /// A way to the new version did not work; another one follows if there is one.
    RouteFailed {
        /// The patch or bundle.
        name: TargetName,
        /// What went wrong, in words, causes included.
        why: String,
    },
    /// The new version is complete, checked and able to start.
    Staged {
        /// The new version.
        version: ReleaseVersion,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RouteChosen { version, name, bytes, why } => {
                write!(f, "to {version} by {name}, {bytes} bytes: {why}")
            }
            Self::RouteFailed { name, why } => write!(f, "{name} did not work: {why}"),
            Self::Staged { version } => write!(f, "{version} is staged"),
        }
    }
}
