//! Why a repository does not verify, and which file it is.

use crate::error::{ExitCode, Explain};
use std::path::PathBuf;
use updater_format::FormatError;
use updater_runtime::refresh::RefreshError;
use updater_runtime::transport::FetchError;

/// A published repository that is not what was signed, or could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A document could not be had or does not hold.
    #[error("the repository does not verify")]
    Metadata {
        /// Which document, and why.
        source: Box<RefreshError>,
    },
    /// Listed files do not verify.
    #[error("{failed} of {files} files do not verify, {first} first")]
    Files {
        /// The first of them.
        first: String,
        /// How many.
        failed: usize,
        /// How many were looked at.
        files: u64,
    },
    /// A delegated role is no channel.
    #[error("the repository has a role that is no channel")]
    Channel {
        /// Which rule its name breaks.
        source: FormatError,
    },
    /// The network cannot be used at all.
    #[error("cannot fetch anything")]
    Transport {
        /// Why.
        source: FetchError,
    },
    /// A file of the copy could not be written.
    #[error("cannot write {}", path.display())]
    Save {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds the copy of another repository.
    #[error("{} holds a copy of another repository", path.display())]
    OtherCopy {
        /// The folder.
        path: PathBuf,
    },
    /// What is served is older than what the copy has.
    #[error("timestamp {served} is served, and {} has timestamp {copy}", path.display())]
    OlderThanCopy {
        /// The folder.
        path: PathBuf,
        /// The version in the copy.
        copy: u64,
        /// The version that is served.
        served: u64,
    },
    /// There is no room for what is downloaded.
    #[error("cannot make a temporary folder")]
    Scratch {
        /// What the system said.
        source: std::io::Error,
    },
}

impl Explain for VerifyError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Metadata { source } => match **source {
                RefreshError::Fetch(ref error) if error.is_offline() => ExitCode::Storage,
                _ => ExitCode::Verification,
            },
            Self::Files { .. } | Self::Channel { .. } | Self::OlderThanCopy { .. } => ExitCode::Verification,
            Self::Transport { .. } | Self::OtherCopy { .. } => ExitCode::Usage,
            Self::Save { .. } => ExitCode::Unexpected,
            Self::Scratch { .. } => ExitCode::Unexpected,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Metadata { source } => match **source {
                RefreshError::Fetch(ref error) => not_even_a_timestamp(error).unwrap_or(error.hint()).to_owned(),
                RefreshError::Stale { ref role, .. } => match role.as_str() {
                    "root" | "targets" => format!("its holders sign a new term: `cargo updater keys renew {role}`"),
                    "snapshot" | "timestamp" => "renew it with the online key: `cargo updater refresh`".to_owned(),
                    _ => format!("its keys renew it with `cargo updater keys renew {role}`"),
                },
                _ => "compare it with another mirror or a backup; `--root FILE` names another root".to_owned(),
            },
            Self::Files { .. } => {
                "copy them back from target/updater, a mirror or a backup; clients refuse them as they are".to_owned()
            }
            Self::Channel { .. } => "this tool did not make that repository".to_owned(),
            Self::Transport { source } => source.hint().to_owned(),
            Self::Save { .. } => "check the space and the permissions; run it again and it goes on".to_owned(),
            Self::OtherCopy { .. } => "name a folder of its own for each app".to_owned(),
            Self::OlderThanCopy { .. } => {
                "old files are served: purge the CDN, or put the copy back with `cargo updater restore DIR`; after a new online \
                 key numbers may begin anew: save that into a folder of its own"
                    .to_owned()
            }
            Self::Scratch { .. } => "check the space and the permissions of the temporary folder".to_owned(),
        }]
    }
}

/// Says what helps where nothing of a repository is: what every other document is found by does not exist. `None` for any
/// other failure.
pub(crate) fn not_even_a_timestamp(error: &FetchError) -> Option<&'static str> {
    let FetchError::NotFound { url } = error else { return None };
    url.to_string().ends_with("/metadata/timestamp.json").then_some(
        "the address may be wrong: compare it with where `storage` is served; if it is right, nothing is published there yet, or \
         the upload is incomplete",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use updater_runtime::transport::Url;

    #[test]
    fn where_not_even_a_timestamp_is_the_address_is_doubted() {
        let hints = |file: &str| {
            let url = Url::parse(&format!("https://example.com/wrong/metadata/{file}")).unwrap();
            let source = Box::new(RefreshError::Fetch(FetchError::NotFound { url }));
            VerifyError::Metadata { source }.hints().join("; ")
        };
        assert!(hints("timestamp.json").starts_with("the address may be wrong"), "{}", hints("timestamp.json"));
        assert!(hints("3.snapshot.json").contains("upload may be incomplete"), "{}", hints("3.snapshot.json"));
    }
}
