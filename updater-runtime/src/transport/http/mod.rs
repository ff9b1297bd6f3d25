//! HTTP and HTTPS by `ureq` and `rustls`: one attempt per call, redirects followed under our own rules.

mod options;
mod patience;
mod proxy;

pub use options::{HttpOptions, ProxyChoice, Roots};

use super::{Body, FetchError, FetchRequest, Fetched, Freshness, TimedOut, Transport, Url, UrlError};
use patience::{Patience, PatientConnector};
use std::io::Read;
use std::time::Duration;
use updater_format::{SHOWN, terminal_safe};
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, StatusCode, header};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector as _, RustlsConnector, SocksConnector, TcpConnector,
};

/// Fetches over HTTPS, and over HTTP from loopback addresses.
///
/// Certificates are checked by the system's own store. No cookies, no identifiers: every client of a version sends the
/// same headers. Nothing is ever decompressed (`Accept-Encoding: identity`), so a bound on bytes received is a bound on
/// bytes produced.
pub struct HttpTransport {
    options: HttpOptions,
    direct: Agent,
    /// With the proxy that the options or the environment name, and the hosts that the environment exempts from it.
    proxied: Option<(Agent, proxy::Exempt)>,
}

impl HttpTransport {
    /// Makes a transport. The environment is read here, once; nothing is connected yet.
    /// # Errors
    /// [`FetchError::Option`] when an option cannot be used: a proxy URL, a certificate, a header.
    pub fn new(options: HttpOptions) -> Result<Self, FetchError> {
        let chosen = proxy::choose(&options.proxy, |name| std::env::var(name).ok())?;
        let tls = options.tls_config()?;
        let agent = |proxy: Option<ureq::Proxy>| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                // Redirects are followed below, where credentials and downgrades can be watched.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(USER_AGENT)
                .accept("*/*")
                .accept_encoding("identity")
                .max_response_header_size(MAX_HEADERS)
                .timeout_resolve(Some(options.connect_timeout))
                .timeout_connect(Some(options.connect_timeout))
                .max_idle_connections_per_host(2)
                .tls_config(tls.clone())
                .proxy(proxy)
                .build();
            // Under TLS, so that a handshake can be cancelled too.
            let connector =
                ().chain(SocksConnector::default())
                    .chain(ConnectProxyConnector::default())
                    .chain(TcpConnector::default())
                    .chain(PatientConnector)
                    .chain(RustlsConnector::default());
            Agent::with_parts(config, connector, DefaultResolver::default())
        };
        let proxied = chosen.map(|(proxy, exempt)| (agent(Some(proxy)), exempt));
        Ok(Self { direct: agent(None), proxied, options })
    }

    fn agent_for(&self, url: &Url) -> &Agent {
        match &self.proxied {
            Some((agent, exempt)) if !exempt.covers(url) => agent,
            _ => &self.direct,
        }
    }

    /// Sends one request and returns the answer, whatever its status.
    fn send(
        &self,
        url: &Url,
        request: &FetchRequest,
        patience: &Patience,
    ) -> Result<ureq::http::Response<ureq::Body>, FetchError> {
        let mut call = self.agent_for(url).get(url.expose());
        for (name, value) in self.options.headers_for(&url.origin()) {
            call = call.header(name, value);
        }
        if let Some(resume) = &request.resume {
            call = call.header(header::RANGE, format!("bytes={}-", resume.offset));
            // RFC 9110, 13.1.5: a weak tag must not be sent in If-Range.
            if let Some(etag) = resume.etag.as_ref().filter(|etag| !etag.starts_with("W/")) {
                call = call.header(header::IF_RANGE, etag);
            }
        }
        if let Some(etag) = &request.known_etag {
            call = call.header(header::IF_NONE_MATCH, etag);
        }
        if request.freshness == Freshness::Revalidate {
            call = call.header(header::CACHE_CONTROL, "no-cache").header(header::PRAGMA, "no-cache");
        }
        patience.during(|| call.call()).map_err(|error| self.explain(error, url, request))
    }

    /// Turns an error of the HTTP library into ours.
    fn explain(&self, error: ureq::Error, url: &Url, request: &FetchRequest) -> FetchError {
        explain(error, url, request.idle, self.options.connect_timeout)
    }
}

impl Transport for HttpTransport {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        if request.url.is_file() {
            return Err(FetchError::Url { url: request.url.to_string(), rule: "a file: URL is not read over HTTP" });
        }
        let patience = Patience::new(request);
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&url, request, &patience)?;
            let status = response.status();
            match status {
                StatusCode::OK => return self.body(response, &url, request, patience, 0).map(Fetched::Body),
                StatusCode::PARTIAL_CONTENT => {
                    let start = resumed_at(response.headers(), &url, request)?;
                    return self.body(response, &url, request, patience, start).map(Fetched::Body);
                }
                StatusCode::NOT_MODIFIED => return Ok(Fetched::NotModified),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => url = redirect(response.headers(), &url)?,
                _ if self.options.missing_status.contains(&status.as_u16()) => {
                    return Err(FetchError::NotFound { url });
                }
                _ => {
                    return Err(FetchError::Status { url, status: status.as_u16() });
                }
            }
        }
        Err(FetchError::Redirect {
            url: request.url.clone(),
            location: url.to_string(),
            rule: "more than 3 redirects are not followed",
        })
    }
}

