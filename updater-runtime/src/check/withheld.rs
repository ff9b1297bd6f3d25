//! Why a newer release is not for this install.

use updater_format::role::Percent;
use updater_format::{ComponentName, InstallKind, Platform, ReleaseVersion};

/// Why a newer release is not for this install.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withheld {
    /// No channel has anything for this target triple.
    NoSuchPlatform {
        /// The triple.
        platform: Platform,
    },
    /// No channel has anything of this component.
    NoSuchComponent {
        /// The component.
        component: ComponentName,
    },
    /// It is a release of a component that needs a newer app.
    AppTooOld {
        /// The version of the component.
        version: ReleaseVersion,
        /// The version of the app that it needs.
        needs: ReleaseVersion,
    },
    /// It runs as another kind of install.
    OtherKind {
        /// The version.
        version: ReleaseVersion,
        /// The kind it is made for.
        kind: InstallKind,
    },
    /// The system's C library is too old for it.
    LibcTooOld {
        /// The version.
        version: ReleaseVersion,
        /// The C library it needs.
        needs: String,
        /// The C library that is there.
        has: String,
    },
    /// It is for a share of the installs, and this one is not among them yet.
    HeldBack {
        /// The version.
        version: ReleaseVersion,
        /// The share that may have it now.
        share: Percent,
    },
    /// Its publisher has withdrawn it.
    Yanked {
        /// The version.
        version: ReleaseVersion,
    },
    /// It is below the version that everybody is told to have at least.
    BelowFloor {
        /// The version.
        version: ReleaseVersion,
        /// The lowest version that is still good.
        floor: ReleaseVersion,
    },
    /// Its security counter is below that of a release that was installed here.
    LowerEpoch {
        /// The version.
        version: ReleaseVersion,
        /// Its counter.
        epoch: u64,
        /// The highest one that completed a trial here.
        completed: u64,
    },
    /// Another release has to be installed before it, and that one cannot be had here.
    StepFirst {
        /// The version.
        version: ReleaseVersion,
        /// The release that has to come first.
        step: ReleaseVersion,
    },
    /// It failed its trial here during the last 30 days.
    FailedHere {
        /// The version.
        version: ReleaseVersion,
    },
}

impl std::fmt::Display for Withheld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchPlatform { platform } => write!(f, "nothing is published for {platform}"),
            Self::NoSuchComponent { component } => write!(f, "nothing is published of the component {component}"),
            Self::AppTooOld { version, needs } => write!(f, "{version} needs version {needs} of the app"),
            Self::OtherKind { version, kind } => write!(f, "{version} is made for installs of kind {kind}"),
            Self::LibcTooOld { version, needs, has } => {
                write!(f, "{version} needs C library {needs}, this system has {has}")
            }
            Self::HeldBack { version, share } => {
                write!(f, "{version} is being rolled out, to {share} of the installs so far")
            }
            Self::Yanked { version } => write!(f, "{version} was withdrawn by its publisher"),
            Self::BelowFloor { version, floor } => {
                write!(f, "{version} is below {floor}, the lowest version that is still good")
            }
            Self::LowerEpoch { version, epoch, completed } => {
                write!(f, "{version} has the security counter {epoch}, but {completed} was installed here")
            }
            Self::StepFirst { version, step } => {
                write!(f, "{version} needs {step} to be installed first, which is not offered here")
            }
            Self::FailedHere { version } => {
                write!(f, "{version} failed its trial here, or was left by hand, within the last 30 days")
            }
        }
    }
}
