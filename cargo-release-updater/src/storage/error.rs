//! Why a storage could not be used: what was asked of which object.

use super::github::GitHubError;
use super::service::Service;
use crate::error::{ExitCode, Explain};
use opendal::ErrorKind;
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
    /// The address has an option that the service does not know, or one without a value.
    #[error("storage {uri:?} is refused: `{option}` is no option of it, or has no value")]
    Option {
        /// The address, secrets hidden.
        uri: String,
        /// The option.
        option: String,
        /// The options that there are.
        known: String,
    },
    /// The storage can only be read.
    #[error("{storage} can only be read")]
    ReadOnly {
        /// The storage.
        storage: String,
    },
    /// The service exists but this build does not reach it.
    #[error("storage service `{service}` is not built into this program{}", suffix(what))]
    NotBuilt {
        /// The service.
        service: &'static str,
        /// What was to be reached there.
        what: String,
    },
    /// The service answered with an error.
    #[error("cannot {action}{}{path} in {storage}", if path.is_empty() { "" } else { " " })]
    Service {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The object.
        path: String,
        /// The storage.
        storage: String,
        /// What the service said.
        source: Box<ServiceError>,
    },
    /// GitHub answered with an error.
    #[error("cannot {action}{}{path} in {storage}", if path.is_empty() { "" } else { " " })]
    GitHub {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The object.
        path: String,
        /// The storage.
        storage: String,
        /// What GitHub said.
        source: Box<GitHubError>,
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
    /// An object was written and has other bytes when it is read again.
    #[error("{path} in {storage} is not what was sent there")]
    NotAsSent {
        /// The object.
        path: String,
        /// The storage.
        storage: String,
    },
    /// An object could not be written while it was this publisher's turn.
    #[error("writing {path} to {storage} took longer than the {seconds} s that were left")]
    Late {
        /// The object.
        path: String,
        /// The storage.
        storage: String,
        /// How long it was tried, in seconds.
        seconds: u64,
    },
    /// An object that the signed metadata lists is absent.
    #[error("{path} is missing in {storage}")]
    Missing {
        /// The object.
        path: String,
        /// The storage.
        storage: String,
    },
    /// The hook that writes the storage failed.
    #[error(transparent)]
    Hook {
        /// Why.
        source: crate::hooks::HookError,
    },
    /// An object was handed over and is not what clients are given.
    #[error("{path} was handed to the hook `upload`, and {url} does not serve it")]
    NotServed {
        /// The object.
        path: String,
        /// Where clients read.
        url: String,
    },
    /// The storage stopped on purpose: a test's crash point.
    #[error("stopped before operation {operation}")]
    Stopped {
        /// How many operations were done before.
        operation: u64,
    },
}

impl StorageError {
    /// Tells whether the same may succeed when it is tried again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Service { source, .. } => source.is_temporary(),
            Self::GitHub { source, .. } => source.is_temporary(),
            Self::NotAsSent { .. } => true,
            _ => false,
        }
    }
}

fn suffix(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" ({what})") }
}

impl Explain for StorageError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Uri { .. }
            | Self::Secret { .. }
            | Self::Option { .. }
            | Self::ReadOnly { .. }
            | Self::NotBuilt { .. } => ExitCode::Config,
            Self::Hook { source } => source.code(),
            _ => ExitCode::Storage,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Uri { .. } => "`cargo updater services` shows how addresses are written".to_owned(),
            Self::Secret { .. } => {
                "leave it out; `cargo updater services` shows where the credentials are read from".to_owned()
            }
            Self::Option { known, .. } if known.is_empty() => "this storage has no options".to_owned(),
            Self::Option { known, .. } => format!("it may have {known}"),
            Self::ReadOnly { .. } => {
                "publish to a storage behind that web server; `cargo updater services` lists what can be written"
                    .to_owned()
            }
            Self::Hook { source } => return source.hints(),
            Self::NotServed { .. } => {
                "the hook must write where `url` reads; a cache on the way must not keep old files or 404 answers for longer than a minute"
                    .to_owned()
            }
            Self::NotBuilt { service, .. } => {
                format!("install it with this service: `cargo install cargo-release-updater --features {service}`")
            }
            Self::Service { source, storage, .. } => return hints_of(source, storage),
            Self::GitHub { source, .. } => source.hint(),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => NO_ROOM.to_owned(),
            Self::Io { .. } => CHECK.to_owned(),
            Self::NotAsSent { .. } => {
                "run the same command again; when it happens again, look at what is between you and the storage"
                    .to_owned()
            }
            Self::TooLarge { .. } => "the storage holds something else under this name; look at it".to_owned(),
            Self::Differs { .. } => {
                return vec![
                    "if it was damaged there, move it away and put a copy back: `cargo updater verify` tells what is damaged, \
                     `cargo updater restore DIR` restores it"
                        .to_owned(),
                    "if another release has this version, raise the version: published files never change".to_owned(),
                ];
            }
            Self::Missing { .. } => "copy it back from a backup or a mirror; published files must stay".to_owned(),
            Self::Late { .. } => "run the same command again on a better line; it continues".to_owned(),
            Self::Stopped { .. } => "run the same command again; it continues".to_owned(),
        }]
    }
}

