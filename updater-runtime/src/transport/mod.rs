//! How bytes come from a server: one trait, and what it is asked for and answers.
//!
//! A [`Transport`] makes one attempt at one URL. Mirrors, retries, speed limits and every check of what came are the
//! business of its callers, so that an app's own transport cannot weaken them.

mod body;
mod error;
mod fetcher;
mod file;
#[cfg(feature = "http")]
mod http;
mod mirrors;
mod rate;

pub use body::Body;
pub use error::{FetchError, TimedOut};
pub(crate) use fetcher::{Attempt, random_fraction};
pub use fetcher::{Document, DocumentRequest, Fetcher, Retry, Timeouts};
pub use file::FileTransport;
#[cfg(feature = "http")]
pub use http::{HttpOptions, HttpTransport, ProxyChoice, Roots};
pub use mirrors::Mirror;
pub use rate::RateLimit;
pub use updater_format::TargetLayout;
pub use updater_format::url::{Origin, Url, UrlError};

use crate::cancel::CancelToken;
use std::time::{Duration, Instant};

/// Fetches bytes from a URL. Implement it to bring a network stack of your own; a test brings a simulator.
///
/// An implementation makes one attempt, never tries again, and keeps to [`FetchRequest::deadline`],
/// [`headers_by`](FetchRequest::headers_by), [`idle`](FetchRequest::idle), [`body_idle`](FetchRequest::body_idle) and
/// [`cancel`](FetchRequest::cancel) as well as it can. It answers
/// [`FetchError::NotFound`] only when it was told that the file does not exist: anything else, a login page of a hotel
/// network above all, must not be mistaken for that. What came is verified behind it: a transport cannot weaken that.
///
/// ```
/// use updater_runtime::transport::{Body, FetchError, FetchRequest, Fetched, Transport, Url};
///
/// /// A repository that lies in memory.
/// struct Memory(&'static [(&'static str, &'static [u8])]);
///
/// impl Transport for Memory {
///     fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
///         let url = request.url.expose();
///         match self.0.iter().find(|(name, _)| url.ends_with(name)) {
///             Some((_, bytes)) => Ok(Fetched::Body(Body::new(request, Box::new(*bytes)))),
///             None => Err(FetchError::NotFound { url: request.url.clone() }),
///         }
///     }
/// }
///
/// let files = Memory(&[("metadata/timestamp.json", b"{}")]);
/// let request = |name: &str| FetchRequest::new(Url::parse(&format!("https://example.com/{name}")).unwrap(), 100);
/// assert!(matches!(files.fetch(&request("metadata/timestamp.json")), Ok(Fetched::Body(_))));
/// assert!(matches!(files.fetch(&request("metadata/2.root.json")), Err(FetchError::NotFound { .. })));
/// ```
pub trait Transport: Send + Sync {
    /// Makes one attempt to fetch what is asked for.
    /// # Errors
    /// Any [`FetchError`].
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError>;
}

/// What is asked of a [`Transport`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchRequest {
    /// What to fetch.
    pub url: Url,
    /// The most bytes of body that are of use. A transport may refuse a longer one early; the caller refuses it anyway.
    pub max_bytes: u64,
    /// Only the bytes from here on, if the file is still the same one. A transport that cannot do that sends everything.
    pub resume: Option<Resume>,
    /// The entity tag of a copy that the caller has: the answer may be [`Fetched::NotModified`].
    pub known_etag: Option<String>,
    /// Whether a cache on the way may answer.
    pub freshness: Freshness,
    /// When the whole attempt must be over.
    pub deadline: Option<Instant>,
    /// When the body must begin, redirects included: a body of any length has no deadline, its headers have one.
    pub headers_by: Option<Instant>,
    /// The longest wait for the next byte of the connection.
    pub idle: Duration,
    /// The longest wait for the next byte of the body, or its end. Bytes that only frame the body, the incomplete record of
    /// an encryption or the extensions and trailers of chunks, keep a connection from being idle for ever; not this.
    pub body_idle: Duration,
    /// Ends the attempt from another thread.
    pub cancel: CancelToken,
}

/// Where a broken download goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// How many bytes are there already.
    pub offset: u64,
    /// The strong entity tag under which they came, if there was one.
    pub etag: Option<String>,
}

/// Whether a cache between here and the server may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// A cache may answer, as HTTP allows.
    #[default]
    Cached,
    /// Caches are asked to go to the server (`Cache-Control: no-cache`).
    Revalidate,
}

/// The answer of a [`Transport`] that is not an error.
#[derive(Debug)]
pub enum Fetched {
    /// The bytes follow.
    Body(Body),
    /// The copy with [`FetchRequest::known_etag`] is still the current one.
    NotModified,
}

impl FetchRequest {
    /// Asks for a whole file of at most `max_bytes`, without a deadline and with 30 seconds of patience for each byte of the
    /// connection, 60 for each of the body.
    #[must_use]
    pub fn new(url: Url, max_bytes: u64) -> Self {
        Self {
            url,
            max_bytes,
            resume: None,
            known_etag: None,
            freshness: Freshness::Cached,
            deadline: None,
            headers_by: None,
            idle: Timeouts::default().idle,
            body_idle: Timeouts::default().slow_window,
            cancel: CancelToken::new(),
        }
    }
}

/// Sends each request to the transport for its scheme: `file:` from disk, the others to the given one.
pub struct SchemeTransport {
    network: Option<Box<dyn Transport>>,
}

impl SchemeTransport {
    /// Makes a transport for `file:` URLs and, if given, for the network.
    #[must_use]
    pub fn new(network: Option<Box<dyn Transport>>) -> Self {
        Self { network }
    }
}

impl std::fmt::Debug for SchemeTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchemeTransport").field("network", &self.network.is_some()).finish()
    }
}

impl Transport for SchemeTransport {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        match &self.network {
            _ if request.url.is_file() => FileTransport.fetch(request),
            Some(network) => network.fetch(request),
            None => Err(FetchError::Url {
                url: request.url.to_string(),
                rule: "this program was built without HTTP (feature `http` of updater-runtime)",
            }),
        }
    }
}
