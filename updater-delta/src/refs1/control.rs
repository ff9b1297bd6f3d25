//! The matches of a delta: which bytes of the new file are like which of the old.

use super::coder::{Coder, Stream};
use super::model::{Numbers, hash};

/// Bytes of the new file that are like bytes of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Place in decoding order.
    pub(crate) at: u32,
    /// Place in the new file.
    pub(crate) new: u32,
    /// Place in the old file.
    pub(crate) old: u32,
    pub(crate) length: u32,
}

/// The order in which the new file is decoded: regions that others are made from first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    /// (place in decoding order, place in the new file, length).
    pub(crate) segments: Vec<(u32, u32, u32)>,
    /// How many of the segments are decoded ahead of their place.
    pub(crate) early: usize,
}

impl Order {
    pub(crate) fn new(plan: &super::region::Plan, new_length: u32) -> Self {
        let early: Vec<(u32, u32)> = plan.early().iter().map(|span| (span.offset, span.length)).collect();
        let mut segments = Vec::new();
        let mut at = 0;
        for &(offset, length) in &early {
            segments.push((at, offset, length));
            at += length;
        }
        let mut offset = 0;
        for (start, length) in early.iter().copied().chain([(new_length, 0)]) {
            if start > offset {
                segments.push((at, offset, start - offset));
                at += start - offset;
            }
            offset = start + length;
        }
        Self { early: early.len(), segments }
    }

    /// Returns the place in the new file of a place in decoding order, and how many bytes follow without a break.
    pub(crate) fn place(&self, at: u32) -> (u32, u32) {
        let index = self.segments.partition_point(|segment| segment.0 <= at);
        index.checked_sub(1).map_or((0, 0), |index| {
            let (start, offset, length) = self.segments[index];
            (offset + (at - start), length - (at - start).min(length))
        })
    }

    /// Returns the place in decoding order of a place in the new file, and how many bytes follow without a break.
    #[cfg(feature = "encode")]
    pub(crate) fn rank(&self, new: u32) -> (u32, u32) {
        let inside = |segment: &&(u32, u32, u32)| new.wrapping_sub(segment.1) < segment.2;
        self.segments
            .iter()
            .find(inside)
            .map_or((0, 0), |&(start, offset, length)| (start + (new - offset), length - (new - offset)))
    }
}

/// Returns how many bytes of the new file no match covers.
pub(crate) fn inserted(matches: &[Match], new_length: u32) -> u32 {
    matches.iter().fold(new_length, |left, found| left.saturating_sub(found.length))
}

/// Codes the list of matches. When decoding, `given` is empty; `None` if what was read is impossible.
pub(crate) fn code(
    coder: &mut impl Coder,
    given: Option<&[Match]>,
    order: &Order,
    old_length: u32,
    new_length: u32,
    most: usize,
) -> Option<Vec<Match>> {
    coder.stream(Stream::Matches);
    let count = super::region::number(coder, given.map_or(0, |matches| matches.len() as u32)) as usize;
    if count > most || count > new_length as usize {
        return None;
    }
    let mut matches = Vec::new();
    let mut model = Numbers::<CONTROL_LINES>::new(4);
    let mut at = 0_u32;
    let mut recent = [0_u32; RECENT];
    let (mut last_choice, mut last_gap, mut last_length, mut last_jump) = (0, 0, 0, 0);
    for index in 0..count {
        let found = given.map(|matches| matches[index]);
        let gap = found.map_or(0, |found| found.at - at);
        let (recent_gap, recent_length) = (bits(last_gap), bits(last_length));
        let contexts = [hash(1, recent_gap, recent_length), hash(2, last_choice, recent_gap)];
        let gap = model.number(coder, contexts, 0, gap);
        at = at.checked_add(gap).filter(|&at| at < new_length)?;
        let (new, room) = order.place(at);
        // Which of the shifts (old place less new place) used last it is; beyond them, a new one.
        let shift = found.map_or(0, |found| found.old.wrapping_sub(found.new));
        let choice = recent.iter().position(|&known| known == shift).unwrap_or(RECENT);
        let contexts = [
            hash(4, last_choice, bits(gap).min(8)),
            hash(5, last_choice, u32::from(gap == 0) | bits(last_length) << 1),
        ];
        let choice = model.short(coder, contexts, 1, choice as u32) as usize;
        let old = if let Some(&shift) = recent.get(choice) {
            recent.copy_within(0..choice, 1);
            recent[0] = shift;
            new.wrapping_add(shift)
        } else {
            // Counted from where the last shift would lead.
            let expected = new.wrapping_add(recent[0]);
            let jump = found.map_or(0, |found| found.old.wrapping_sub(expected));
            let folded = jump << 1 ^ ((jump as i32) >> 31) as u32;
            let contexts = [hash(7, bits(gap), 0), hash(8, bits(last_jump), 0)];
            let folded = model.number(coder, contexts, 2, folded);
            last_jump = folded;
            let jump = folded >> 1 ^ (folded & 1).wrapping_neg();
            let old = expected.wrapping_add(jump);
            recent.copy_within(0..RECENT - 1, 1);
            recent[0] = old.wrapping_sub(new);
            old
        };
        let contexts = [hash(10, choice as u32, bits(gap)), hash(11, recent_length, choice as u32)];
        let length = model.number(coder, contexts, 3, found.map_or(0, |found| found.length));
        if length == 0 || length > room || old > old_length || length > old_length - old {
            return None;
        }
        matches.push(Match { at, new, old, length });
        at += length;
        (last_choice, last_gap, last_length) = (choice as u32, gap, length);
    }
    Some(matches)
}

const fn bits(value: u32) -> u32 {
    32 - value.leading_zeros()
}

/// Shifts that are remembered.
const RECENT: usize = 15;
/// Counters of the control model: 2^11 lines.
const CONTROL_LINES: usize = 1 << 11;
