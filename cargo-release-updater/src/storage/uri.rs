//! Where a repository is written: one line of text, without secrets.

use super::error::StorageError;
use super::github::GitHubAddress;
use super::service::Service;
use std::path::PathBuf;

/// A parsed storage address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageUri {
    /// A folder; relative paths start at the package's folder.
    Folder(PathBuf),
    /// The memory of this process, for tests.
    Memory,
    /// A repository on GitHub: its releases and a branch.
    GitHub(GitHubAddress),
    /// What the hook `upload` of a project writes.
    Command,
    /// A service that is reached over a network.
    Remote(Remote),
}

/// The address of a service that is reached over a network: `SCHEME://AUTHORITY/PATH?OPTION=VALUE&...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub(super) service: Service,
    pub(super) scheme: String,
    /// The bucket, the container, or the host with its user and port.
    pub(super) authority: String,
    /// Without slashes at its ends; empty for the whole.
    pub(super) path: String,
    pub(super) options: Vec<(String, String)>,
}

impl StorageUri {
    /// Parses a storage address.
    /// # Errors
    /// [`StorageError::Secret`] for one with a password or key in it; [`StorageError::NotBuilt`] for a service that
    /// this build does not reach; [`StorageError::Option`] for an option that the service does not have;
    /// [`StorageError::Uri`] for anything else.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let refuse = |rule| Err(StorageError::Uri { uri: redacted(text), rule });
        if let Some(what) = secret_in(text) {
            return Err(StorageError::Secret { uri: redacted(text), what });
        }
        if text.chars().any(char::is_control) {
            return refuse("it must have no control characters");
        }
        if let Some(repository) = text.strip_prefix("github:") {
            return github(text, repository).map(Self::GitHub);
        }
        if text == "command" {
            return Ok(Self::Command);
        }
        match text.split_once(':') {
            Some(("fs", "")) => refuse("it must name a folder: fs:PATH"),
            Some(("fs", path)) if path.starts_with("//") => refuse("write fs:PATH, without slashes before the path"),
            Some(("fs", path)) => Ok(Self::Folder(PathBuf::from(path))),
            Some(("memory", "")) => Ok(Self::Memory),
            Some((scheme, rest)) => match (rest.strip_prefix("//"), Service::of_scheme(scheme)) {
                (Some(rest), Some(service)) => Remote::parse(text, service, scheme, rest).map(Self::Remote),
                (Some(_), None) => refuse("no storage of this name is known"),
                (None, _) => refuse("it must look like fs:PATH or SERVICE://..."),
            },
            None => refuse("it must look like fs:PATH or SERVICE://..."),
        }
    }

    /// Returns the address of a folder below this one. Memory and commands have none.
    #[must_use]
    pub fn join(&self, folder: &str) -> Self {
        match self.clone() {
            Self::Folder(path) => Self::Folder(path.join(folder)),
            Self::Remote(remote) => {
                let path = if remote.path.is_empty() { folder.to_owned() } else { format!("{}/{folder}", remote.path) };
                Self::Remote(Remote { path, ..remote })
            }
            Self::GitHub(address) => Self::GitHub(address.below(folder)),
            other => other,
        }
    }

    /// Returns the kind of storage.
    #[must_use]
    pub fn service(&self) -> Service {
        match self {
            Self::Folder(_) => Service::Folder,
            Self::Memory => Service::Memory,
            Self::GitHub(_) => Service::GitHub,
            Self::Command => Service::Command,
            Self::Remote(remote) => remote.service,
        }
    }
}

fn github(text: &str, rest: &str) -> Result<GitHubAddress, StorageError> {
    let refuse = |rule| StorageError::Uri { uri: redacted(text), rule };
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut address = GitHubAddress::parse(location).map_err(refuse)?;
    for (option, value) in options(text, Service::GitHub, query)? {
        address.set(&option, &value).map_err(refuse)?;
    }
    Ok(address)
}

/// Takes the options of an address apart.
fn options(text: &str, service: Service, query: &str) -> Result<Vec<(String, String)>, StorageError> {
    let mut options = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = service.options();
        if !known.contains(&name) || value.is_empty() {
            let (option, known) = (name.to_owned(), known.join(", "));
            return Err(StorageError::Option { uri: redacted(text), option, known });
        }
        options.push((name.to_owned(), value.to_owned()));
    }
    Ok(options)
}

