//! Why a document is not believed.

use crate::error::FormatError;
use crate::time::UtcTime;

/// A check of the metadata that failed. The document that failed it was not used and nothing was replaced by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The document could not be read as metadata of its role.
    #[error("metadata {role} cannot be read")]
    Format {
        /// The role, for example `timestamp` or `stable`.
        role: String,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// Fewer distinct keys signed than the role demands.
    #[error("metadata {role} is signed by {valid} of the {threshold} keys it needs")]
    Signatures {
        /// The role.
        role: String,
        /// How many distinct keys of the role signed.
        valid: u32,
        /// How many must.
        threshold: u32,
    },
    /// The document's time is over. The app goes on; nothing is installed from it.
    #[error("metadata {role} is stale since {since}")]
    Expired {
        /// The role.
        role: String,
        /// When it expired.
        since: UtcTime,
    },
    /// A version other than the one that was asked for.
    #[error("metadata {role} has version {found} instead of {expected}")]
    Version {
        /// The role.
        role: String,
        /// The version that had to come.
        expected: u64,
        /// The version that came.
        found: u64,
    },
    /// An older version than one seen before.
    #[error("metadata {role} went back from version {known} to {found}")]
    Rollback {
        /// The role.
        role: String,
        /// The version that was seen before.
        known: u64,
        /// The version that came.
        found: u64,
    },
    /// A role that an earlier snapshot listed is gone.
    #[error("metadata snapshot no longer lists role {role}")]
    RoleRemoved {
        /// The role.
        role: String,
    },
    /// The snapshot does not list a role, or no role delegates to it.
    #[error("no role {role} is listed in {by}")]
    UnknownRole {
        /// The role.
        role: String,
        /// Which document does not list it.
        by: String,
    },
    /// A search for a target would visit more delegated roles than one search may.
    #[error("the search for a target would go on to role {role} after {limit} delegated roles")]
    TooManyRoles {
        /// The role that would have come next.
        role: String,
        /// How many roles one search visits.
        limit: usize,
    },
    /// A length other than the signed one.
    #[error("metadata {role} has {found} bytes instead of {expected}")]
    Length {
        /// The role.
        role: String,
        /// The signed length, in bytes.
        expected: u64,
        /// The length that came, in bytes.
        found: u64,
    },
    /// A hash other than the signed one.
    #[error("metadata {role} does not have the signed hash")]
    Hash {
        /// The role.
        role: String,
    },
    /// The document belongs to another app.
    #[error("metadata {role} is for app {found} instead of {expected}")]
    WrongApp {
        /// The role.
        role: String,
        /// This app.
        expected: String,
        /// The app that the document names.
        found: String,
    },
    /// The role of one channel was served for another.
    #[error("metadata {role} is for channel {found} instead of {expected}")]
    WrongChannel {
        /// The role.
        role: String,
        /// The channel that was asked for.
        expected: String,
        /// The channel that the document names.
        found: String,
    },
}

impl TrustError {
    pub(super) fn format(role: &str, source: FormatError) -> Self {
        Self::Format { role: role.to_owned(), source }
    }

    /// Returns the role whose document failed.
    #[must_use]
    pub fn role(&self) -> &str {
        match self {
            Self::Format { role, .. }
            | Self::Signatures { role, .. }
            | Self::Expired { role, .. }
            | Self::Version { role, .. }
            | Self::Rollback { role, .. }
            | Self::RoleRemoved { role }
            | Self::UnknownRole { role, .. }
            | Self::TooManyRoles { role, .. }
            | Self::Length { role, .. }
            | Self::Hash { role }
            | Self::WrongApp { role, .. }
            | Self::WrongChannel { role, .. } => role,
        }
    }
}
