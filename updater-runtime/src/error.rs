//! Why a check or an update ended without a result: one enum over the phases.

use crate::apply::ApplyError;
use crate::config::ConfigError;
use crate::download::DownloadError;
use crate::install::InstallError;
use crate::refresh::RefreshError;
use crate::transport::FetchError;
use updater_format::ReleaseVersion;

/// A check or an update that ended without a result. The installed version is what it was, and the app goes on.
///
/// ```
/// use updater_runtime::Error;
///
/// /// For people: what happened, why, and what to do. For programs: a name that never changes.
/// fn tell(error: &Error) {
///     eprintln!("no update: {}\n  help: {}", error.full_message(), error.hint());
///     if error.code() == "install-no-space" {
///         // ...
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings cannot be used.
    #[error("the updater's settings cannot be used")]
    Config(#[from] ConfigError),
    /// This app cannot update itself.
    #[error("this program cannot update itself: {reason}")]
    Disabled {
        /// Why not.
        reason: String,
    },
    /// A request that is no part of a refresh failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The metadata could not be had or is not to be believed.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// A file could not be downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The new version could not be put together.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The install could not be changed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// Every way to the new version failed; the last one as the cause.
    #[error("no way to version {version} worked ({tried} tried)")]
    NoRoute {
        /// The version that was wanted.
        version: ReleaseVersion,
        /// How many ways were tried.
        tried: usize,
        /// What went wrong on the last one.
        #[source]
        source: Option<Box<Self>>,
    },
}

impl Error {
    /// Returns a name of the error for programs, which never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Disabled { .. } => "disabled",
            Self::Fetch(error) => error.code(),
            Self::Refresh(error) => error.code(),
            Self::Download(error) => error.code(),
            Self::Apply(error) => error.code(),
            Self::Install(error) => error.code(),
            Self::NoRoute { .. } => "no-route",
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Config(error) => error.hint(),
            Self::Disabled { .. } => "see the reason; updates come by the way this copy was installed",
            Self::Fetch(error) => error.hint(),
            Self::Refresh(error) => error.hint(),
            Self::Download(error) => error.hint(),
            Self::Apply(error) => error.hint(),
            Self::Install(error) => error.hint(),
            Self::NoRoute { source: Some(source), .. } => source.hint(),
            Self::NoRoute { source: None, .. } => "report it to the publisher",
        }
    }

    /// Tells whether the app itself ended what it had begun.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.code() == FetchError::Cancelled.code()
    }

    /// Tells whether no other route can help: the disk, the install or the app itself is the reason.
    pub(crate) fn ends_the_update(&self) -> bool {
        match self {
            Self::Apply(error) => !error.is_fault_of_route(),
            Self::Download(error) => error.is_final(),
            _ => true,
        }
    }

    /// Returns the message and those of all causes in one line, without repetitions.
    #[must_use]
    pub fn full_message(&self) -> String {
        let mut message = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let text = cause.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            next = cause.source();
        }
        message
    }
}
