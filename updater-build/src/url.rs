//! Where clients read: the base addresses of a repository, checked before they are compiled into a program.

use crate::error::TableError;

/// The base URL of a repository: `https://host/path`, `http://` on a loopback address only, or `file:///path`.
///
/// Without user name, query and fragment: what is compiled into every copy of a program is public, so a secret in it
/// would be one no longer. A trailing `/` is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUrl(String);

impl RepositoryUrl {
    /// Parses a repository URL.
    /// # Errors
    /// [`TableError::Url`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let refuse = |rule| Err(TableError::Url { url: redacted(text), rule });
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) || !text.is_ascii() {
            return refuse("it must be printable ASCII without spaces; percent-encode the rest");
        }
        if text.contains(['?', '#']) {
            return refuse("it must have no query and no fragment: paths are appended to it");
        }
        if text.len() > MAX_URL {
            return refuse("it must have at most 1,024 characters");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse("it must begin with https://, file:/// or, on this machine only, http://");
        };
        match scheme {
            "file" if rest.starts_with('/') => {}
            "file" => return refuse("a file URL must have three slashes and an absolute path: file:///srv/repository"),
            "https" | "http" => {
                let authority = rest.split('/').next().unwrap_or_default();
                if authority.contains('@') {
                    return refuse("it must have no user name or password: every copy of the program would carry it");
                }
                if host_of(authority).is_empty() {
                    return refuse("it must name a host");
                }
                if scheme == "http" && !is_loopback_host(host_of(authority)) {
                    return refuse("http:// is for loopback addresses only; use https://");
                }
            }
            _ => return refuse("it must begin with https://, file:/// or, on this machine only, http://"),
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// Returns the URL without a trailing `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the address never leaves this machine: `file:` or a loopback host. Only such addresses may be
    /// used with a development root.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self.0.split_once("://") {
            Some(("file", _)) => true,
            Some((_, rest)) => is_loopback_host(host_of(rest.split('/').next().unwrap_or_default())),
            None => false,
        }
    }
}

impl std::fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
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
