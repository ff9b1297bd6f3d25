//! The URLs an updater talks to: parsed once, refused early, and never shown with their secrets. The same rules hold where an
//! address is compiled in and where it is used.

use crate::shown::{SHOWN, terminal_safe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An `https:`, `http:` or `file:` URL, checked by the rules of this updater.
///
/// `http:` is accepted for loopback addresses only, a user name or password in the URL for none: an app passes
/// credentials as an option, bound to one origin. `Display` and `Debug` hide the query, which may be an access token.
///
/// ```
/// use updater_format::url::Url;
///
/// let base = Url::parse("https://example.com/hello?sig=secret").unwrap();
/// assert_eq!(base.join("VERSION").expose(), "https://example.com/hello/VERSION?sig=secret");
/// assert_eq!(base.to_string(), "https://example.com/hello?...");
/// assert!(Url::parse("http://example.com/hello").is_err(), "not encrypted, and not this machine");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url(Arc<Parts>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Parts {
    scheme: Scheme,
    /// In lower case, an IPv6 address in brackets; empty for `file:`.
    host: String,
    port: Option<u16>,
    /// Begins with `/`, percent-encoded as it was given.
    path: String,
    query: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Https,
    Http,
    File,
}

/// A URL that an updater does not talk to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL {url} is refused: {rule}")]
pub struct UrlError {
    /// The URL, redacted.
    pub url: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// The scheme, host and port of a URL: what a credential is bound to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Url {
    /// Parses a URL.
    /// # Errors
    /// [`UrlError`] with the rule that the text breaks; the text in it is redacted.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let refuse = |rule| UrlError { url: redact(text), rule };
        if text.len() > MAX_URL {
            return Err(refuse("it must have at most 4,096 characters"));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'`')) {
            return Err(refuse(
                "characters other than ASCII letters, digits and URL punctuation must be percent-encoded",
            ));
        }
        if text.contains('#') {
            return Err(refuse("it must not have a fragment (`#`)"));
        }
        let (scheme, rest) = text.split_once(':').ok_or_else(|| refuse("it must begin with https: or file:"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "file" => Scheme::File,
            _ => {
                return Err(refuse("only https: and file: are understood, and http: for loopback addresses"));
            }
        };
        let rest = rest.strip_prefix("//").ok_or_else(|| refuse("`//` must follow the scheme"))?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        if scheme == Scheme::File {
            if !authority.is_empty() || query.is_some() {
                return Err(refuse("a file: URL has neither a host nor a query: file:///folder/repository"));
            }
            return Ok(Self::of(scheme, String::new(), None, path, None));
        }
        if authority.contains('@') {
            return Err(refuse("a user name or password must not stand in a URL; give it as an option instead"));
        }
        let (host, port) =
            split_port(authority).ok_or_else(|| refuse("it must have a host and, if any, a valid port"))?;
        let url = Self::of(scheme, host.to_ascii_lowercase(), port, path, query);
        if scheme == Scheme::Http && !url.is_loopback() {
            return Err(refuse("http: is for loopback addresses only; use https:"));
        }
        Ok(url)
    }

    /// Makes the `file:` URL of a folder or file given by an absolute path.
    /// # Errors
    /// [`UrlError`] when the path is relative or not UTF-8.
    pub fn from_path(path: &Path) -> Result<Self, UrlError> {
        let refuse = |rule| UrlError { url: terminal_safe(&path.to_string_lossy(), SHOWN), rule };
        let text = path.to_str().ok_or_else(|| refuse("the path must be UTF-8"))?;
        if !path.is_absolute() {
            return Err(refuse("the path must be absolute"));
        }
        #[cfg(windows)]
        let text = {
            let local = text.strip_prefix(r"\\?\").unwrap_or(text);
            if local.as_bytes().get(1) != Some(&b':') {
                return Err(refuse("the path must begin with a drive letter; give a share one"));
            }
            &format!("/{}", local.replace('\\', "/"))
        };
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~' | b'+' | b'@' | b':') {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        Ok(Self::of(Scheme::File, String::new(), None, encoded, None))
    }

    /// Returns the path of a `file:` URL, `None` for the others and for a path with an encoded NUL.
    #[must_use]
    pub fn to_path(&self) -> Option<PathBuf> {
        if self.0.scheme != Scheme::File {
            return None;
        }
        let decoded = percent_decode(&self.0.path)?;
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt as _;
            Some(PathBuf::from(std::ffi::OsString::from_vec(decoded)))
        }
        #[cfg(not(unix))]
        {
            let text = String::from_utf8(decoded).ok()?;
            // `/C:/folder` names `C:/folder`.
            let local = text.strip_prefix('/').filter(|rest| rest.as_bytes().get(1) == Some(&b':'));
            Some(PathBuf::from(local.unwrap_or(&text)))
        }
    }

    /// Returns the URL of an entry below this one. A query stays at the end, as storage access tokens need it.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let separator = if self.0.path.ends_with('/') { "" } else { "/" };
        let path = format!("{}{separator}{name}", self.0.path);
        Self(Arc::new(Parts { path, ..Parts::clone(&self.0) }))
    }

    /// Resolves the `Location` of a redirect against this URL (RFC 3986, section 5.2, without fragments).
    /// # Errors
    /// [`UrlError`] when the result is not a URL that this updater accepts.
    pub fn resolve(&self, location: &str) -> Result<Self, UrlError> {
        let location = location.split('#').next().unwrap_or_default();
        let is_absolute = location.find(':').is_some_and(|colon| {
            location[..colon].bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        });
        if is_absolute {
            return Self::parse(location);
        }
        let scheme = self.0.scheme.as_str();
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let (path, query) = location.split_at(location.find('?').unwrap_or(location.len()));
        let path = if path.is_empty() {
            self.0.path.clone()
        } else if path.starts_with('/') {
            without_dots(path)
        } else {
            let folder = &self.0.path[..=self.0.path.rfind('/').unwrap_or(0)];
            without_dots(&format!("{folder}{path}"))
        };
        Self::parse(&format!("{scheme}://{}{path}{query}", self.authority()))
    }

    /// Tells whether this is a `file:` URL.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.0.scheme == Scheme::File
    }

    /// Tells whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme == Scheme::Https
    }

    /// Tells whether the host is this computer by its own name: 127.0.0.0/8, `::1` or `localhost`. Other names that
    /// happen to resolve to a loopback address do not count.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let bare = self.0.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Returns the host in lower case, an IPv6 address in brackets; empty for `file:`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Returns what a credential for this URL is bound to.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let default = if self.0.scheme == Scheme::Http { 80 } else { 443 };
        Origin { scheme: self.0.scheme, host: self.0.host.clone(), port: self.0.port.unwrap_or(default) }
    }

    /// Returns the whole URL, query included, for a request. Everything shown to people uses `Display` instead.
    #[must_use]
    pub fn expose(&self) -> String {
        let query = self.0.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}://{}{}{query}", self.0.scheme.as_str(), self.authority(), self.0.path)
    }

    fn of(scheme: Scheme, host: String, port: Option<u16>, path: String, query: Option<String>) -> Self {
        Self(Arc::new(Parts { scheme, host, port, path, query }))
    }

    fn authority(&self) -> String {
        match self.0.port {
            Some(port) => format!("{}:{port}", self.0.host),
            None => self.0.host.clone(),
        }
    }
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::File => "file",
        }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let query = if self.0.query.is_some() { "?..." } else { "" };
        write!(f, "{}://{}{}{query}", self.0.scheme.as_str(), self.authority(), self.0.path)
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Url({self})")
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// Shows a text that did not parse as a URL without what may be secret in it: the part before an `@`, and the query.
#[must_use]
pub fn redact(text: &str) -> String {
    let (base, query) = match text.find(['?', '#']) {
        Some(at) => (&text[..at], "?..."),
        None => (text, ""),
    };
    // The last `@` anywhere, not only before the first `/`: a password with an unencoded slash is still a password.
    let shown = match (base.find("//"), base.rfind('@')) {
        (Some(slashes), Some(at)) if at > slashes => format!("{}//...@{}", &base[..slashes], &base[at + 1..]),
        (None, Some(at)) => format!("...@{}", &base[at + 1..]),
        _ => base.to_owned(),
    };
    terminal_safe(&format!("{shown}{query}"), SHOWN)
}

