//! Why a refresh ended without an answer.

use crate::fs::PathError;
use crate::transport::{FetchError, Url};
use updater_format::UtcTime;
use updater_format::role::RoleName;
use updater_format::trust::TrustError;

/// A check of the repository that gave no answer. What was trusted before is trusted still; nothing is installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// A document could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A document that no mirror has in a form that holds.
    #[error("what {url} sent is refused")]
    Trust {
        /// Where it came from; the first mirror's when all failed.
        url: Url,
        /// Which check failed.
        #[source]
        source: TrustError,
    },
    /// A check that needs no new document failed.
    #[error("the metadata of the repository contradicts itself")]
    Inconsistent {
        /// Which check failed.
        #[source]
        source: TrustError,
    },
    /// A role is genuine and past its time. The app goes on; nothing is installed from it.
    #[error("the publisher's {role} role is stale since {since}")]
    Stale {
        /// The role.
        role: String,
        /// When it expired.
        since: UtcTime,
    },
    /// The root that came with the app cannot be used.
    #[error("the embedded root cannot be used")]
    Embedded {
        /// Which check failed.
        #[source]
        source: TrustError,
    },
    /// The root in force was made for trying things out, and its repository is not on this computer.
    #[error("the app trusts a development root, which is not for {url}")]
    Development {
        /// The first address that leads to another computer.
        url: Url,
    },
    /// More new roots than one check walks through. Those so far are kept, the next check goes on from there.
    #[error("there are more than {limit} new roots")]
    TooManyRoots {
        /// The limit.
        limit: u32,
    },
    /// The trusted metadata could not be kept.
    #[error(transparent)]
    Store(#[from] PathError),
}

impl RefreshError {
    pub(super) fn from_mirror(url: &Url, source: TrustError) -> Self {
        match source {
            TrustError::Expired { role, since } => Self::Stale { role, since },
            source => Self::Trust { url: url.clone(), source },
        }
    }

    pub(super) fn local(source: TrustError) -> Self {
        match source {
            TrustError::Expired { role, since } => Self::Stale { role, since },
            source => Self::Inconsistent { source },
        }
    }

    pub(super) fn is_stale(&self, which: RoleName) -> bool {
        matches!(self, Self::Stale { role, .. } if role == which.as_str())
    }

    pub(super) fn unasked(url: &Url) -> Self {
        let detail = "\"not modified\" was answered to an unconditional request".to_owned();
        FetchError::Protocol { url: url.clone(), detail }.into()
    }

    /// Returns a name of the error for programs, which never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Trust { .. } => "metadata-refused",
            Self::Inconsistent { .. } => "metadata-inconsistent",
            Self::Stale { .. } => "metadata-stale",
            Self::Embedded { .. } => "embedded-root",
            Self::Development { .. } => "development-root",
            Self::TooManyRoots { .. } => "too-many-roots",
            Self::Store(_) => "metadata-store",
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.hint(),
            Self::Inconsistent { source: TrustError::UnknownRole { .. } } => {
                "check the name of the channel; if the publisher has such a channel, report it to him"
            }
            Self::Trust { .. } | Self::Inconsistent { .. } => {
                "nothing of it was used; try again later, and report it to the publisher if it stays"
            }
            Self::Stale { .. } => "the publisher must sign this role anew; also check the clock of this computer",
            Self::Embedded { .. } => "build the app again with the root of its repository",
            Self::Development { .. } => {
                "build the app with the root of a real repository; a development root is for file: and loopback addresses"
            }
            Self::TooManyRoots { .. } => "check again: the walk through the roots goes on where it stopped",
            Self::Store(error) => error.hint(),
        }
    }
}
