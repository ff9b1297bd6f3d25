//! The body of a delta: goes through the new file in decoding order and codes what the plan, the matches and the old file do not tell.
//!
//! Written once for both directions: the encoder knows the new file's normalised bytes and hands them in, the decoder makes them.

mod insert;
mod target;

use super::coder::{Coder, Stream};
use super::control::{Match, Order};
use super::map::{AddressMap, Learned};
use super::model::{Model, Numbers, UNKNOWN, hash};
use super::recall::Recall;
#[cfg(feature = "encode")]
use super::refs::Kind;
use super::refs::{Reference, References};
use super::region::Layout;
use super::scan::Relative;
use super::source::Source;
use std::io;

/// Everything that both directions know before the body.
pub(crate) struct Known<'a> {
    pub(crate) old_layout: &'a Layout,
    pub(crate) new_layout: &'a Layout,
    pub(crate) references: &'a References,
    pub(crate) map: &'a AddressMap,
    pub(crate) order: &'a Order,
    pub(crate) matches: &'a [Match],
    pub(crate) new_length: u32,
}

/// What the encoder knows besides.
pub(crate) struct Truth<'a> {
    /// The new file, normalised.
    pub(crate) new: &'a [u8],
    /// Its relocated pointers.
    pub(crate) pointers: &'a [Relative],
    /// Whole targets of its split references (AArch64), by place.
    pub(crate) wholes: &'a [(u32, u32)],
    /// Places, among the bytes of matches, of those that differ, each with the next one's distance.
    pub(crate) gaps: std::slice::Iter<'a, u32>,
}

/// What stopped a walk.
pub(crate) enum Stop<E> {
    Old(io::Error),
    Sink(E),
}

/// Buffers of one piece of a match, kept from one to the next.
#[derive(Default)]
struct Room {
    theirs: Vec<u8>,
    ours: Vec<u8>,
    /// The encoder's bytes, references blank.
    wanted: Vec<u8>,
    inside: Vec<Reference>,
    /// References with their targets.
    fields: Vec<(Reference, u32)>,
}

/// The state of a walk.
pub(crate) struct Walk<'a, C> {
    pub(crate) coder: C,
    known: Known<'a>,
    truth: Option<Truth<'a>>,
    learned: Learned,
    /// Whether a reference was predicted, by its class, how sure that is, and how the last ones went.
    hits: Vec<u32>,
    /// Whether a place holds a pointer: was one in the old file, or is new.
    pointer: [u32; 2],
    /// Whether a target is a second guess.
    second: [u32; 3 * 16],
    misses: Numbers<MISS_LINES>,
    fresh: Model<FRESH_LINES>,
    differences: Model<DIFFERENCE_LINES>,
    gaps: Numbers<GAP_LINES>,
    /// The model of inserted bytes, where the file is plain data.
    recall: Option<Recall>,
    literals: Model<LITERAL_LINES>,
    /// Whether the last references were predicted, newest in the lowest bit.
    history: u32,
    last_shift: [u32; 2],
    last_difference: u32,
    last_gap: u32,
    /// Bytes of matches until the next one that differs.
    until: u32,
    room: Room,
    /// A buffer of inserted bytes, kept likewise.
    inserted: Vec<u8>,
    /// The relocated pointers of the new file, as they come.
    pub(crate) pointers: Vec<Relative>,
}

impl<'a, C: Coder> Walk<'a, C> {
    pub(crate) fn new(coder: C, known: Known<'a>, truth: Option<Truth<'a>>, recall: Option<Recall>) -> Self {
        Self {
            coder,
            known,
            truth,
            learned: Learned::new(),
            hits: vec![UNKNOWN; 1 << HIT_BITS],
            pointer: [UNKNOWN; 2],
            second: [UNKNOWN; 48],
            misses: Numbers::new(16),
            fresh: Model::new(4),
            differences: Model::new(1),
            gaps: Numbers::new(1),
            recall,
            literals: Model::new(64),
            history: 0,
            last_shift: [0; 2],
            last_difference: 0,
            last_gap: 0,
            until: 0,
            room: Room::default(),
            inserted: Vec::new(),
            pointers: Vec::new(),
        }
    }

