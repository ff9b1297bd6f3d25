//! Where clients read: the base addresses of a repository, checked before they are compiled into a program.

use crate::error::TableError;
use updater_format::{FormatError, RepositoryAddress};

/// The address of a repository: `https://host/path`, `http://` on a loopback address only, or `file:///path`; followed by
/// `#targets=TEMPLATE` where the files of releases lie elsewhere ([`RepositoryAddress`]).
///
/// Without user name, query and fragment: what is compiled into every copy of a program is public, so a secret in it
/// would be one no longer. A trailing `/` is dropped.
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
        let refuse = |rule| TableError::Url { url: redacted(text), rule };
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

/// Returns the rule that one half of an address breaks.
fn broken_rule(text: &str) -> Option<&'static str> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) || !text.is_ascii() {
        return Some("it must be printable ASCII without spaces; percent-encode the rest");
    }
    if text.contains(['?', '#']) {
        return Some("it must have no query and no fragment: paths are appended to it");
    }
    if text.len() > MAX_URL {
        return Some("it must have at most 1,024 characters");
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Some(SCHEMES) };
    match scheme {
        "file" if rest.starts_with('/') => None,
        "file" => Some("a file URL must have three slashes and an absolute path: file:///srv/repository"),
        "https" | "http" => {
            let authority = rest.split('/').next().unwrap_or_default();
            if authority.contains('@') {
                return Some("it must have no user name or password: every copy of the program would carry it");
            }
            if host_of(authority).is_empty() {
                return Some("it must name a host");
            }
            (scheme == "http" && !is_loopback_host(host_of(authority)))
                .then_some("http:// is for loopback addresses only; use https://")
        }
        _ => Some(SCHEMES),
    }
}

fn is_local(text: &str) -> bool {
    match text.split_once("://") {
        Some(("file", _)) => true,
        Some((_, rest)) => is_loopback_host(host_of(rest.split('/').next().unwrap_or_default())),
        None => false,
    }
}

/// Returns the host of `host:port`, with the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Hides what stands before an `@`, so that a password pasted into a URL does not end in a build log.
fn redacted(text: &str) -> String {
    match (text.find("://"), text.find('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}***{}", &text[..scheme + 3], &text[at..]),
        _ => text.to_owned(),
    }
}

const SCHEMES: &str = "it must begin with https://, file:/// or, on this machine only, http://";
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
        ] {
            assert!(matches!(RepositoryUrl::parse(bad), Err(TableError::Url { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = RepositoryUrl::parse("https://me:hunter2@example.com").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(matches!(error, TableError::Url { rule, .. } if rule.contains("user name")));
    }
}