impl Remote {
    fn parse(text: &str, service: Service, scheme: &str, rest: &str) -> Result<Self, StorageError> {
        let refuse = |rule| Err(StorageError::Uri { uri: redacted(text), rule });
        let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = location.split_once('/').unwrap_or((location, ""));
        let path = path.trim_end_matches('/');
        if authority.is_empty() || authority.ends_with('@') {
            return refuse("it must name a bucket, a container or a host after the slashes");
        }
        if authority.contains('@') && service != Service::Sftp {
            return refuse("only an sftp address has a user");
        }
        // `ssh` is started with it: it must never look like an option.
        if authority.starts_with('-') || authority.contains("@-") {
            return refuse("no name may start with a dash");
        }
        if location.contains(['#', '\\', '%', ' ']) {
            return refuse("bucket, host and path must have no #, %, \\ and no space");
        }
        if !path.is_empty() && path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("its path must have no empty parts and no dots for folders");
        }
        if !service.is_built() {
            return Err(StorageError::NotBuilt { service: service.name(), what: location.to_owned() });
        }
        let options = options(text, service, query)?;
        let known_hosts = options.iter().find(|(name, _)| name == "known-hosts");
        if known_hosts.is_some_and(|(_, value)| !matches!(value.as_str(), "strict" | "add")) {
            return refuse("known-hosts must be `strict` or `add`");
        }
        Ok(Self { service, scheme: scheme.to_owned(), authority: authority.to_owned(), path: path.to_owned(), options })
    }
}

impl std::fmt::Display for StorageUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "fs:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
            Self::GitHub(address) => address.fmt(f),
            Self::Command => f.write_str("command"),
            Self::Remote(remote) => {
                write!(f, "{}://{}", remote.scheme, remote.authority)?;
                if !remote.path.is_empty() {
                    write!(f, "/{}", remote.path)?;
                }
                for (index, (name, value)) in remote.options.iter().enumerate() {
                    write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
                }
                Ok(())
            }
        }
    }
}

/// Returns what looks like a secret: addresses stand in manifests, logs and shell histories. A path of this machine has
/// none, whatever it is called.
fn secret_in(text: &str) -> Option<&'static str> {
    if text.starts_with("fs:") {
        return None;
    }
    let (location, query) = text.split_once('?').unwrap_or((text, ""));
    // Also without the slashes, which are forgotten easily: `sftp:me:password@host`.
    let (scheme, rest) = location.split_once(':').unwrap_or(("", location));
    let rest = rest.trim_start_matches('/');
    let user = rest.split('/').next().unwrap_or_default().rsplit_once('@').map(|(user, _)| user);
    let is_password = |user: &str| user.contains(':') || Service::of_scheme(scheme).is_none();
    if user.is_some_and(is_password) {
        return Some("a password before the @");
    }
    let named = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.to_ascii_lowercase();
        SECRET_WORDS.iter().any(|word| name.contains(word)) || name == "sig" || value.contains('@')
    };
    query.split('&').any(named).then_some("a key, token or password in its query")
}

/// Hides what is between scheme and host, and every query value.
fn redacted(text: &str) -> String {
    let (location, query) = match text.split_once('?') {
        Some((location, _)) => (location, "?***"),
        None => (text, ""),
    };
    let scheme = match location.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => scheme.len() + 3,
        Some((scheme, _)) => scheme.len() + 1,
        None => 0,
    };
    let location = match location.rfind('@') {
        Some(at) if scheme <= at => format!("{}***{}", &location[..scheme], &location[at..]),
        _ => location.to_owned(),
    };
    format!("{location}{query}")
}