/// What a service answered, without the headers of its answer and other things that help nobody.
#[derive(Debug)]
pub struct ServiceError(opendal::Error);

impl ServiceError {
    pub(super) fn new(error: opendal::Error) -> Box<Self> {
        Box::new(Self(error))
    }

    /// Tells whether the same may succeed when it is tried again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.0.is_temporary()
    }

    /// Tells whether these credentials may not do it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0.kind() == ErrorKind::PermissionDenied
    }
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match without_page(self.0.message()).trim() {
            // An answer to a question about an object has no body.
            "" => write!(f, "the service answers {} and says no more", self.0.kind()),
            said => f.write_str(said),
        }
    }
}

/// Returns the title of an answer that is a page for people: the rest of it says no more.
fn without_page(message: &str) -> &str {
    let is_page = ["<!doctype html", "<html"]
        .iter()
        .any(|begin| message.trim_start().get(..begin.len()).is_some_and(|found| found.eq_ignore_ascii_case(begin)));
    let title = message.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    match title {
        Some((title, _)) if is_page => title.trim(),
        _ => message,
    }
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Returns what to do about an answer of a service, and where its credentials come from when it does not take them.
fn hints_of(error: &ServiceError, storage: &str) -> Vec<String> {
    let mut hints = vec![hint_of(error)];
    let service = storage.split_once("://").and_then(|(scheme, _)| Service::of_scheme(scheme));
    if let Some(service) = service.filter(|_| hints[0] == CREDENTIALS) {
        hints.push(format!("credentials for {storage}: {}", service.credentials()));
    }
    hints
}

fn hint_of(error: &ServiceError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let words = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match error.0.kind() {
        _ if words(&["RequestTimeTooSkewed", "RequestTimeSkewed"]) => "set the clock of this machine".to_owned(),
        _ if words(&[
            "No space left on device",
            "os error 28",
            "InsufficientStorage",
            "Insufficient Storage",
            "QuotaExceeded",
        ]) =>
        {
            NO_ROOM.to_owned()
        }
        ErrorKind::NotFound | ErrorKind::ConfigInvalid
            if error.0.kind() == ErrorKind::NotFound || words(&["NoSuchBucket", "ContainerNotFound"]) =>
        {
            "the bucket, container or folder of the address does not exist: make it, or correct the address".to_owned()
        }
        _ if error.0.kind() == ErrorKind::PermissionDenied || text.contains("Unauthorized") => CREDENTIALS.to_owned(),
        _ if words(&["Connection refused", "dns error", "failed to lookup address"]) => {
            "nothing answers at this address: check it, and that the server runs; then run the same command again"
                .to_owned()
        }
        ErrorKind::ConfigInvalid => {
            "something is missing in the address or the environment; see `cargo updater services`".to_owned()
        }
        _ if words(&["credential", "Permission denied (publickey"]) => CREDENTIALS.to_owned(),
        _ if error.is_temporary() => "run the same command again; it continues".to_owned(),
        _ => CHECK.to_owned(),
    }
}

const CREDENTIALS: &str =
    "the storage refuses these credentials, or there are none, or they may not read, list and write there";
const NO_ROOM: &str = "make room there, then run the same command again; it continues";
const CHECK: &str =
    "check that the storage exists, has room and may be written, then run the same command again; it continues";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_page_for_people_the_title_is_told() {
        let page = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>507 Insufficient Storage</title>\n</head>";
        for (message, told) in [
            (page, "507 Insufficient Storage"),
            ("<HTML><title> No </title>", "No"),
            ("<html>without one", "<html>without one"),
            ("broken: <title>x</title>", "broken: <title>x</title>"),
            ("", ""),
        ] {
            assert_eq!(without_page(message), told);
        }
    }

    #[test]
    fn an_answer_without_a_word_is_told_by_its_kind() {
        let told =
            |message: &str| ServiceError::new(opendal::Error::new(ErrorKind::PermissionDenied, message)).to_string();
        assert_eq!(told(""), "the service answers PermissionDenied and says no more");
        assert_eq!(told("no such key"), "no such key");
    }
}
