//! A body in parts: of files that are too long to be held whole, each range of the new one is made from a range of the old one.
//!
//! The first byte says which body it is. In parts, each begins with a head; its stream is what a whole body would be between the two
//! ranges, so that applying it takes no more memory than applying a delta between files of their lengths.

use crate::{ApplyError, Side};
use std::io::{self, Read, Seek, SeekFrom};

/// How a body is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// One stream.
    Whole,
    /// Parts until the new file is complete.
    Parts,
    /// The new file, packed.
    Full,
}

impl Body {
    /// Reads the first byte.
    pub(super) fn read(patch: &mut dyn Read) -> Result<Self, ApplyError> {
        match fill::<1>(patch, 0)? {
            [WHOLE] => Ok(Self::Whole),
            [PARTS] => Ok(Self::Parts),
            [FULL] => Ok(Self::Full),
            _ => Err(ApplyError::Corrupt { what: "a body of no known kind", at: 0 }),
        }
    }
}

/// What precedes the stream of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the stream.
    pub(super) bytes: u64,
    /// The range of the old file.
    pub(super) old_offset: u64,
    pub(super) old_length: u32,
    /// Bytes of the new file.
    pub(super) new_length: u32,
}

impl Head {
    /// Reads a head. `missing` bytes of the new file are still to come.
    pub(super) fn read(patch: &mut dyn Read, old_length: u64, missing: u64, at: u64) -> Result<Self, ApplyError> {
        let fields = fill::<24>(patch, at)?;
        let long = |start: usize| u64::from_le_bytes(std::array::from_fn(|index| fields[start + index]));
        let short = |start: usize| u32::from_le_bytes(std::array::from_fn(|index| fields[start + index]));
        let head = Self { bytes: long(0), old_offset: long(8), old_length: short(16), new_length: short(20) };
        let end = head.old_offset.checked_add(u64::from(head.old_length));
        if end.is_none_or(|end| end > old_length) || head.old_length > super::MAX_LENGTH {
            return Err(ApplyError::Corrupt { what: "a part from outside the old file", at });
        }
        let new_length = u64::from(head.new_length);
        // Every part goes through its range of the old file, so there must not be many of them.
        if new_length > missing || head.new_length > super::MAX_LENGTH || new_length < missing.min(MIN_PART) {
            return Err(ApplyError::Corrupt { what: "a part of an impossible length", at });
        }
        Ok(head)
    }

    /// Returns the head's bytes.
    #[cfg(feature = "encode")]
    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.old_offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.old_length.to_le_bytes());
        bytes[20..].copy_from_slice(&self.new_length.to_le_bytes());
        bytes
    }
}

/// Reads some bytes of the delta.
fn fill<const N: usize>(patch: &mut dyn Read, at: u64) -> Result<[u8; N], ApplyError> {
    let mut bytes = [0; N];
    patch.read_exact(&mut bytes).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => ApplyError::Truncated { at },
        _ => ApplyError::Read { side: Side::Patch, source },
    })?;
    Ok(bytes)
}

/// A file that is read from some place on as if it began there.
pub(super) struct Within<'a, R> {
    pub(super) inner: &'a mut R,
    pub(super) start: u64,
}

impl<R: Read> Read for Within<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: Seek> Seek for Within<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => SeekFrom::Start(self.start.saturating_add(at)),
            other => other,
        };
        self.inner.seek(to).map(|at| at.saturating_sub(self.start))
    }
}

/// The first byte of a body that is one stream.
pub(super) const WHOLE: u8 = 0;
/// The first byte of a body in parts.
pub(super) const PARTS: u8 = 1;
/// The first byte of a body that is one xz stream of the new file.
pub(super) const FULL: u8 = 2;
/// The least bytes of the new file in a part that is not the last: 1 MiB.
pub(super) const MIN_PART: u64 = 1 << 20;
