//! Why a delta was not applied.

use crate::Codec;
use std::{fmt, io};

/// One of the two inputs of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The file that the delta starts from.
    Old,
    /// The delta itself.
    Patch,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "the old file",
            Self::Patch => "the delta",
        })
    }
}

/// Why a delta was refused. Whatever was written to the output by then must be thrown away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// An input could not be read.
    #[error("cannot read {side}")]
    Read {
        /// Which input.
        side: Side,
        /// What the reader answered.
        #[source]
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write the new file at byte {at}")]
    Write {
        /// Bytes written before.
        at: u64,
        /// What the writer answered.
        #[source]
        source: io::Error,
    },
    /// The input does not start as a delta does.
    #[error("not a delta: it starts with {got:02x?}")]
    NotADelta {
        /// The first bytes.
        got: [u8; 8],
    },
    /// The delta is of a codec that this build does not know.
    #[error("the delta's codec {id:?} is not known")]
    UnknownCodec {
        /// The identifier in the header.
        id: String,
    },
    /// The delta is of another codec than the caller was promised.
    #[error("the delta is of codec {got}, expected {expected}")]
    WrongCodec {
        /// What the caller asked for.
        expected: Codec,
        /// What the header says.
        got: Codec,
    },
    /// The old file has another length than the one that the delta was made from.
    #[error("the old file has {got} bytes, the delta was made from one of {expected}")]
    OldLength {
        /// Bytes, by the header.
        expected: u64,
        /// Bytes found.
        got: u64,
    },
    /// The old file is not the one that the delta was made from.
    #[error("the old file is not the one that the delta was made from")]
    OldDigest {
        /// SHA-256 by the header.
        expected: [u8; 32],
        /// SHA-256 found.
        got: [u8; 32],
    },
    /// The new file would have a length that the caller does not accept.
    #[error("the delta makes a file of {length} bytes, which the limit does not allow")]
    NewLength {
        /// Bytes, by the header.
        length: u64,
    },
    /// The delta needs more memory than the caller allows.
    #[error("applying the delta needs {needed} bytes of memory, the limit is {limit}")]
    Memory {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The delta ends too early.
    #[error("the delta ends before byte {at} of the new file is known")]
    Truncated {
        /// Bytes of the new file that were complete.
        at: u64,
    },
    /// The delta goes on behind its end.
    #[error("the delta has bytes behind its end")]
    TrailingData,
    /// Something inside the delta cannot be.
    #[error("the delta is damaged: {what} at byte {at} of the new file")]
    Corrupt {
        /// What cannot be.
        what: &'static str,
        /// Bytes of the new file that were complete.
        at: u64,
    },
    /// The delta reads outside the old file.
    #[error("the delta reads {length} bytes at {offset} of an old file of {old_length} bytes")]
    OldRange {
        /// Where it would read; negative before the start.
        offset: i64,
        /// How many bytes.
        length: u64,
        /// Bytes of the old file.
        old_length: u64,
    },
    /// The result is not the file that the delta promised.
    #[error("the new file is not the one that the delta promised")]
    NewDigest {
        /// SHA-256 by the header.
        expected: [u8; 32],
        /// SHA-256 of what was written.
        got: [u8; 32],
    },
}

impl ApplyError {
    /// Returns the next step for a person.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Read { side: Side::Old, .. } => {
                "check that the installed file can be read, or take the full download"
            }
            Self::Read { side: Side::Patch, .. } => "download the delta again, or take the full download",
            Self::Write { .. } => "check free space and permissions of the destination",
            Self::NotADelta { .. }
            | Self::Truncated { .. }
            | Self::TrailingData
            | Self::Corrupt { .. }
            | Self::OldRange { .. } => "download the delta again, or take the full download",
            Self::UnknownCodec { .. } | Self::WrongCodec { .. } => {
                "take the full download: this version does not read the delta"
            }
            Self::OldLength { .. } | Self::OldDigest { .. } => "take the full download: the installed file was changed",
            Self::NewLength { .. } => "take the full download, or raise the limit if the length is expected",
            Self::Memory { .. } => "raise the memory limit, or take the full download",
            Self::NewDigest { .. } => "take the full download, and report the delta to its publisher",
        }
    }
}