/// Parts of query names that carry secrets.
const SECRET_WORDS: &[&str] = &["secret", "password", "token", "key", "credential", "signature"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses() {
        assert_eq!(StorageUri::parse("fs:target/x").unwrap(), StorageUri::Folder("target/x".into()));
        assert_eq!(StorageUri::parse("fs:/srv/a b").unwrap().to_string(), "fs:/srv/a b");
        assert_eq!(StorageUri::parse("memory:").unwrap(), StorageUri::Memory);
        let github = StorageUri::parse("github:owner/repo/app?branch=pages&tag=app-v").unwrap();
        assert_eq!(
            (github.to_string().as_str(), github.service()),
            ("github:owner/repo/app?branch=pages&tag=app-v", Service::GitHub)
        );
        // Each app has a folder of its own in a private storage, whatever that is.
        for (uri, below) in [
            ("fs:/srv/private", "fs:/srv/private/hello"),
            ("github:owner/repo", "github:owner/repo/hello"),
            ("github:owner/repo/keys?branch=main", "github:owner/repo/keys/hello?branch=main"),
        ] {
            assert_eq!(StorageUri::parse(uri).unwrap().join("hello").to_string(), below);
        }
    }

    #[test]
    #[cfg(all(feature = "s3", feature = "azblob", feature = "sftp", feature = "webdav", feature = "http"))]
    fn addresses_of_services_are_written_as_they_were_read() {
        for (uri, service) in [
            ("s3://bucket", Service::S3),
            ("s3://bucket/prefix/x?region=eu&endpoint=https://host:1", Service::S3),
            ("azblob://c/p?account=a", Service::Azblob),
            ("sftp://me@host:22/path?known-hosts=add", Service::Sftp),
            ("webdav+http://127.0.0.1:8080/p", Service::Webdav),
            ("webdav+https://h/p", Service::Webdav),
            ("https://h/p", Service::Http),
        ] {
            let parsed = StorageUri::parse(uri).unwrap();
            assert_eq!((parsed.to_string(), parsed.service()), (uri.to_owned(), service));
        }
        assert_eq!(StorageUri::parse("s3://bucket/prefix/").unwrap().to_string(), "s3://bucket/prefix");
    }

    #[test]
    fn what_this_build_does_not_reach_is_told_from_what_is_misspelled() {
        assert_eq!(StorageUri::parse("command").unwrap(), StorageUri::Command);
        #[cfg(not(feature = "gcs"))]
        assert!(matches!(StorageUri::parse("gcs://b"), Err(StorageError::NotBuilt { service: "gcs", .. })));
        for uri in [
            "",
            "fs:",
            "fs:///srv",
            "s4://bucket",
            "webdav://host",
            "target/x",
            "memory:x",
            "fs:a\nb",
            "s3:bucket",
            "s3://",
            "s3:///prefix",
            "s3://me@bucket",
            "s3://bucket/a/../b",
            "s3://bucket//b",
            "github:",
            "github:owner",
            "github://owner/repo",
            "github:owner/repo/../x",
            "github:owner/repo?branch=a..b",
            "s3://bucket/a%20b",
            "sftp://-oProxyCommand=x/path",
            "sftp://me@-oProxyCommand=x/path",
            "sftp://me@/path",
            "sftp://host/path?known-hosts=accept",
        ] {
            assert!(matches!(StorageUri::parse(uri), Err(StorageError::Uri { .. })), "{uri}");
        }
    }

    #[test]
    #[cfg(feature = "s3")]
    fn an_unknown_option_is_refused_with_those_that_there_are() {
        for uri in ["s3://bucket?regoin=eu", "s3://bucket?region", "s3://bucket?region=eu&account=x"] {
            let error = StorageUri::parse(uri).unwrap_err();
            let StorageError::Option { known, .. } = error else { panic!("{uri}: {error}") };
            assert!(known.starts_with("region, endpoint"), "{known}");
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for uri in [
            "sftp://me:hunter2@host/path",
            "sftp:me:hunter2@host",
            "sftp:/me:hunter2@host/path",
            "s3://bucket?secret_access_key=hunter2",
            "s3://bucket?region=eu&Session-Token=hunter2",
            "azblob://c?account_key=hunter2",
            "azblob://c?sig=hunter2",
            "webdav+https://me:hunter2@host/p",
            "s3://bucket?endpoint=https://me:hunter2@host",
            "sftp:me:hunter2@host/path",
            "me:hunter2@host/path",
            "github:me:hunter2@owner/repo",
            "github:owner/repo?token=hunter2",
        ] {
            let error = StorageUri::parse(uri).unwrap_err();
            assert!(matches!(error, StorageError::Secret { .. }), "{uri}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        for uri in ["me:hunter2@host", "s4:me@hunter2@host"] {
            let error = StorageUri::parse(uri).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