/// Splits `host:port`; `None` when the host is empty or the port is not a number from 1 to 65535.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
        (&authority[..address.len() + 2], port)
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let name_ok = host.starts_with('[')
        || (!host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')));
    let port = match port {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    name_ok.then_some((host, port))
}

/// Removes `.` and `..` segments (RFC 3986, section 5.2.4); `..` never leaves the root.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Decodes `%XX`; `None` for a broken escape or an encoded NUL.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
        } else {
            byte
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
    }
    Some(decoded)
}

/// Longest URL, in characters: signed download links of the large storage services stay below 2,000.
const MAX_URL: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, &'static str) {
        match Url::parse(text) {
            Err(UrlError { url, rule }) => (url, rule),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn only_safe_urls_are_accepted() {
        for bad in [
            "",
            "example.com",
            "https:/example.com",
            "https://",
            "https://:443/",
            "https://a:0/",
            "https://a:66000/",
            "https://a:+1/",
            "https://a b/",
            "https://a/\u{1b}",
            "https://ä.example/",
            "https://a/#x",
            "ftp://a/",
            "http://example.com/",
            "http://127.0.0.1.example.com/",
            "http://[::2]/",
            "https://[::1/",
            "https://a\\@b/",
            "file://host/x",
            "file:///x?y",
            &format!("https://a/{}", "x".repeat(5000)),
        ] {
            refused(bad);
        }
        for good in [
            "https://Example.com",
            "https://example.com:8443/a/b?sig=x",
            "http://127.0.0.1:9/x",
            "http://127.8.9.1/",
            "http://[::1]:80/",
            "http://localhost/",
            "file:///srv/repository",
            "HTTPS://a/",
        ] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for text in [
            "https://user:hunter2@example.com/x?token=hunter2",
            "https://user:hun/hunter2@example.com/",
            "user:hunter2@example.com",
            "ftp://user:hunter2@example.com/#hunter2",
        ] {
            let (shown, _) = refused(text);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let url = Url::parse("https://example.com/x?token=hunter2").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://example.com/x?... Url(https://example.com/x?...)");
        assert_eq!(url.expose(), "https://example.com/x?token=hunter2");
    }

    #[test]
    fn entries_and_redirects() {
        let base = Url::parse("https://example.com/repo?sig=1").unwrap();
        assert_eq!(base.join("1.root.json").expose(), "https://example.com/repo/1.root.json?sig=1");
        let at = Url::parse("https://example.com:8443/a/b/c?q").unwrap();
        for (location, expected) in [
            ("d", "https://example.com:8443/a/b/d"),
            ("../d?x=1#frag", "https://example.com:8443/a/d?x=1"),
            ("/d/./e/..", "https://example.com:8443/d/"),
            ("../../../../d", "https://example.com:8443/d"),
            ("?z", "https://example.com:8443/a/b/c?z"),
            ("//other.example/x", "https://other.example/x"),
            ("https://other.example/x", "https://other.example/x"),
            ("https://example.com:8443/a:b", "https://example.com:8443/a:b"),
        ] {
            assert_eq!(at.resolve(location).unwrap().expose(), expected, "{location}");
        }
        assert!(at.resolve("http://example.com/").is_err());
        assert!(at.resolve("javascript:x").is_err());
    }

    #[test]
    fn origins_know_their_default_port() {
        let origin = |text: &str| Url::parse(text).unwrap().origin();
        assert_eq!(origin("https://EXAMPLE.com/a"), origin("https://example.com:443/b?c"));
        assert_ne!(origin("https://example.com/"), origin("https://example.com:8443/"));
        assert_ne!(origin("http://127.0.0.1:443/"), origin("https://127.0.0.1/"));
    }

    #[cfg(windows)]
    #[test]
    fn drive_letters_survive_the_round_trip() {
        for path in [r"C:\my repo\ä%20#", r"\\?\C:\repo"] {
            let url = Url::from_path(Path::new(path)).unwrap();
            assert!(url.to_string().starts_with("file:///C:/"), "{url}");
            assert_eq!(url.to_path().unwrap(), Path::new(path.trim_start_matches(r"\\?\")));
        }
        assert!(Url::from_path(Path::new(r"\\server\share")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn paths_survive_the_round_trip() {
        for path in ["/srv/my repo/ä%20#?", "/"] {
            assert_eq!(Url::from_path(Path::new(path)).unwrap().to_path().unwrap(), Path::new(path));
        }
        let joined = Url::from_path(Path::new("/srv/repo")).unwrap().join("x.json");
        assert_eq!(joined.to_path().unwrap(), Path::new("/srv/repo/x.json"));
        assert_eq!(Url::parse("file:///a%00b").unwrap().to_path(), None);
        assert_eq!(Url::parse("file:///a%4").unwrap().to_path(), None);
        assert!(Url::from_path(Path::new("a")).is_err());
    }
}