impl HttpTransport {
    fn body(
        &self,
        response: ureq::http::Response<ureq::Body>,
        url: &Url,
        request: &FetchRequest,
        patience: Patience,
        start: u64,
    ) -> Result<Body, FetchError> {
        let length = text_of(response.headers(), &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        // Refused before a byte of it is read. `Body` watches the bytes themselves.
        if length.is_some_and(|length| start.saturating_add(length) > request.max_bytes) {
            return Err(FetchError::TooLarge { url: url.clone(), limit: request.max_bytes });
        }
        let etag = text_of(response.headers(), &header::ETAG).filter(|etag| etag.len() <= MAX_ETAG).map(str::to_owned);
        let reader = PatientReader {
            // The library's own bound would be 10 MiB; ours is in `Body`.
            reader: response.into_body().into_with_config().limit(u64::MAX).reader(),
            patience: patience.for_body(request),
            url: url.clone(),
            idle: request.idle,
            body_idle: request.body_idle,
            connect: self.options.connect_timeout,
        };
        Ok(Body::new(request, Box::new(reader)).with_start(start).with_length(length).with_etag(etag))
    }
}

impl std::fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpTransport").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Reads a body under the same patience as the request had.
struct PatientReader<R> {
    reader: R,
    patience: Patience,
    url: Url,
    idle: Duration,
    body_idle: Duration,
    connect: Duration,
}

impl<R: Read> Read for PatientReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (reader, patience) = (&mut self.reader, self.patience.for_read(self.body_idle));
        patience.during(|| reader.read(buffer)).map_err(|error| match error.downcast::<ureq::Error>() {
            Ok(error) => explain(error, &self.url, self.idle, self.connect).into_io(),
            Err(error) => error,
        })
    }
}

fn explain(error: ureq::Error, url: &Url, idle: Duration, connect: Duration) -> FetchError {
    let url = url.clone();
    let safe = |text: String| terminal_safe(&text, SHOWN);
    match error {
        ureq::Error::Other(inner) => match inner.downcast::<FetchError>() {
            Ok(own) => patience::with_url(*own, url),
            Err(other) => FetchError::Protocol { url, detail: safe(other.to_string()) },
        },
        ureq::Error::Io(error) => match error.downcast::<FetchError>() {
            Ok(own) => patience::with_url(own, url),
            Err(error) => match error.downcast::<rustls::Error>() {
                Ok(error) => FetchError::Tls { url, detail: safe(error.to_string()) },
                Err(error) if is_broken_off(&error) => {
                    FetchError::Interrupted { url, received: 0, detail: safe(error.to_string()) }
                }
                Err(error) => FetchError::Connect { url, detail: safe(error.to_string()) },
            },
        },
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            FetchError::Timeout { url, what: TimedOut::Connect, limit: connect }
        }
        ureq::Error::Timeout(_) => FetchError::Timeout { url, what: TimedOut::Idle, limit: idle },
        ureq::Error::HostNotFound => FetchError::Connect { url, detail: "the host name is not known".into() },
        ureq::Error::ConnectionFailed => FetchError::Connect { url, detail: "the connection failed".into() },
        ureq::Error::ConnectProxyFailed(detail) => FetchError::Connect { url, detail: safe(detail) },
        ureq::Error::Rustls(error) => FetchError::Tls { url, detail: safe(error.to_string()) },
        ureq::Error::Tls(detail) => FetchError::Tls { url, detail: detail.to_owned() },
        other => FetchError::Protocol { url, detail: safe(other.to_string()) },
    }
}

fn is_broken_off(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Returns where a redirect leads, if it may be followed.
fn redirect(headers: &HeaderMap, from: &Url) -> Result<Url, FetchError> {
    let refuse = |location: String, rule| FetchError::Redirect { url: from.clone(), location, rule };
    let location = text_of(headers, &header::LOCATION)
        .ok_or_else(|| refuse("nowhere".into(), "a redirect must have a readable Location"))?;
    let to = from.resolve(location).map_err(|UrlError { url, rule }| refuse(url, rule))?;
    if to.is_file() {
        return Err(refuse(to.to_string(), "a server must not redirect to a local file"));
    }
    if from.is_https() && !to.is_https() {
        return Err(refuse(to.to_string(), "an encrypted connection must not be given up"));
    }
    if to.is_loopback() && !from.is_loopback() {
        return Err(refuse(to.to_string(), "a remote server must not redirect to this computer"));
    }
    Ok(to)
}

/// Returns the offset at which a partial answer begins, which must be the one asked for.
fn resumed_at(headers: &HeaderMap, url: &Url, request: &FetchRequest) -> Result<u64, FetchError> {
    let wanted = request.resume.as_ref().map(|resume| resume.offset);
    // RFC 9110, 14.4: `bytes FIRST-LAST/LENGTH`.
    let first = text_of(headers, &header::CONTENT_RANGE)
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| text.split_once('-'))
        .and_then(|(first, _)| first.trim().parse::<u64>().ok());
    match (wanted, first) {
        (Some(wanted), Some(first)) if wanted == first => Ok(first),
        _ => Err(FetchError::Protocol { url: url.clone(), detail: "a part of the file that was not asked for".into() }),
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The same for every client of a version: it says what is asking, and nothing about who.
const USER_AGENT: &str = concat!("cargo-updater/", env!("CARGO_PKG_VERSION"));
/// Redirects that are followed: one to a release host, one to its storage, one to spare.
const MAX_REDIRECTS: u32 = 3;
/// Bytes of response headers: 32 KiB, what the large servers allow themselves.
const MAX_HEADERS: usize = 32 * 1024;
/// Longest entity tag that is kept, in bytes.
const MAX_ETAG: usize = 256;
