//! Makes deltas.

pub use crate::refs1::Reading;
use crate::{ApplyError, ApplyLimits, Codec, Header, apply, opened1, refs1};
use sha2::{Digest as _, Sha256};
use std::io::{self, Cursor};
use std::num::NonZeroUsize;

/// A finished delta: it was applied, and the result was equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    codec: Codec,
    reading: Reading,
    bytes: Vec<u8>,
    streams: Vec<(&'static str, u64)>,
}

impl Delta {
    /// Returns what the files were taken for, of what was tried: the way that gave the fewest bytes.
    #[must_use]
    pub const fn reading(&self) -> Reading {
        self.reading
    }

    /// Returns the codec that was used.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns the delta's bytes, header included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what the bytes are for, each with about how many: empty for a codec that does not tell them apart.
    #[must_use]
    pub fn streams(&self) -> &[(&'static str, u64)] {
        &self.streams
    }

    /// Gives the delta's bytes away, header included.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// How a delta may be made. `DiffOptions::default()` is right unless the release that will apply it is older than this crate.
#[derive(Clone)]
pub struct DiffOptions<'a> {
    /// The codecs that the release which will apply the delta understands. Those that this build cannot make are passed over.
    pub codecs: &'a [Codec],
    /// Threads to use at most; by default one per processor.
    pub threads: NonZeroUsize,
    /// Memory to use at most, in bytes, beside the two files. Files that need more are compared block by block, as plain data; less than
    /// a block of 1 MiB needs is refused with [`DiffError::Memory`].
    pub memory: u64,
    /// Memory that the application may use, in bytes: the delta is applied within it before it is returned.
    pub apply_memory: u64,
    /// Told how far the work is, from any thread.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

impl Default for DiffOptions<'_> {
    fn default() -> Self {
        Self {
            codecs: Codec::SUPPORTED,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory: DEFAULT_MEMORY,
            apply_memory: crate::DEFAULT_APPLY_MEMORY,
            progress: None,
        }
    }
}

impl std::fmt::Debug for DiffOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiffOptions")
            .field("codecs", &self.codecs)
            .field("threads", &self.threads)
            .field("memory", &self.memory)
            .field("apply_memory", &self.apply_memory)
            .finish_non_exhaustive()
    }
}

/// What is being done while a delta is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The new file is compared with the old one.
    Matching,
    /// What is left is compressed.
    Encoding,
    /// The delta is applied and the result compared.
    Checking,
}

/// How far the making of a delta is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes of the new file that this stage has done.
    pub done: u64,
    /// Bytes of the new file.
    pub total: u64,
}

/// Why no delta was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// None of the allowed codecs can be made by this build.
    #[error("none of the allowed codecs can be made: {allowed:?}")]
    NoCodec {
        /// What was allowed.
        allowed: Vec<Codec>,
    },
    /// The work needs more memory than it may use.
    #[error("making the delta needs {needed} bytes of memory, the limit is {limit}")]
    Memory {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The finished delta was refused when it was applied: a fault of this crate.
    #[error("the finished delta does not apply")]
    SelfCheck {
        /// Why it was refused.
        #[source]
        source: ApplyError,
    },
}

impl DiffError {
    /// Returns the next step for a person.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoCodec { .. } => {
                "publish without a delta: the older release only reads codecs that are no longer made"
            }
            Self::Memory { .. } => "raise the memory limit, or publish without a delta",
            Self::SelfCheck { .. } => "publish without a delta, and report the two files",
        }
    }
}

/// Makes a delta that turns `old` into `new`, applies it, and returns it if the result was equal.
///
/// Files that are compressed inside are also compared by what they contain, and the smaller delta wins.
/// # Errors
/// Any [`DiffError`].
pub fn diff(old: &[u8], new: &[u8], options: &DiffOptions<'_>) -> Result<Delta, DiffError> {
    let closed = closed(old, new, options)?;
    // It is kept while another is tried.
    let options = &DiffOptions { memory: options.memory.saturating_sub(closed.bytes.len() as u64), ..options.clone() };
    // Whatever keeps an opened delta from being made, the other one is there.
    match options.codecs.contains(&Codec::Opened1).then(|| opened(old, new, options)) {
        Some(Ok(Some(opened))) if opened.bytes.len() < closed.bytes.len() => Ok(opened),
        _ => Ok(closed),
    }
}

