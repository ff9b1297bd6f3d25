//! From a signed length and digest to a verified file: bounded, resumable, hashed while it arrives.

mod partial;

use crate::transport::{Attempt, FetchError, Fetcher, Url};
use partial::Partial;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use updater_format::{Sha256, release::Artifact};

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there, those of an earlier attempt included.
    pub bytes: u64,
    /// Bytes that there will be: the signed length.
    pub total: u64,
}

/// A file whose length and digest are those that were signed.
///
/// It is used through the handle that it was written through. Its path is never opened again, so that nobody can put
/// another file in its place between the check and the use.
#[derive(Debug)]
pub struct VerifiedFile {
    file: File,
    path: PathBuf,
    length: u64,
    sha256: Sha256,
}

impl VerifiedFile {
    /// Returns the handle, at the start of the file.
    /// # Errors
    /// [`DownloadError::Disk`] when the system cannot go to the start.
    pub fn reader(&mut self) -> Result<&mut File, DownloadError> {
        let path = &self.path;
        let start = self.file.seek(SeekFrom::Start(0));
        start.map_err(|source| DownloadError::Disk { path: path.clone(), source })?;
        Ok(&mut self.file)
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the digest.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Removes the file once it has served its purpose. What cannot be removed is left to the next cleaning.
    pub fn discard(self) {
        partial::remove(&self.path);
    }
}

/// A download that did not become a verified file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The bytes could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The body ended early, and the connection in order.
    #[error("{url} has {found} bytes instead of {expected}")]
    TooShort {
        /// What was asked for.
        url: Url,
        /// The signed length.
        expected: u64,
        /// The bytes that came.
        found: u64,
    },
    /// There is more than the signed length. Nothing beyond one byte of it was read.
    #[error("{url} has more than the {expected} bytes it must have")]
    TooLong {
        /// What was asked for.
        url: Url,
        /// The signed length.
        expected: u64,
    },
    /// The length is right and the content is not.
    #[error("{url} has sha256 {found} instead of {expected}")]
    WrongDigest {
        /// What was asked for.
        url: Url,
        /// The signed digest.
        expected: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// A web page came in the place of the file: an error page, or the login page of a network.
    #[error("{url} answered with a web page instead of the file")]
    WebPage {
        /// What was asked for.
        url: Url,
    },
    /// The file could not be written.
    #[error("cannot write {path}")]
    Disk {
        /// The file in the private download folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DownloadError {
    /// Returns a name of the error for programs, which never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::TooShort { .. } => "download-too-short",
            Self::TooLong { .. } => "download-too-long",
            Self::WrongDigest { .. } => "download-wrong-digest",
            Self::WebPage { .. } => "download-web-page",
            Self::Disk { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => "download-disk-full",
            Self::Disk { .. } => "download-disk",
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.hint(),
            Self::TooShort { .. } | Self::TooLong { .. } | Self::WrongDigest { .. } => {
                "nothing of it was used; try again later, and report it to the publisher if it stays"
            }
            Self::WebPage { .. } => "log in to the network if it asks for that, then try again",
            Self::Disk { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "free some disk space and try again; what is there already is kept"
            }
            Self::Disk { .. } => "check that the folder exists and belongs to the user who runs the program",
        }
    }

    /// Tells whether another URL of the same file cannot help.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::Fetch(FetchError::Cancelled | FetchError::Option { .. }))
    }
}

