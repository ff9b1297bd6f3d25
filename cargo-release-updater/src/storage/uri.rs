//! Where a repository is written: one line of text, without secrets.

use super::error::StorageError;
use std::path::PathBuf;

/// A parsed storage address.
///
/// `fs:PATH` and `memory:` work in this version. The addresses of other services are recognised, so that a misspelled
/// one and one of a later version are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageUri {
    /// A folder; relative paths start at the package's folder.
    Folder(PathBuf),
    /// The memory of this process, for tests.
    Memory,
}

impl StorageUri {
    /// Parses a storage address.
    /// # Errors
    /// [`StorageError::Secret`] for one with a password or key in it; [`StorageError::NotBuilt`] for a service that
    /// this version does not reach; [`StorageError::Uri`] for anything else.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let refuse = |rule| Err(StorageError::Uri { uri: redacted(text), rule });
        if let Some(what) = secret_in(text) {
            return Err(StorageError::Secret { uri: redacted(text), what });
        }
        if text.chars().any(char::is_control) {
            return refuse("it must have no control characters");
        }
        if let Some(repository) = text.strip_prefix("github:") {
            return Err(StorageError::NotBuilt { service: "github", what: repository.to_owned() });
        }
        if text == "command" {
            return Err(StorageError::NotBuilt { service: "command", what: String::new() });
        }
        match text.split_once(':') {
            Some(("fs", "")) => refuse("it must name a folder: fs:PATH"),
            Some(("fs", path)) if path.starts_with("//") => refuse("write fs:PATH, without slashes before the path"),
            Some(("fs", path)) => Ok(Self::Folder(PathBuf::from(path))),
            Some(("memory", "")) => Ok(Self::Memory),
            Some((scheme, rest)) if rest.starts_with("//") => {
                match SERVICES.iter().find(|service| **service == scheme) {
                    Some(service) => Err(StorageError::NotBuilt { service, what: rest[2..].to_owned() }),
                    None => refuse("no storage of this name is known"),
                }
            }
            _ => refuse("it must look like fs:PATH"),
        }
    }
}

impl std::fmt::Display for StorageUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "fs:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// Returns what looks like a secret: addresses stand in manifests, logs and shell histories.
fn secret_in(text: &str) -> Option<&'static str> {
    let (_, rest) = text.split_once("://")?;
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let user = location.split('/').next().unwrap_or_default().rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) {
        return Some("a password before the @");
    }
    let named = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        SECRET_WORDS.iter().any(|word| name.contains(word))
    };
    query.split('&').any(named).then_some("a key, token or password in its query")
}

/// Hides a user's password and every query value.
fn redacted(text: &str) -> String {
    let (location, query) = match text.split_once('?') {
        Some((location, _)) => (location, "?***"),
        None => (text, ""),
    };
    let location = match (location.find("://"), location.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}***{}", &location[..scheme + 3], &location[at..]),
        _ => location.to_owned(),
    };
    format!("{location}{query}")
}

/// Services that have an address but are not built into this version.
const SERVICES: &[&str] = &["s3", "azblob", "gcs", "sftp", "webdav", "webdav+http", "webdav+https", "http", "https"];
/// Parts of query names that carry secrets.
const SECRET_WORDS: &[&str] = &["secret", "password", "token", "key", "credential", "signature"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_version() {
        assert_eq!(StorageUri::parse("fs:target/x").unwrap(), StorageUri::Folder("target/x".into()));
        assert_eq!(StorageUri::parse("fs:/srv/a b").unwrap().to_string(), "fs:/srv/a b");
        assert_eq!(StorageUri::parse("memory:").unwrap(), StorageUri::Memory);
    }

    #[test]
    fn later_services_are_told_from_misspelled_ones() {
        for uri in [
            "s3://bucket/prefix?region=eu",
            "azblob://c",
            "gcs://b",
            "sftp://me@host/path",
            "webdav+https://h/p",
            "https://h",
            "github:owner/repo",
            "command",
        ] {
            assert!(matches!(StorageUri::parse(uri), Err(StorageError::NotBuilt { .. })), "{uri}");
        }
        for uri in ["", "fs:", "fs:///srv", "s4://bucket", "target/x", "memory:x", "fs:a\nb"] {
            assert!(matches!(StorageUri::parse(uri), Err(StorageError::Uri { .. })), "{uri}");
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for uri in [
            "sftp://me:hunter2@host/path",
            "s3://bucket?secret_access_key=hunter2",
            "s3://bucket?region=eu&Session-Token=hunter2",
            "azblob://c?account_key=hunter2",
        ] {
            let error = StorageUri::parse(uri).unwrap_err();
            assert!(matches!(error, StorageError::Secret { .. }), "{uri}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