/// Makes a delta between the opened files; `None` if there is nothing to open.
fn opened(old: &[u8], new: &[u8], options: &DiffOptions<'_>) -> Result<Option<Delta>, DiffError> {
    let codec = Codec::Opened1;
    let (mut streams, mut reading) = (Vec::new(), Reading::Data);
    let inner = |old: &[u8], new: &[u8], options: &DiffOptions<'_>| {
        let delta = closed(old, new, options)?;
        (streams, reading) = (delta.streams, delta.reading);
        Ok(delta.bytes)
    };
    let Some(body) = opened1::encode(old, new, options, inner)? else { return Ok(None) };
    let mut bytes = header(codec, old, new).to_bytes();
    bytes.extend(body);
    let limits = ApplyLimits::exactly(new.len() as u64).memory(options.apply_memory);
    apply(codec, &mut Cursor::new(old), &bytes[..], &mut io::sink(), &limits)
        .map_err(|source| DiffError::SelfCheck { source })?;
    Ok(Some(Delta { codec, reading, bytes, streams }))
}

fn header(codec: Codec, old: &[u8], new: &[u8]) -> Header {
    Header {
        codec,
        old_length: old.len() as u64,
        old_sha256: Sha256::digest(old).into(),
        new_length: new.len() as u64,
        new_sha256: Sha256::digest(new).into(),
    }
}

/// Makes a delta between the files as they are.
fn closed(old: &[u8], new: &[u8], options: &DiffOptions<'_>) -> Result<Delta, DiffError> {
    let total = new.len() as u64;
    let tell = |stage, done| {
        if let Some(progress) = options.progress {
            progress(Progress { stage, done, total });
        }
    };
    let codec = Codec::Refs1;
    if !options.codecs.contains(&codec) {
        return Err(DiffError::NoCodec { allowed: options.codecs.to_vec() });
    }
    let header = header(codec, old, new);
    tell(Stage::Matching, 0);
    let longest = header.old_length.max(header.new_length);
    let fits = longest <= u64::from(refs1::MAX_LENGTH) && refs1::encode_memory(old, new) <= options.memory;
    let as_data = || refs1::encode(old, new, Reading::Data, options.threads);
    let (mut body, mut report) = if fits {
        refs1::encode(old, new, Reading::Programs, options.threads)
    } else {
        refs1::encode_parts(old, new, options.memory, options.threads, |done| tell(Stage::Matching, done))?
    };
    // Programs that have little in common, or that are packed, may do better as what they are made of; and where nearly all is the same
    // the plan of their parts is most of the delta.
    let poor = body.len() > new.len() / POOR || body.len() < TINY;
    // The first one is kept while another is made.
    let held = body.len() as u64;
    if report.reading() == Reading::Programs && poor && refs1::encode_memory(old, new) + held <= options.memory {
        let other = as_data();
        if other.0.len() < body.len() {
            (body, report) = other;
        }
    }
    let (mut streams, mut reading) = (report.streams().to_vec(), report.reading());
    if let Some(full) =
        refs1::encode_full(new, body.len(), options.memory.saturating_sub(body.len() as u64), options.apply_memory)
    {
        (body, streams, reading) = (full, Vec::new(), Reading::Full);
    }
    tell(Stage::Checking, 0);
    let limits = ApplyLimits::exactly(total).memory(options.apply_memory);
    let whole = |body: Vec<u8>| [&header.to_bytes()[..], &body].concat();
    let check = |bytes: &[u8]| apply(codec, &mut Cursor::new(old), bytes, &mut io::sink(), &limits);
    let mut bytes = whole(body);
    let mut checked = check(&bytes);
    if checked.is_err() && reading == Reading::Programs {
        // Damaged headers can describe a program that is put together otherwise than it was taken apart. As plain data
        // the same files cost more bytes, and are right.
        let (body, report) = as_data();
        (streams, reading) = (report.streams().to_vec(), report.reading());
        bytes = whole(body);
        checked = check(&bytes);
    }
    checked.map_err(|source| DiffError::SelfCheck { source })?;
    tell(Stage::Checking, total);
    Ok(Delta { codec, reading, bytes, streams })
}

/// Memory that making a delta may use unless the caller says otherwise: 4 GiB, a build machine's.
const DEFAULT_MEMORY: u64 = 4 << 30;
/// A delta of more than this part of the new file is poor enough to try another way.
const POOR: usize = 4;
/// Bytes below which a body is mostly its plan.
const TINY: usize = 2048;
