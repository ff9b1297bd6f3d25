//! The answer to "is there an update?", with its reason when there is none.

use crate::check::{Standing, Withheld};
use crate::install::Obstacle;
use crate::transport::FetchError;
use crate::update::Update;
use std::time::Duration;
use updater_format::{ReleaseVersion, UtcTime};

/// The answer of a check.
#[derive(Debug)]
#[must_use]
pub enum Status {
    /// There is a newer release for this install.
    Available(Box<Update>),
    /// There is none, or it cannot be taken here.
    NoUpdate(NoUpdate),
}

/// Why there is no update. None of these is an error: the app goes on, and may say it or not.
///
/// ```
/// use updater_runtime::NoUpdate;
///
/// /// What an app with a window says by itself; the rest it says when somebody asks.
/// fn worth_a_line(why: &NoUpdate) -> Option<String> {
///     match why {
///         // A package manager owns it, or its folder cannot be changed: the text says what helps.
///         NoUpdate::Blocked { .. } | NoUpdate::Unsupported { .. } => Some(why.to_string()),
///         _ => None,
///     }
/// }
///
/// assert_eq!(worth_a_line(&NoUpdate::Disabled { reason: "built without a root".into() }), None);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum NoUpdate {
    /// The installed version is the newest.
    Current {
        /// The installed version.
        version: ReleaseVersion,
    },
    /// There is a newer release, but not for this install.
    Withheld(Withheld),
    /// The publisher wants nobody to stay with the installed version, but there is none to go to for this install.
    Unsupported {
        /// The installed version.
        version: ReleaseVersion,
        /// What is held against it.
        standing: Standing,
        /// Why a newer release is not for this install; `None` when there is none.
        withheld: Option<Withheld>,
    },
    /// There is a newer release, but this copy cannot be changed by this user or on this file system.
    Blocked {
        /// The newer version.
        version: ReleaseVersion,
        /// What is in the way; its hint says what helps.
        obstacle: Obstacle,
    },
    /// No server could be reached.
    Offline(FetchError),
    /// The publisher's metadata is genuine and past its time; nothing is installed from it.
    Stale {
        /// The role that is stale.
        role: String,
        /// Since when.
        since: UtcTime,
    },
    /// The last check was not long ago.
    NotDue {
        /// How long until the next one.
        wait: Duration,
    },
    /// This copy does not update itself.
    Disabled {
        /// Why not.
        reason: String,
    },
}

impl Status {
    /// Returns the update, if there is one.
    #[must_use]
    pub fn update(self) -> Option<Update> {
        match self {
            Self::Available(update) => Some(*update),
            Self::NoUpdate(_) => None,
        }
    }
}

impl std::fmt::Display for NoUpdate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current { version } => write!(f, "{version} is the newest version"),
            Self::Withheld(why) => write!(f, "no update for this computer: {why}"),
            Self::Unsupported { version, standing, withheld } => {
                match &standing.below_floor {
                    Some(floor) => write!(f, "{version} is older than {floor}, the lowest version that is still good")?,
                    None => write!(f, "{version} was withdrawn by its publisher")?,
                }
                match withheld {
                    Some(why) => write!(f, "; no update for this computer: {why}"),
                    None => f.write_str("; there is no other version to go to yet"),
                }
            }
            Self::Blocked { version, obstacle } => {
                write!(f, "{version} is out, but {obstacle}: {}", obstacle.hint())
            }
            Self::Offline(error) => write!(f, "offline: {error}"),
            Self::Stale { role, since } => write!(f, "the publisher's {role} role is stale since {since}"),
            Self::NotDue { wait } => write!(f, "the next check is due in {} minutes", wait.as_secs().div_ceil(60)),
            Self::Disabled { reason } => write!(f, "this program does not update itself: {reason}"),
        }
    }
}
