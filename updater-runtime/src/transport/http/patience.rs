//! How long a socket is waited for, and how a thread that waits for one hears that it was cancelled.
//!
//! The HTTP library knows time limits per agent and per request, and a request that carries limits of its own makes it
//! load the certificate store again. So the limits of a request travel beside it, in the thread that drives it: this
//! connector waits in short slices, and between them looks at the cancel token and the deadline.

use super::super::{FetchError, FetchRequest, TimedOut, Url};
use crate::cancel::CancelToken;
use std::cell::RefCell;
use std::time::{Duration, Instant};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport, time};

/// The limits of one request.
#[derive(Clone)]
pub(super) struct Patience {
    cancel: CancelToken,
    started: Instant,
    deadline: Option<(Instant, TimedOut)>,
    idle: Duration,
    url: Url,
}

impl Patience {
    /// Takes the limits of a request up to the end of the headers.
    pub(super) fn new(request: &FetchRequest) -> Self {
        let headers = request.headers_by.map(|by| (by, TimedOut::Headers));
        let total = request.deadline.map(|by| (by, TimedOut::Total));
        Self {
            cancel: request.cancel.clone(),
            started: Instant::now(),
            deadline: [total, headers].into_iter().flatten().min_by_key(|(by, _)| *by),
            idle: request.idle,
            url: request.url.clone(),
        }
    }

    /// Returns the limits that are left once the headers are there.
    pub(super) fn for_body(self, request: &FetchRequest) -> Self {
        Self { deadline: request.deadline.map(|by| (by, TimedOut::Total)), ..self }
    }

    /// Returns these limits for one read of the body, which must give a byte or the end within `limit`.
    pub(super) fn for_read(&self, limit: Duration) -> Self {
        let started = Instant::now();
        let read = (started + limit, TimedOut::Idle);
        match self.deadline {
            Some(sooner) if sooner.0 < read.0 => self.clone(),
            _ => Self { started, deadline: Some(read), ..self.clone() },
        }
    }

    /// Runs something that reads from or writes to a connection, under these limits.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let outer = CURRENT.with(|current| current.replace(Some(self.clone())));
        let result = work();
        CURRENT.with(|current| current.replace(outer));
        result
    }

    /// Returns how long to wait at most in one go, or the error that says that the waiting is over.
    fn slice(&self, idle_since: Instant) -> Result<Duration, FetchError> {
        let timeout = |what, limit| FetchError::Timeout { url: self.url.clone(), what, limit };
        if self.cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        let now = Instant::now();
        let mut left = (idle_since + self.idle).saturating_duration_since(now);
        if left.is_zero() {
            return Err(timeout(TimedOut::Idle, self.idle));
        }
        if let Some((deadline, what)) = self.deadline {
            let until_deadline = deadline.saturating_duration_since(now);
            if until_deadline.is_zero() {
                return Err(timeout(what, deadline.saturating_duration_since(self.started)));
            }
            left = left.min(until_deadline);
        }
        Ok(left.min(SLICE))
    }
}

/// Puts the URL that was really asked, after redirects, into an error made here.
pub(super) fn with_url(error: FetchError, url: Url) -> FetchError {
    match error {
        FetchError::Timeout { what, limit, .. } => FetchError::Timeout { url, what, limit },
        other => other,
    }
}

/// Wraps each connection so that it is waited for in slices.
#[derive(Debug)]
pub(super) struct PatientConnector;

impl<In: Transport> Connector<In> for PatientConnector {
    type Out = PatientTransport<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(PatientTransport))
    }
}

#[derive(Debug)]
pub(super) struct PatientTransport<In>(In);

impl<In: Transport> PatientTransport<In> {
    fn patiently<T>(
        &mut self,
        timeout: NextTimeout,
        mut wait: impl FnMut(&mut In, NextTimeout) -> Result<T, ureq::Error>,
    ) -> Result<T, ureq::Error> {
        let Some(patience) = CURRENT.with(|current| current.borrow().clone()) else {
            return wait(&mut self.0, timeout);
        };
        let idle_since = Instant::now();
        loop {
            let slice = patience.slice(idle_since).map_err(|error| ureq::Error::Other(Box::new(error)))?;
            // The library's own limit, which is the one for connecting while a TLS handshake runs.
            let own_left = if timeout.after.is_not_happening() {
                Duration::MAX
            } else {
                timeout.after.saturating_sub(idle_since.elapsed())
            };
            if own_left.is_zero() {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
            let after = time::Duration::Exact(slice.min(own_left));
            match wait(&mut self.0, NextTimeout { after, ..timeout }) {
                Err(ureq::Error::Timeout(_)) => {}
                result => return result,
            }
        }
    }
}

impl<In: Transport> Transport for PatientTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        // Not in slices: after a timeout nobody knows how much was sent. A request fits in the socket's buffer anyway.
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.patiently(timeout, |inner, timeout| inner.await_input(timeout))
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

thread_local! {
    /// The limits of the request that this thread drives. The library calls the connection on the thread that called it.
    static CURRENT: RefCell<Option<Patience>> = const { RefCell::new(None) };
}

/// How soon a cancelled request notices: a tenth of a second looks instant to a person and costs ten wake-ups a second.
const SLICE: Duration = Duration::from_millis(100);
