//! What an app can set about HTTP.

use super::super::{FetchError, Origin};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// Options of [`HttpTransport`](super::HttpTransport). `Debug` shows no secret.
#[derive(Clone)]
pub struct HttpOptions {
    pub(super) proxy: ProxyChoice,
    pub(super) connect_timeout: Duration,
    pub(super) missing_status: Vec<u16>,
    roots: Roots,
    headers: Vec<(Origin, HeaderName, HeaderValue)>,
}

/// Through which proxy requests go.
#[derive(Clone, Default)]
pub enum ProxyChoice {
    /// As `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in lower case too. Loopback addresses are always direct.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// `http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or `socks5h://` with an optional
    /// `user:password@`. Everything goes through it, loopback addresses too.
    Through(String),
}

/// Which certificate authorities are trusted for the connection.
#[derive(Clone, Default)]
pub enum Roots {
    /// The system's.
    #[default]
    Platform,
    /// Only those in this PEM text: for a server with a private authority.
    Only(Vec<u8>),
}

impl Default for HttpOptions {
    /// Proxy from the environment, the system's authorities, 10 seconds to connect, 404 alone means absent.
    fn default() -> Self {
        Self {
            proxy: ProxyChoice::Environment,
            roots: Roots::Platform,
            connect_timeout: Duration::from_secs(10),
            missing_status: vec![404],
            headers: Vec::new(),
        }
    }
}

impl HttpOptions {
    /// Sets the proxy.
    #[must_use]
    pub fn with_proxy(self, proxy: ProxyChoice) -> Self {
        Self { proxy, ..self }
    }

    /// Sets the trusted certificate authorities.
    #[must_use]
    pub fn with_roots(self, roots: Roots) -> Self {
        Self { roots, ..self }
    }

    /// Sets how long resolving the name, and then connecting with the TLS handshake, may each take.
    #[must_use]
    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// Sets the HTTP statuses with which this storage says that a file does not exist. 403 belongs here only for a bucket
    /// that answers so by its configuration; elsewhere it would let a refusal end a root rotation.
    #[must_use]
    pub fn with_missing_status(self, missing_status: Vec<u16>) -> Self {
        Self { missing_status, ..self }
    }

    /// Adds a header for requests to one origin. It is never sent to another, not even after a redirect.
    /// # Errors
    /// [`FetchError::Option`] when name or value are not those of an HTTP header, or the updater sets the header itself.
    pub fn with_header(mut self, origin: Origin, name: &str, value: &str) -> Result<Self, FetchError> {
        let refuse = |detail: &str| FetchError::Option { option: "header", detail: detail.into() };
        let name = HeaderName::try_from(name).map_err(|_| refuse("the name is not that of an HTTP header"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(refuse("the updater sets this header itself"));
        }
        let mut value =
            HeaderValue::try_from(value).map_err(|_| refuse("the value has characters that no header may have"))?;
        value.set_sensitive(true);
        self.headers.push((origin, name, value));
        Ok(self)
    }

    /// Adds a user name and password (HTTP basic authentication) for one origin.
    /// # Errors
    /// [`FetchError::Option`] when the user name contains a colon, which the scheme cannot carry.
    pub fn with_basic_auth(self, origin: Origin, user: &str, password: &str) -> Result<Self, FetchError> {
        if user.contains(':') {
            let detail = "the user name must not contain a colon".to_owned();
            return Err(FetchError::Option { option: "basic auth", detail });
        }
        let credentials = encode_base64(format!("{user}:{password}").as_bytes());
        self.with_header(origin, "authorization", &format!("Basic {credentials}"))
    }

    pub(super) fn headers_for<'a>(
        &'a self,
        origin: &'a Origin,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        self.headers.iter().filter(move |(bound_to, ..)| bound_to == origin).map(|(_, name, value)| (name, value))
    }

    pub(super) fn tls_config(&self) -> Result<TlsConfig, FetchError> {
        let roots = match &self.roots {
            Roots::Platform => RootCerts::PlatformVerifier,
            Roots::Only(pem) => RootCerts::from(certificates(pem)?),
        };
        Ok(TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(roots)
            // Said here, so that neither a process-wide default nor the features of other crates decide it.
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, FetchError> {
    let refuse = |detail: &str| FetchError::Option { option: "root certificates", detail: detail.into() };
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| refuse("the text is not PEM"))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(refuse("the PEM text contains no certificate"));
    }
    Ok(certificates)
}

impl std::fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(origin, name, _)| format!("{name} for {origin}")).collect();
        f.debug_struct("HttpOptions")
            .field("proxy", &self.proxy)
            .field("roots", &self.roots)
            .field("connect_timeout", &self.connect_timeout)
            .field("missing_status", &self.missing_status)
            .field("headers", &headers)
            .finish()
    }
}

impl std::fmt::Debug for ProxyChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Direct => "Direct",
            Self::Through(_) => "Through(...)",
        })
    }
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Platform => f.write_str("Platform"),
            Self::Only(pem) => write!(f, "Only({} bytes of PEM)", pem.len()),
        }
    }
}

/// Encodes bytes as base64 with padding (RFC 4648, section 4); for one header this is less than another dependency.
fn encode_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            if digit <= group.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Headers that decide what a request means, in lower case.
const RESERVED: [&str; 12] = [
    "accept-encoding",
    "cache-control",
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-none-match",
    "if-range",
    "pragma",
    "range",
    "transfer-encoding",
    "user-agent",
];

#[cfg(test)]
mod tests {
    use super::super::super::Url;
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode_base64(plain.as_bytes()), encoded);
        }
        assert_eq!(encode_base64(&[0xff, 0xfe, 0xfb]), "//77");
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        let origin = || Url::parse("https://example.com/").unwrap().origin();
        let header = |name, value| HttpOptions::default().with_header(origin(), name, value).err();
        for (name, value) in [("", "x"), ("a b", "x"), ("x-a", "a\r\nx-b: c"), ("Range", "bytes=0-"), ("Host", "evil")]
        {
            assert!(
                matches!(header(name, value), Some(FetchError::Option { option: "header", .. })),
                "{name}: {value}"
            );
        }
        assert!(header("X-Token", "x").is_none());
        let auth = HttpOptions::default().with_basic_auth(origin(), "a:b", "c");
        assert!(matches!(auth, Err(FetchError::Option { option: "basic auth", .. })));
        for pem in
            ["", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "-----BEGIN X-----\n-----END X-----\n"]
        {
            let roots = HttpOptions::default().with_roots(Roots::Only(pem.into())).tls_config();
            assert!(matches!(roots, Err(FetchError::Option { option: "root certificates", .. })), "{pem:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let origin = Url::parse("https://example.com/").unwrap().origin();
        let options = HttpOptions::default()
            .with_proxy(ProxyChoice::Through("http://user:hunter2@proxy:3128".into()))
            .with_basic_auth(origin, "me", "hunter2")
            .unwrap();
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
        assert!(shown.contains("authorization for https://example.com:443"), "{shown}");
    }
}
