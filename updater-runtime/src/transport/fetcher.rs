//! What every request has in common, whatever the transport: time limits, speed limits, tries and mirrors.

use super::{Body, FetchError, FetchRequest, Fetched, Freshness, RateLimit, Resume, TimedOut, Transport, Url};
use crate::cancel::CancelToken;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A transport with the limits that the app set. Cheap to clone; clones share the rate limit and the cancel token.
#[derive(Clone)]
pub struct Fetcher {
    transport: Arc<dyn Transport>,
    timeouts: Timeouts,
    retry: Retry,
    rate: Option<RateLimit>,
    cancel: CancelToken,
}

/// How long a server is given. The time to connect is an option of the HTTP transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole metadata file, redirects included.
    pub document: Duration,
    /// For everything before the first byte of a download, redirects included.
    pub headers: Duration,
    /// Between two bytes of anything.
    pub idle: Duration,
    /// The time over which the speed of a download is looked at, and in which something of it must come at all.
    pub slow_window: Duration,
    /// The least bytes per second over that time.
    pub slow_bytes_per_second: u64,
}

impl Default for Timeouts {
    /// 30 seconds for a metadata file and for the headers of a download, 30 seconds between two bytes, 1,024 bytes per
    /// second over 60 seconds: a server that stays just above each of them sends a bundle of 10 MB in under 3 hours, and
    /// one that does not is left.
    fn default() -> Self {
        Self {
            document: Duration::from_secs(30),
            headers: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            slow_window: Duration::from_secs(60),
            slow_bytes_per_second: 1024,
        }
    }
}

/// How often failures that may pass are tried again. Each round asks every mirror that is still worth asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Rounds over the mirrors, at least 1.
    pub rounds: u32,
    /// Pause before the second round; each later one is twice as long. Half of it is random, so that many clients
    /// which failed together do not come back together.
    pub pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
}

impl Default for Retry {
    /// 3 rounds with pauses of about 0.5 and 1 second: a check at the start of a program must not hold it up for long.
    fn default() -> Self {
        Self { rounds: 3, pause: Duration::from_millis(500), longest_pause: Duration::from_secs(8) }
    }
}

/// What is asked about a metadata file.
#[derive(Debug, Clone, Default)]
pub struct DocumentRequest {
    /// The most bytes that it may have.
    pub max_bytes: u64,
    /// The entity tag of the copy that is there already.
    pub known_etag: Option<String>,
    /// Whether a cache may answer.
    pub freshness: Freshness,
}

/// A metadata file in memory, not yet trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Its bytes, and the entity tag to ask with next time.
    Bytes {
        /// The bytes as they came.
        bytes: Vec<u8>,
        /// The server's entity tag, if any.
        etag: Option<String>,
    },
    /// The copy with the known entity tag is current.
    NotModified,
}

/// What to do after one failure at one mirror.
pub(crate) enum Attempt<E> {
    /// This mirror is of no use for this file; the next one may be.
    NextMirror(E),
    /// The next mirror, and this one again in the next round.
    Later(E),
    /// As `Later`, but it brought the caller forward: the rounds begin anew. The caller bounds how often.
    Progress(E),
    /// No mirror can help.
    Stop(E),
}

impl<E: From<FetchError>> From<FetchError> for Attempt<E> {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Cancelled | FetchError::Option { .. } => Self::Stop(error.into()),
            _ if error.is_retryable() => Self::Later(error.into()),
            _ => Self::NextMirror(error.into()),
        }
    }
}

