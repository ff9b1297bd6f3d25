//! Where clients read: the base addresses of a repository, checked before they are compiled into a program.

use crate::error::TableError;
use updater_format::url::{Url, UrlError, redact};
use updater_format::{FormatError, RepositoryAddress};

/// The address of a repository: `https://host/path`, `http://` on a loopback address only, or `file:///path`; followed by
/// `#targets=TEMPLATE` where the files of releases lie elsewhere ([`RepositoryAddress`]).
///
/// Without user name, query and fragment: what is compiled into every copy of a program is public, so a secret in it
/// would be one no longer. A trailing `/` is dropped.
///
/// ```
/// use updater_build::url::RepositoryUrl;
///
/// assert_eq!(RepositoryUrl::parse("https://example.com/hello/").unwrap().as_str(), "https://example.com/hello");
/// assert!(RepositoryUrl::parse("http://127.0.0.1:8700").unwrap().is_local());
/// assert!(RepositoryUrl::parse("https://me:secret@example.com").is_err(), "every copy would carry it");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUrl {
    text: String,
    address: RepositoryAddress,
}

impl RepositoryUrl {
    /// Parses a repository URL.
    /// # Errors
    /// [`TableError::Url`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let refuse = |rule| TableError::Url { url: redact(text), rule };
        let mut address = RepositoryAddress::parse(text).map_err(|error| match error {
            FormatError::Invalid { rule, .. } => refuse(rule),
            _ => refuse("it must have no fragment but `#targets=`"),
        })?;
        let targets = address.targets.iter().map(|targets| &targets.base);
        if let Some(rule) = std::iter::once(&address.base).chain(targets).find_map(|part| broken_rule(part)) {
            return Err(refuse(rule));
        }
        address.base.truncate(address.base.trim_end_matches('/').len());
        Ok(Self { text: address.to_string(), address })
    }

    /// Returns the address as it is compiled in.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the two halves of the address.
    #[must_use]
    pub fn address(&self) -> &RepositoryAddress {
        &self.address
    }

    /// Tells whether the address never leaves this machine: `file:` or a loopback host. Only such addresses may be
    /// used with a development root.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(&self.address.base) && self.address.targets.as_ref().is_none_or(|targets| is_local(&targets.base))
    }
}

impl std::fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the rule that one half of an address breaks: first those of the client, which will parse it again.
fn broken_rule(text: &str) -> Option<&'static str> {
    match Url::parse(text) {
        Err(UrlError { rule, .. }) => Some(rule),
        Ok(_) if text.contains('?') => {
            Some("it must have no query: names are appended to it, and a secret in it would be none")
        }
        Ok(_) if text.len() > MAX_URL => Some("it must have at most 1,024 characters"),
        Ok(_) => None,
    }
}

fn is_local(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.is_file() || url.is_loopback())
}

/// Longest repository URL, in characters: proxies and servers refuse longer request lines with a file name added.
const MAX_URL: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_and_public_addresses() {
        for (text, local) in [
            ("https://example.com/app/", false),
            ("https://127.0.0.1.example.com", false),
            ("http://127.0.0.1:8000", true),
            ("http://localhost:8000/x", true),
            ("https://[::1]:8000/x", true),
            ("file:///srv/repository", true),
            ("https://o.github.io/r/#targets=https://github.com/o/r/releases/download/v{version}/{name}", false),
            ("http://127.0.0.1:1/r#targets=https://github.com/o/r/{name}", false),
            ("http://127.0.0.1:1/r#targets=http://localhost:1/d/v{version}/{name}", true),
        ] {
            let url = RepositoryUrl::parse(text).unwrap();
            assert_eq!(url.is_local(), local, "{text}");
            assert!(!url.as_str().ends_with('/'));
        }
    }

    #[test]
    fn refused_addresses_name_the_rule() {
        for bad in [
            "",
            "example.com",
            "ftp://example.com",
            "http://example.com",
            "https://",
            "https:///x",
            "file://srv",
            "https://e.com/?q",
            "https://e.com/#f",
            "https://e.com/a b",
            "https://ä.de",
            "s3://bucket",
            "https://e.com#targets=",
            "https://e.com#targets=ftp://e.com/{name}",
            "https://e.com#targets=http://e.com/{name}",
            "https://e.com#targets=https://e.com/x",
            "https://e.com:99999/x",
            "https://e.com:x/",
            "https://e_@.com/",
            &format!("https://e.com/{}", "x".repeat(1024)),
        ] {
            assert!(matches!(RepositoryUrl::parse(bad), Err(TableError::Url { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for (text, why) in [
            ("https://me:hunter2@example.com", "user name"),
            ("https://me:hun@ter2@example.com/?token=hunter2", "user name"),
            ("https://example.com/?token=hunter2", "query"),
            ("https://me:hun/ter2@example.com", "port"),
        ] {
            let error = RepositoryUrl::parse(text).unwrap_err();
            assert!(!error.to_string().contains("ter2"), "{error}");
            assert!(matches!(error, TableError::Url { rule, .. } if rule.contains(why)), "{error}");
        }
    }
}