    /// Returns the memory of the models, in bytes.
    pub(crate) const fn model_memory() -> u64 {
        (4 << HIT_BITS)
            + Numbers::<MISS_LINES>::memory(16)
            + Model::<FRESH_LINES>::memory(4)
            + Model::<DIFFERENCE_LINES>::memory(1)
            + Numbers::<GAP_LINES>::memory(1)
            + Model::<LITERAL_LINES>::memory(64)
    }

    /// Returns the memory that grew with the input, in bytes.
    pub(crate) fn grown_memory(&self) -> u64 {
        self.recall.as_ref().map_or(0, Recall::grown_memory)
            + self.learned.memory()
            + self.pointers.capacity() as u64 * 8
    }

    /// Goes through the whole file. `sink` gets each piece with its place; the encoder's ignores it.
    pub(crate) fn run<E>(
        &mut self,
        old: &mut impl Source,
        mut sink: impl FnMut(&mut Self, u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let mut at = 0;
        self.next_gap();
        let matches = self.known.matches;
        let end = Match { at: self.known.new_length, new: 0, old: 0, length: 0 };
        let mut behind = 0;
        for found in matches.iter().chain([&end]) {
            if let Some(recall) = &mut self.recall {
                recall.align(behind as usize);
                behind = found.old + found.length;
            }
            while at < found.at {
                let (new, room) = self.known.order.place(at);
                let mut length = (found.at - at).min(room);
                if length > PIECE {
                    // Pieces end where no pointer is cut.
                    let end = new + PIECE;
                    length = PIECE - self.known.new_layout.at(end).map_or(0, |placed| placed.address(end) % 8);
                }
                self.insert(new, length, &mut sink)?;
                at += length;
            }
            self.copy(*found, old, &mut sink)?;
            at += found.length;
        }
        Ok(())
    }

    fn copy<E>(
        &mut self,
        found: Match,
        old: &mut impl Source,
        sink: &mut impl FnMut(&mut Self, u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let Room { mut theirs, mut ours, mut wanted, mut inside, mut fields } = std::mem::take(&mut self.room);
        theirs.resize(PIECE as usize, 0);
        ours.resize(PIECE as usize, 0);
        let mut done = 0;
        while done < found.length {
            let (from, to) = (found.old + done, found.new + done);
            let mut length = (found.length - done).min(PIECE);
            inside.clear();
            let end = (found.old + found.length).min(from + length + 8);
            self.known.references.within(from, end, |reference| {
                if reference.offset < from + length {
                    inside.push(reference);
                }
            });
            // A field is never cut: the piece ends in front of it.
            if let Some(last) = inside.last()
                && last.offset + last.kind.width() > from + length
            {
                length = last.offset - from;
                inside.pop();
            }
            let theirs = &mut theirs[..length as usize];
            old.read(from, theirs).map_err(Stop::Old)?;
            let ours = &mut ours[..length as usize];
            ours.copy_from_slice(theirs);
            if let Some(truth) = &self.truth {
                wanted.clear();
                wanted.extend(&truth.new[to as usize..to as usize + ours.len()]);
            }
            fields.clear();
            let (old_placed, new_placed) = (self.known.old_layout.at(from), self.known.new_layout.at(to));
            // What was learned lies far apart in memory: asked for at once it comes together.
            let mut standing = 0;
            for &reference in &inside {
                let place = (reference.offset - from) as usize;
                let placed = self.known.old_layout.near(old_placed, reference.offset);
                let target = placed.and_then(|placed| {
                    super::refs::target_in(placed, self.known.old_layout.base, reference, &theirs[place..])
                });
                if let Some(target) = target {
                    standing |= self.learned.glance(target);
                    fields.push((reference, target));
                }
            }
            std::hint::black_box(standing);
            fields.retain_mut(|(reference, target)| {
                let place = reference.offset - from;
                let Some(placed) = self.known.new_layout.near(new_placed, to + place) else { return false };
                let Some((new, aux)) = self.reference(*reference, *target, to + place, placed) else { return false };
                reference.kind.clear(&mut ours[place as usize..]);
                if !wanted.is_empty() {
                    reference.kind.clear(&mut wanted[place as usize..]);
                }
                (reference.aux, *target) = (aux, new);
                true
            });
            self.differ(theirs, ours, &wanted);
            for &(reference, target) in &fields {
                let place = reference.offset - from;
                if let Some(placed) = self.known.new_layout.near(new_placed, to + place) {
                    let base = self.known.new_layout.base;
                    reference.kind.put(&mut ours[place as usize..], target, reference.aux, to + place, placed, base);
                }
            }
            sink(self, to, ours).map_err(Stop::Sink)?;
            done += length;
        }
        self.room = Room { theirs, ours, wanted, inside, fields };
        Ok(())
    }

    /// Adds the differences to the bytes of a match. `ours` has its references blank.
    fn differ(&mut self, theirs: &[u8], ours: &mut [u8], wanted: &[u8]) {
        let mut at = 0;
        while (self.until as usize) < ours.len() - at {
            at += self.until as usize;
            let before = at.checked_sub(1).map_or(0, |before| u32::from(ours[before]));
            let contexts =
                [hash(40, u32::from(theirs[at]), before), hash(41, self.last_difference, self.last_gap.min(20))];
            self.coder.stream(Stream::Differences);
            let value = wanted.get(at).map_or(0, |wanted| wanted.wrapping_sub(ours[at]));
            let value = self.differences.byte(&mut self.coder, contexts, 0, u32::from(value));
            ours[at] = ours[at].wrapping_add(value as u8);
            self.last_difference = value;
            at += 1;
            self.next_gap();
        }
        self.until -= (ours.len() - at) as u32;
    }

    fn next_gap(&mut self) {
        let gap = self.truth.as_mut().map_or(0, |truth| truth.gaps.next().copied().unwrap_or(u32::MAX));
        let length = 32 - self.last_gap.leading_zeros();
        let context = hash(50, self.last_gap.min(40), length);
        self.coder.stream(Stream::Gaps);
        self.until = self.gaps.single(&mut self.coder, context, 0, gap);
        self.last_gap = self.until;
    }
}

/// Returns the distances between the bytes of matches that differ, for [`Truth::gaps`].
#[cfg(feature = "encode")]
pub(crate) fn gaps(known: &Known<'_>, old: &[u8], new: &[u8], pointers: &[Relative]) -> Vec<u32> {
    let mut gaps = Vec::new();
    let mut since = 0_u32;
    let mut masked = Vec::new();
    for found in known.matches {
        let (from, to) = (found.old as usize, found.new as usize);
        let length = found.length as usize;
        masked.clear();
        masked.extend(old[from..from + length].iter().zip(&new[to..to + length]).map(|(old, new)| new ^ old));
        known.references.within(found.old, found.old + found.length, |reference| {
            let place = reference.offset - found.old;
            let at = found.new + place;
            let plain = known.new_layout.at(at).is_none()
                || super::refs::target_of(known.old_layout, reference, &old[reference.offset as usize..]).is_none()
                || reference.kind == Kind::Pointer
                    && pointers.binary_search_by_key(&at, |pointer| pointer.offset).is_err();
            if !plain {
                reference.kind.clear(&mut masked[place as usize..]);
            }
        });
        for &byte in &masked {
            if byte != 0 {
                gaps.push(since);
                since = 0;
            } else {
                since += 1;
            }
        }
    }
    gaps
}

/// Bytes that are handled together: 16 KiB.
const PIECE: u32 = 16 << 10;
// Sizes of the models, as powers of two: counters of four bytes, then lines of 64 bytes.
const HIT_BITS: u32 = 16;
const MISS_LINES: usize = 1 << 11;
const FRESH_LINES: usize = 1 << 13;
const DIFFERENCE_LINES: usize = 1 << 13;
const GAP_LINES: usize = 1 << 11;
const LITERAL_LINES: usize = 1 << 15;
