//! What a delta says of itself, without the files it belongs to.

use crate::{ApplyError, Codec, Header, Reading, opened1, refs1};
use sha2::{Digest as _, Sha256};

/// What a delta is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The header.
    pub header: Header,
    /// What the files were taken for; `None` for a codec that makes no difference.
    pub reading: Option<Reading>,
    /// How many ranges of the new file are like ranges of the old one.
    pub matches: u64,
    /// How many bytes of the new file these cover.
    pub matched: u64,
    /// The regions that are told apart.
    pub regions: Vec<RegionSummary>,
    /// Offset and length in the new file of every match.
    pub(crate) spans: Vec<(u64, u64)>,
    /// What the delta's bytes are for; only [`inspect_with`] tells.
    pub costs: Option<Costs>,
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

/// What the bytes of a delta are for. Each figure is what its symbols take, rounded down: the sum is a little less than the delta's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The streams by name, each with its bytes.
    pub streams: Vec<(&'static str, u64)>,
    /// What each region of [`Inspection::regions`] takes, its matches aside. A piece of up to 16 KiB counts where it begins.
    pub regions: Vec<Cost>,
    /// What everything else takes.
    pub elsewhere: Cost,
}

impl Costs {
    /// Adds those of a further part of the new file.
    pub(crate) fn add(&mut self, part: Self) {
        self.streams.iter_mut().zip(part.streams).for_each(|(all, more)| all.1 += more.1);
        self.regions.extend(part.regions);
        self.elsewhere.bytes += part.elsewhere.bytes;
        self.elsewhere.hits += part.elsewhere.hits;
        self.elsewhere.misses += part.elsewhere.misses;
    }
}

/// What a part of the new file takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of the delta.
    pub bytes: u64,
    /// References in matches that point where they were predicted to.
    pub hits: u64,
    /// References in matches that do not.
    pub misses: u64,
}

/// Reads what a delta says of itself.
/// # Errors
/// An [`ApplyError`] if the header, the plan or the matches cannot be read.
pub fn inspect(patch: &[u8]) -> Result<Inspection, ApplyError> {
    read(None, patch)
}

/// Reads what a delta says of itself, and measures what its bytes are for: the old file is what they are read with.
///
/// A delta between opened files is measured no further than by [`inspect`].
/// # Errors
/// An [`ApplyError`] if `old` is not the file that the delta starts from, or the delta cannot be read.
pub fn inspect_with(old: &[u8], patch: &[u8]) -> Result<Inspection, ApplyError> {
    let header = Header::read(&mut &*patch)?;
    let (got, expected) = (old.len() as u64, header.old_length);
    if got != expected {
        return Err(ApplyError::OldLength { expected, got });
    }
    let (got, expected) = (Sha256::digest(old).into(), header.old_sha256);
    if got != expected {
        return Err(ApplyError::OldDigest { expected, got });
    }
    read(Some(old), patch)
}

fn read(old: Option<&[u8]>, patch: &[u8]) -> Result<Inspection, ApplyError> {
    let mut rest = patch;
    let header = Header::read(&mut rest)?;
    let mut inspection = Inspection {
        header,
        reading: None,
        matches: 0,
        matched: 0,
        regions: Vec::new(),
        spans: Vec::new(),
        costs: None,
        opened: None,
    };
    match header.codec {
        Codec::Refs1 => refs1::inspect(old, rest, &mut inspection)?,
        Codec::Opened1 => {
            let inner = read(None, opened1::inner(rest, header.old_length)?)?;
            inspection.opened = Some(Box::new(inner));
        }
    }
    Ok(inspection)
}