/// Downloads a file from the first of the mirrors that has it right.
///
/// `folder` must be private to the user and locked by the caller. What an earlier attempt left there is hashed again from
/// its first byte and continued. Any failure, a wrong digest included, leads on to the next mirror; failures that may
/// pass are tried again, and as long as bytes keep coming a weak connection is given as many tries as it takes.
/// # Errors
/// [`DownloadError`]: the last one of the first mirror.
pub fn download(
    fetcher: &Fetcher,
    folder: &Path,
    artifact: &Artifact,
    mirrors: &[Url],
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifiedFile, DownloadError> {
    let mut partial = Partial::open(folder, artifact)?;
    if partial.length() < artifact.length || partial.digest() != artifact.sha256 {
        if partial.length() == artifact.length {
            partial.restart()?;
        }
        fetcher.over_mirrors(mirrors.len(), |mirror| {
            let before = partial.length();
            let error = match from_mirror(fetcher, &mut partial, artifact, &mirrors[mirror], progress) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            Err(match error {
                error if error.is_final() => Attempt::Stop(error),
                // What came from a connection that broke is good as far as it goes; the digest decides in the end.
                DownloadError::Fetch(error) if error.is_retryable() => {
                    if partial.length() >= before.saturating_add(REAL_PROGRESS) {
                        Attempt::Progress(error.into())
                    } else {
                        Attempt::Later(error.into())
                    }
                }
                error @ DownloadError::Fetch(FetchError::TooSlow { .. } | FetchError::Timeout { .. }) => {
                    Attempt::NextMirror(error)
                }
                error => match partial.restart() {
                    Ok(()) => Attempt::NextMirror(error),
                    Err(disk) => Attempt::Stop(disk),
                },
            })
        })?;
    }
    progress(Progress { bytes: artifact.length, total: artifact.length });
    partial.into_verified(artifact)
}

/// Completes the file from one mirror. When the continued file turns out wrong, it is fetched once more from the start:
/// the wrong bytes may be the ones that were there before.
fn from_mirror(
    fetcher: &Fetcher,
    partial: &mut Partial,
    artifact: &Artifact,
    url: &Url,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DownloadError> {
    let resumed = partial.length() > 0;
    match one_attempt(fetcher, partial, artifact, url, progress) {
        Err(error) if resumed && !error.is_final() && may_be_the_old_part(&error) => {
            log::debug!("starting {} anew: {error}", artifact.name);
            partial.restart()?;
            one_attempt(fetcher, partial, artifact, url, progress)
        }
        result => result,
    }
}

fn may_be_the_old_part(error: &DownloadError) -> bool {
    match error {
        DownloadError::WrongDigest { .. } | DownloadError::TooShort { .. } | DownloadError::TooLong { .. } => true,
        // 416: there is nothing after the offset that was asked for.
        DownloadError::Fetch(FetchError::Status { status: 416, .. } | FetchError::Protocol { .. }) => true,
        _ => false,
    }
}

fn one_attempt(
    fetcher: &Fetcher,
    partial: &mut Partial,
    artifact: &Artifact,
    url: &Url,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DownloadError> {
    let expected = artifact.length;
    let too_long = || DownloadError::TooLong { url: url.clone(), expected };
    let mut body = fetcher.open(url, expected, partial.resume_from(url)).map_err(|error| match error {
        FetchError::TooLarge { .. } => too_long(),
        other => other.into(),
    })?;
    let start = body.body().start();
    if start != partial.length() {
        partial.restart()?;
        if start != 0 {
            let detail = "the answer begins in the middle of the file".to_owned();
            return Err(FetchError::Protocol { url: url.clone(), detail }.into());
        }
    }
    partial.note_etag(url, body.body().etag());
    let claimed = body.body().length().map(|length| start.saturating_add(length));
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = match body.read(&mut buffer) {
            Ok(n) => n,
            Err(FetchError::TooLarge { .. }) => return Err(too_long()),
            Err(error) => return Err(error.into()),
        };
        let is_first = partial.length() == 0;
        let is_page = is_first && looks_like_html(&buffer[..n]) && claimed != Some(expected);
        if is_page {
            return Err(DownloadError::WebPage { url: url.clone() });
        }
        if n == 0 {
            break;
        }
        if claimed.is_some_and(|claimed| claimed < expected) {
            return Err(DownloadError::TooShort { url: url.clone(), expected, found: claimed.unwrap_or_default() });
        }
        partial.append(&buffer[..n])?;
        progress(Progress { bytes: partial.length(), total: expected });
    }
    if partial.length() < expected {
        return Err(DownloadError::TooShort { url: url.clone(), expected, found: partial.length() });
    }
    let found = partial.digest();
    if found != artifact.sha256 {
        return Err(DownloadError::WrongDigest { url: url.clone(), expected: artifact.sha256, found });
    }
    Ok(())
}

/// Tells whether the first bytes are those of a web page. Nothing that is published begins so but release notes, and
/// those are only refused when their length is wrong too.
fn looks_like_html(first: &[u8]) -> bool {
    let text = first.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    ["<!doctype", "<html", "<head", "<?xml", "<script"]
        .iter()
        .any(|tag| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes())))
}

/// Bytes read, hashed and written at once.
const CHUNK: usize = 64 * 1024;
/// So many new bytes, 64 KiB, make an attempt that failed a good one: a file then takes at most its length divided by this
/// many attempts, and a server that sends a byte and hangs up gains nothing.
const REAL_PROGRESS: u64 = 64 * 1024;