impl Fetcher {
    /// Makes a fetcher with the default limits.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            rate: None,
            cancel: CancelToken::new(),
        }
    }

    /// Sets the time limits.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Sets how often failures are tried again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Sets the speed limit.
    #[must_use]
    pub fn with_rate_limit(self, rate: Option<RateLimit>) -> Self {
        Self { rate, ..self }
    }

    /// Sets the token that ends everything this fetcher does.
    #[must_use]
    pub fn with_cancel(self, cancel: CancelToken) -> Self {
        Self { cancel, ..self }
    }

    /// Returns the token that ends everything this fetcher does.
    #[must_use]
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Fetches a metadata file into memory, in one attempt.
    /// # Errors
    /// Any [`FetchError`]; [`FetchError::Timeout`] when it takes longer than [`Timeouts::document`], however steadily the
    /// bytes drip.
    pub fn document(&self, url: &Url, wanted: &DocumentRequest) -> Result<Document, FetchError> {
        let deadline = Instant::now() + self.timeouts.document;
        let request = FetchRequest {
            known_etag: wanted.known_etag.clone(),
            freshness: wanted.freshness,
            deadline: Some(deadline),
            ..self.request(url, wanted.max_bytes)
        };
        let mut body = match self.send(&request)? {
            Fetched::NotModified if wanted.known_etag.is_some() => return Ok(Document::NotModified),
            Fetched::NotModified => return Err(unasked(url)),
            Fetched::Body(body) => body,
        };
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; DOCUMENT_CHUNK]);
        loop {
            let n = self.read_limited(&mut body, &mut buffer)?;
            // Checked here too, because a transport of the app's own may not know the deadline.
            if Instant::now() > deadline {
                return Err(FetchError::Timeout {
                    url: url.clone(),
                    what: TimedOut::Total,
                    limit: self.timeouts.document,
                });
            }
            if n == 0 {
                return Ok(Document::Bytes { etag: body.etag().map(str::to_owned), bytes });
            }
            bytes.extend_from_slice(&buffer[..n]);
        }
    }

    /// Starts the download of a file of exactly `length` bytes, in one attempt.
    pub(crate) fn open(&self, url: &Url, length: u64, resume: Option<Resume>) -> Result<PacedBody<'_>, FetchError> {
        // The speed of the body is watched below; headers that drip would never come to that.
        let headers_by = Some(Instant::now() + self.timeouts.headers);
        let request = FetchRequest { resume, headers_by, ..self.request(url, length) };
        match self.send(&request)? {
            Fetched::NotModified => Err(unasked(url)),
            Fetched::Body(body) => Ok(PacedBody { fetcher: self, body, waited: Duration::ZERO, bytes: 0 }),
        }
    }

    /// Asks one mirror after the other until an attempt succeeds, and again what may have passed by itself.
    ///
    /// The error is the last one of the first mirror, whatever the others did.
    pub(crate) fn over_mirrors<T, E: From<FetchError>>(
        &self,
        mirrors: usize,
        mut attempt: impl FnMut(usize) -> Result<T, Attempt<E>>,
    ) -> Result<T, E> {
        let mut worth_asking: Vec<usize> = (0..mirrors).collect();
        let mut first_error = None;
        let mut round = 0;
        loop {
            let mut again = Vec::new();
            for &mirror in &worth_asking {
                if self.cancel.is_cancelled() {
                    return Err(FetchError::Cancelled.into());
                }
                let error = match attempt(mirror) {
                    Ok(value) => return Ok(value),
                    Err(Attempt::Stop(error)) => return Err(error),
                    Err(Attempt::NextMirror(error)) => error,
                    Err(Attempt::Later(error)) => {
                        again.push(mirror);
                        error
                    }
                    Err(Attempt::Progress(error)) => {
                        again.push(mirror);
                        round = 0;
                        error
                    }
                };
                if mirror == 0 {
                    first_error = Some(error);
                }
            }
            round += 1;
            let no_mirrors = || FetchError::Option { option: "url", detail: "no mirror is configured".into() }.into();
            if again.is_empty() || round >= self.retry.rounds.max(1) {
                return Err(first_error.unwrap_or_else(no_mirrors));
            }
            worth_asking = again;
            self.cancel.sleep(self.retry.pause_before(round));
        }
    }

    fn request(&self, url: &Url, max_bytes: u64) -> FetchRequest {
        FetchRequest {
            idle: self.timeouts.idle,
            body_idle: self.timeouts.slow_window,
            cancel: self.cancel.clone(),
            ..FetchRequest::new(url.clone(), max_bytes)
        }
    }

    fn send(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        if self.cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        log::debug!("fetching {}", request.url);
        self.transport.fetch(request)
    }

    fn read_limited(&self, body: &mut Body, buffer: &mut [u8]) -> Result<usize, FetchError> {
        if self.cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        let Some(rate) = &self.rate else {
            return body.read(buffer);
        };
        let chunk = buffer.len().min(rate.chunk());
        let n = body.read(&mut buffer[..chunk])?;
        rate.pass(n, &self.cancel);
        Ok(n)
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .field("rate", &self.rate)
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}

