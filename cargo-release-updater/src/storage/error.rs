//! Why a storage could not be used: what was asked of which object.

use crate::error::{ExitCode, Explain};
use std::path::PathBuf;

/// What went wrong with a storage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The address is none.
    #[error("storage {uri:?} is refused: {rule}")]
    Uri {
        /// The address, secrets hidden.
        uri: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The address carries a secret.
    #[error("storage {uri:?} is refused: it has {what}")]
    Secret {
        /// The address, secrets hidden.
        uri: String,
        /// What was seen.
        what: &'static str,
    },
    /// The service exists but this version does not reach it.
    #[error("storage service `{service}` is not built into this version{}", suffix(what))]
    NotBuilt {
        /// The service.
        service: &'static str,
        /// What was to be reached there.
        what: String,
    },
    /// The service answered with an error.
    #[error("cannot {action} {path} in {storage}")]
    Service {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The object.
        path: String,
        /// The storage.
        storage: String,
        /// What the service said.
        source: Box<opendal::Error>,
    },
    /// A file of the folder could not be handled.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An object is larger than it may be.
    #[error("{path} in {storage} has more than {limit} bytes")]
    TooLarge {
        /// The object.
        path: String,
        /// The storage.
        storage: String,
        /// The most bytes it may have.
        limit: u64,
    },
    /// An immutable object exists with other bytes.
    #[error("{path} exists in {storage} with other content")]
    Differs {
        /// The object.
        path: String,
        /// The storage.
        storage: String,
    },
    /// An object that the signed metadata lists is absent.
    #[error("{path} is missing in {storage}")]
    Missing {
        /// The object.
        path: String,
        /// The storage.
        storage: String,
    },
    /// The storage stopped on purpose: a test's crash point.
    #[error("stopped before operation {operation}")]
    Stopped {
        /// How many operations were done before.
        operation: u64,
    },
}

fn suffix(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" ({what})") }
}

impl Explain for StorageError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Uri { .. } | Self::Secret { .. } | Self::NotBuilt { .. } => ExitCode::Config,
            _ => ExitCode::Storage,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Uri { .. } => "write it as fs:PATH, for example `fs:target/updater/repository`".to_owned(),
            Self::Secret { .. } => {
                "leave it out; credentials come from where the service's own tools read them".to_owned()
            }
            Self::NotBuilt { .. } => {
                "publish to a folder (`fs:PATH`) and copy it, targets first and timestamp.json last".to_owned()
            }
            Self::Service { source, .. } if source.is_temporary() => {
                "run the same command again; it continues".to_owned()
            }
            Self::Service { .. } | Self::Io { .. } => {
                "check that the storage exists, has room and may be written, then run the same command again".to_owned()
            }
            Self::TooLarge { .. } => "the storage holds something else under this name; look at it".to_owned(),
            Self::Differs { .. } => {
                "published files never change: raise the version, or look who wrote this one".to_owned()
            }
            Self::Missing { .. } => "copy it back from a backup or a mirror; published files must stay".to_owned(),
            Self::Stopped { .. } => "run the same command again; it continues".to_owned(),
        }]
    }
}
