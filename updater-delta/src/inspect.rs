//! What a delta says of itself, without the files it belongs to.

use crate::{ApplyError, Codec, Header, opened1, refs1};

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
    /// Offset and length in the new file of every match.
    pub(crate) spans: Vec<(u64, u64)>,
    /// The delta inside, between the opened files, for a codec that opens them.
    pub opened: Option<Box<Self>>,
}

impl Inspection {
    /// Returns how many matches begin in a range of the new file, and how many of its bytes they cover.
    #[must_use]
    pub fn within(&self, (offset, length): (u64, u64)) -> (u64, u64) {
        let end = offset.saturating_add(length);
        let inside =
            self.spans.iter().map(|&(start, length)| (start.max(offset), start.saturating_add(length).min(end)));
        let covered = inside.map(|(from, to)| to.saturating_sub(from)).sum();
        let begin = self.spans.iter().filter(|(start, _)| (offset..end).contains(start)).count();
        (begin as u64, covered)
    }
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
    let mut inspection =
        Inspection { header, matches: 0, matched: 0, regions: Vec::new(), spans: Vec::new(), opened: None };
    match header.codec {
        Codec::Refs1 => refs1::inspect(rest, &mut inspection)?,
        Codec::Opened1 => {
            let inner = inspect(opened1::inner(rest, header.old_length)?)?;
            inspection.opened = Some(Box::new(inner));
        }
        Codec::Bsdiff1 => {}
    }
    Ok(inspection)
}
