//! What a delta says of itself, without the files it belongs to.

use crate::{ApplyError, Codec, Header, refs1};

/// What a delta is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The header.
    pub header: Header,
    /// How many ranges of the new file are like ranges of the old one.
    pub matches: u64,
    /// How many bytes of the new file these cover.
    pub matched: u64,
    /// The regions that are told apart.
    pub regions: Vec<RegionSummary>,
}

/// A region of both files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionSummary {
    /// What the region holds.
    pub kind: String,
    /// Offset and length in the old file, in bytes.
    pub old: (u64, u64),
    /// Offset and length in the new file, in bytes.
    pub new: (u64, u64),
}

/// Reads what a delta says of itself.
/// # Errors
/// An [`ApplyError`] if the header, the plan or the matches cannot be read.
pub fn inspect(patch: &[u8]) -> Result<Inspection, ApplyError> {
    let mut rest = patch;
    let header = Header::read(&mut rest)?;
    let mut inspection = Inspection { header, matches: 0, matched: 0, regions: Vec::new() };
    if header.codec == Codec::Refs1 {
        refs1::inspect(rest, &mut inspection)?;
    }
    Ok(inspection)
}