/// The body of a download, whose speed is watched.
pub(crate) struct PacedBody<'a> {
    fetcher: &'a Fetcher,
    body: Body,
    /// Time spent waiting for the network in the present window. Time asleep for the app's own limit is not the server's.
    waited: Duration,
    bytes: u64,
}

impl PacedBody<'_> {
    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// Reads the next bytes; 0 means the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FetchError> {
        let (fetcher, limits) = (self.fetcher, &self.fetcher.timeouts);
        let chunk = buffer.len().min(fetcher.rate.as_ref().map_or(usize::MAX, RateLimit::chunk));
        if fetcher.cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        let started = Instant::now();
        let n = self.body.read(&mut buffer[..chunk])?;
        self.waited += started.elapsed();
        self.bytes += n as u64;
        if n > 0 && self.waited >= limits.slow_window {
            if (self.bytes as f64) < self.waited.as_secs_f64() * limits.slow_bytes_per_second as f64 {
                let (url, bytes, window) = (self.body.url().clone(), self.bytes, self.waited);
                return Err(FetchError::TooSlow { url, bytes, window });
            }
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        if let Some(rate) = &fetcher.rate {
            rate.pass(n, &fetcher.cancel);
        }
        Ok(n)
    }
}

impl Retry {
    fn pause_before(&self, round: u32) -> Duration {
        let full = self.pause.saturating_mul(1 << (round - 1).min(16)).min(self.longest_pause);
        full.div_f64(2.0) + full.div_f64(2.0).mul_f64(random_fraction())
    }
}

/// Returns a number from 0 to 1 that differs from call to call and from process to process; good enough to spread load.
pub(crate) fn random_fraction() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}

fn unasked(url: &Url) -> FetchError {
    FetchError::Protocol {
        url: url.clone(),
        detail: "\"not modified\" was answered to an unconditional request".into(),
    }
}

/// Bytes of a metadata file read at once: most files come in one piece.
const DOCUMENT_CHUNK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Silent;
    impl Transport for Silent {
        fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
            Err(FetchError::NotFound { url: request.url.clone() })
        }
    }

    fn fetcher() -> Fetcher {
        let pause = Duration::from_millis(1);
        Fetcher::new(Arc::new(Silent)).with_retry(Retry { rounds: 3, pause, longest_pause: pause })
    }

    fn status(status: u16) -> FetchError {
        FetchError::Status { url: Url::parse("https://example.com/").unwrap(), status }
    }

    #[test]
    fn each_round_asks_only_mirrors_whose_failure_may_pass() {
        let asked = RefCell::new(Vec::new());
        let result = fetcher().over_mirrors::<(), FetchError>(3, |mirror| {
            asked.borrow_mut().push(mirror);
            Err(status([503, 401, 429][mirror]).into())
        });
        assert!(matches!(result, Err(FetchError::Status { status: 503, .. })), "{result:?}");
        assert_eq!(*asked.borrow(), [0, 1, 2, 0, 2, 0, 2]);
    }

    #[test]
    fn an_end_is_an_end() {
        let asked = RefCell::new(0);
        let run = |error: fn() -> FetchError| {
            *asked.borrow_mut() = 0;
            let result = fetcher().over_mirrors::<(), FetchError>(2, |_| {
                *asked.borrow_mut() += 1;
                Err(error().into())
            });
            (result.unwrap_err().code(), *asked.borrow())
        };
        assert_eq!(run(|| FetchError::Cancelled), ("cancelled", 1));
        assert_eq!(run(|| status(401)), ("fetch-status", 2));
        let none = fetcher().over_mirrors::<(), FetchError>(0, |_| unreachable!());
        assert!(matches!(none, Err(FetchError::Option { option: "url", .. })));
    }

    #[test]
    fn pauses_grow_to_a_ceiling_and_differ() {
        let retry = Retry::default();
        for round in 1..40 {
            let full = Duration::from_millis(500 << (round - 1).min(4));
            let pause = retry.pause_before(round);
            assert!(pause >= full / 2 && pause <= full, "round {round}: {pause:?}");
        }
        let some: std::collections::BTreeSet<_> = (0..8).map(|_| retry.pause_before(5)).collect();
        assert!(some.len() > 1, "no jitter");
    }
}
