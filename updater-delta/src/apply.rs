//! Applies a delta of any codec: the checks that they share.

use crate::limits::CHUNK;
use crate::{ApplyError, ApplyLimits, Codec, Header, Side, opened1, refs1};
use sha2::{Digest as _, Sha256};
use std::io::{Read, Seek, SeekFrom, Write};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Length of the new file in bytes.
    pub new_length: u64,
    /// SHA-256 of the new file, as the delta promised and as it was written.
    pub new_sha256: [u8; 32],
}

/// Makes the new file from `old` and `patch` and writes it to `new`.
///
/// `old` is read whole once and its digest checked, then read in places; `patch` is read once; `new` is written in order and holds
/// nothing of use unless this returns `Ok`. `codec` is what the signed metadata promised.
///
/// ```
/// # #[cfg(feature = "encode")] {
/// use std::io::Cursor;
/// use updater_delta::{ApplyLimits, DiffOptions, apply, diff};
///
/// let (old, new) = (b"the quick brown fox".repeat(50), b"the quick red fox".repeat(50));
/// let delta = diff(&old, &new, &DiffOptions::default()).unwrap();
/// let mut made = Vec::new();
/// let limits = ApplyLimits::exactly(new.len() as u64);
/// apply(delta.codec(), &mut Cursor::new(&old), delta.bytes(), &mut made, &limits).unwrap();
/// assert_eq!(made, new);
/// // Another old file is refused before anything is written.
/// assert!(apply(delta.codec(), &mut Cursor::new(b"other"), delta.bytes(), &mut Vec::new(), &limits).is_err());
/// # }
/// ```
/// # Errors
/// Any [`ApplyError`]. No input makes this panic, write more than `limits.new_length`, or allocate more than `limits.memory`.
pub fn apply(
    codec: Codec,
    old: &mut (impl Read + Seek),
    mut patch: impl Read,
    new: &mut impl Write,
    limits: &ApplyLimits,
) -> Result<Applied, ApplyError> {
    let header = Header::read(&mut patch)?;
    if header.codec != codec {
        return Err(ApplyError::WrongCodec { expected: codec, got: header.codec });
    }
    if codec != Codec::Opened1 {
        return body(&header, old, &mut patch, new, limits);
    }
    accept(&header, old, limits)?;
    let mut output = Output::new(new, header.new_length);
    opened1::apply(old, &header, patch, &mut output, limits)?;
    output.finish(&header)
}

/// Applies the delta inside another one. It cannot hold a third.
pub(crate) fn apply_nested(
    old: &mut (impl Read + Seek),
    mut patch: impl Read,
    new: &mut impl Write,
    limits: &ApplyLimits,
) -> Result<Applied, ApplyError> {
    let header = Header::read(&mut patch)?;
    if header.codec == Codec::Opened1 {
        return Err(ApplyError::UnknownCodec { id: header.codec.id().to_owned() });
    }
    body(&header, old, &mut patch, new, limits)
}

/// Applies what follows the header of a delta that holds no other. Compiled once, whatever is read and written.
fn body(
    header: &Header,
    mut old: &mut dyn ReadSeek,
    patch: &mut dyn Read,
    mut new: &mut dyn Write,
    limits: &ApplyLimits,
) -> Result<Applied, ApplyError> {
    accept(header, old, limits)?;
    let mut output = Output::new(&mut new, header.new_length);
    refs1::apply(&mut old, header, patch, &mut output, limits)?;
    output.finish(header)
}

/// Refuses a new file of a length that is not wanted, and an old one that is not the right one.
fn accept(header: &Header, old: &mut dyn ReadSeek, limits: &ApplyLimits) -> Result<(), ApplyError> {
    if !limits.new_length.allows(header.new_length) {
        return Err(ApplyError::NewLength { length: header.new_length });
    }
    check_old(old, header)
}

/// What an old file must do.
trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Refuses an old file that is not the one the delta was made from.
fn check_old(old: &mut dyn ReadSeek, header: &Header) -> Result<(), ApplyError> {
    let read = |source| ApplyError::Read { side: Side::Old, source };
    let got = old.seek(SeekFrom::End(0)).map_err(read)?;
    if got != header.old_length {
        return Err(ApplyError::OldLength { expected: header.old_length, got });
    }
    old.seek(SeekFrom::Start(0)).map_err(read)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let length = match old.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read(error)),
        };
        total += length as u64;
        // The length was checked, so more means that the file is growing under us.
        if total > header.old_length {
            return Err(ApplyError::OldLength { expected: header.old_length, got: total });
        }
        hasher.update(&buffer[..length]);
    }
    let got: [u8; 32] = hasher.finalize().into();
    if total != header.old_length || got != header.old_sha256 {
        return Err(ApplyError::OldDigest { expected: header.old_sha256, got });
    }
    Ok(())
}

/// The new file while it is written: counted, bounded, hashed, and gathered into large writes.
pub(crate) struct Output<'a, W> {
    inner: &'a mut W,
    hasher: Sha256,
    buffer: Vec<u8>,
    written: u64,
    length: u64,
}

impl<'a, W: Write> Output<'a, W> {
    pub(crate) fn new(inner: &'a mut W, length: u64) -> Self {
        Self { inner, hasher: Sha256::new(), buffer: Vec::with_capacity(CHUNK), written: 0, length }
    }

    /// Returns how many bytes are written.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Returns how many bytes are still to come.
    pub(crate) const fn missing(&self) -> u64 {
        self.length - self.written
    }

    /// Writes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ApplyError> {
        let length = bytes.len() as u64;
        if length > self.missing() {
            return Err(ApplyError::Corrupt { what: "more bytes than the header announces", at: self.written });
        }
        if self.buffer.len() + bytes.len() > CHUNK {
            self.flush()?;
        }
        if bytes.len() > CHUNK {
            // Nothing is gathered now, so this goes out as it is.
            let at = self.written;
            self.inner.write_all(bytes).map_err(|source| ApplyError::Write { at, source })?;
            self.hasher.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.written += length;
        Ok(())
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self) -> Result<(), ApplyError> {
        let at = self.written - self.buffer.len() as u64;
        self.inner.write_all(&self.buffer).map_err(|source| ApplyError::Write { at, source })?;
        self.hasher.update(&self.buffer);
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, header: &Header) -> Result<Applied, ApplyError> {
        if self.missing() != 0 {
            return Err(ApplyError::Truncated { at: self.written });
        }
        self.flush()?;
        self.inner.flush().map_err(|source| ApplyError::Write { at: self.written, source })?;
        let got: [u8; 32] = self.hasher.finalize().into();
        if got != header.new_sha256 {
            return Err(ApplyError::NewDigest { expected: header.new_sha256, got });
        }
        Ok(Applied { new_length: self.written, new_sha256: got })
    }
}
