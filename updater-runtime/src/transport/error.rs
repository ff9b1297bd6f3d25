//! Why bytes could not be fetched. "It does not exist" and "it could not be had" are different answers, everywhere.

use super::{Url, UrlError};
use std::path::PathBuf;
use std::time::Duration;

/// A fetch that gave no bytes, or not all of them. URLs in it are redacted, remote text is escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered that there is no such file. Of all failures only this one ends a root rotation.
    #[error("{url} does not exist on the server")]
    NotFound {
        /// What was asked for.
        url: Url,
    },
    /// The server answered with a status that is neither success nor "not found".
    #[error("{url} answered with HTTP status {status}")]
    Status {
        /// What was asked for.
        url: Url,
        /// The HTTP status.
        status: u16,
    },
    /// No connection: the name does not resolve, nobody listens, or a proxy refuses.
    #[error("cannot connect to {url}: {detail}")]
    Connect {
        /// What was asked for.
        url: Url,
        /// What the system or the proxy said.
        detail: String,
    },
    /// No encrypted connection: the certificate is not trusted, or the handshake failed.
    #[error("cannot open an encrypted connection to {url}: {detail}")]
    Tls {
        /// What was asked for.
        url: Url,
        /// What the TLS library said.
        detail: String,
    },
    /// A time limit ran out.
    #[error("{url} did not {what} within {limit:?}")]
    Timeout {
        /// What was asked for.
        url: Url,
        /// What was waited for.
        what: TimedOut,
        /// The limit.
        limit: Duration,
    },
    /// Bytes arrive, but slower than the minimum.
    #[error("{url} sent {bytes} bytes in {window:?}, which is too slow")]
    TooSlow {
        /// What was asked for.
        url: Url,
        /// Bytes received in the window.
        bytes: u64,
        /// How long was waited for them.
        window: Duration,
    },
    /// The connection ended before the body did.
    #[error("{url} broke off after {received} bytes: {detail}")]
    Interrupted {
        /// What was asked for.
        url: Url,
        /// Bytes of the body that arrived in this response.
        received: u64,
        /// What the system said.
        detail: String,
    },
    /// The server sends more than this file may have. Nothing is kept.
    #[error("{url} is longer than the {limit} bytes that are allowed")]
    TooLarge {
        /// What was asked for.
        url: Url,
        /// The limit in bytes.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {location}: {rule}")]
    Redirect {
        /// What was asked for.
        url: Url,
        /// Where the server points to, redacted.
        location: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The answer is not HTTP as the standard has it.
    #[error("{url} gave an answer that makes no sense: {detail}")]
    Protocol {
        /// What was asked for.
        url: Url,
        /// What was wrong.
        detail: String,
    },
    /// A URL that this updater does not talk to.
    #[error("the URL {url} is refused: {rule}")]
    Url {
        /// The URL, redacted.
        url: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A file of a local repository could not be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An option of the transport cannot be used.
    #[error("the option {option} cannot be used: {detail}")]
    Option {
        /// Which option, for example `proxy`.
        option: &'static str,
        /// What is wrong with its value; the value itself may be secret and is not repeated.
        detail: String,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// What a [`FetchError::Timeout`] waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimedOut {
    /// Resolving the name and connecting.
    Connect,
    /// The headers of the answer, redirects included.
    Headers,
    /// The whole answer.
    Total,
    /// The next byte.
    Idle,
}

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "accept a connection",
            Self::Headers => "begin with the file",
            Self::Total => "send the whole file",
            Self::Idle => "send anything more",
        })
    }
}

impl From<UrlError> for FetchError {
    fn from(UrlError { url, rule }: UrlError) -> Self {
        Self::Url { url, rule }
    }
}

impl FetchError {
    /// Tells whether the same request may succeed a little later. A time limit that ran out is not worth another one.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Connect { .. } | Self::Interrupted { .. } => true,
            Self::Timeout { what, .. } => *what == TimedOut::Idle,
            _ => false,
        }
    }

    /// Tells whether there was no way to the server at all: what an app reports as "offline".
    #[must_use]
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Timeout { what: TimedOut::Connect, .. })
    }

    /// Returns a name of the error for programs, which never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "fetch-not-found",
            Self::Status { .. } => "fetch-status",
            Self::Connect { .. } => "fetch-connect",
            Self::Tls { .. } => "fetch-tls",
            Self::Timeout { .. } => "fetch-timeout",
            Self::TooSlow { .. } => "fetch-too-slow",
            Self::Interrupted { .. } => "fetch-interrupted",
            Self::TooLarge { .. } => "fetch-too-large",
            Self::Redirect { .. } => "fetch-redirect",
            Self::Protocol { .. } => "fetch-protocol",
            Self::Url { .. } => "fetch-url",
            Self::File { .. } => "fetch-file",
            Self::Option { .. } => "fetch-option",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => {
                "the publisher's upload may be incomplete; try again later, and report it if it stays"
            }
            Self::Status { status: 401 | 403 | 407, .. } => "check the credentials of the server or the proxy",
            Self::Status { .. } | Self::Protocol { .. } | Self::Interrupted { .. } => "try again later",
            Self::Connect { .. } => "check the network connection, and HTTPS_PROXY if this network needs a proxy",
            Self::Tls { .. } => {
                "check the system's clock and root certificates (package ca-certificates); a private authority must be given as an option"
            }
            Self::Timeout { .. } | Self::TooSlow { .. } => "try again on a better connection",
            Self::TooLarge { .. } | Self::Redirect { .. } => {
                "something between here and the publisher alters the answers, such as a login page; report it to the publisher if not"
            }
            Self::Url { .. } | Self::Option { .. } => "correct the configuration",
            Self::File { .. } => "check that the folder of the repository exists and can be read",
            Self::Cancelled => "start again when ready",
        }
    }

    /// Carries this error through `std::io::Read`; [`Body::read`](super::Body::read) takes it out again.
    #[must_use]
    pub fn into_io(self) -> std::io::Error {
        std::io::Error::other(self)
    }
}
