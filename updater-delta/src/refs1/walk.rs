//! The body of a delta: goes through the new file in decoding order and codes what the plan, the matches and the old file do not tell.
//!
//! Written once for both directions: the encoder knows the new file's normalised bytes and hands them in, the decoder makes them.

use super::coder::{BitCoder, Stream};
use super::control::{Match, Order};
use super::map::{AddressMap, Learned};
use super::model::{Model, UNKNOWN, hash, simple};
use super::recall::Recall;
use super::refs::{Kind, Reference, References};
use super::region::{Layout, Placed, RegionKind};
use super::scan::Relative;
use super::source::Source;
use super::x86;
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
    misses: Model<3>,
    fresh: Model<3>,
    differences: Model<3>,
    gaps: Model<3>,
    /// The model of inserted bytes, where the file is plain data.
    recall: Option<Recall>,
    literals: Model<4>,
    /// Whether the last references were predicted, newest in the lowest bit.
    history: u32,
    last_shift: [u32; 2],
    last_fresh: u32,
    last_difference: [u32; 2],
    last_gap: u32,
    /// Bytes of matches until the next one that differs.
    until: u32,
    room: Room,
    /// The relocated pointers of the new file, as they come.
    pub(crate) pointers: Vec<Relative>,
}

impl<'a, C: BitCoder> Walk<'a, C> {
    pub(crate) fn new(coder: C, known: Known<'a>, truth: Option<Truth<'a>>, recall: Option<Recall>) -> Self {
        Self {
            coder,
            known,
            truth,
            learned: Learned::new(),
            hits: vec![UNKNOWN; 1 << HIT_BITS],
            pointer: [UNKNOWN; 2],
            second: [UNKNOWN; 48],
            misses: Model::new(MISS_BITS, 16, 6),
            fresh: Model::new(FRESH_BITS, 4, 6),
            differences: Model::new(DIFFERENCE_BITS, 12, 6),
            gaps: Model::new(GAP_BITS, 2, 6),
            recall,
            literals: Model::new(LITERAL_BITS, 64, 8),
            history: 0,
            last_shift: [0; 2],
            last_fresh: 0,
            last_difference: [0; 2],
            last_gap: 0,
            until: 0,
            room: Room::default(),
            pointers: Vec::new(),
        }
    }

    /// Returns the memory of the models, in bytes.
    pub(crate) const fn model_memory() -> u64 {
        (4 << HIT_BITS)
            + Model::<3>::memory(MISS_BITS)
            + Model::<3>::memory(FRESH_BITS)
            + Model::<3>::memory(DIFFERENCE_BITS)
            + Model::<3>::memory(GAP_BITS)
            + Model::<4>::memory(LITERAL_BITS)
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
        for found in matches.iter().chain([&end]) {
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
            for &reference in &inside {
                let place = reference.offset - from;
                let field = &theirs[place as usize..];
                if let Some((target, aux)) = self.reference(reference, field, to + place) {
                    reference.kind.clear(&mut ours[place as usize..]);
                    if !wanted.is_empty() {
                        reference.kind.clear(&mut wanted[place as usize..]);
                    }
                    fields.push((Reference { aux, ..reference }, target));
                }
            }
            self.differ(theirs, ours, &wanted);
            for &(reference, target) in &fields {
                let place = reference.offset - from;
                if let Some(placed) = self.known.new_layout.at(to + place) {
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

    /// Codes the new target of one reference and returns it with the new field's `aux`; `None` if the field is plain bytes here.
    fn reference(&mut self, reference: Reference, field: &[u8], place: u32) -> Option<(u32, u32)> {
        let placed = *self.known.new_layout.at(place)?;
        let old_target = super::refs::target_of(self.known.old_layout, reference, field)?;
        // Distances of compact unwind information count from a function that has moved itself.
        let aux = match reference.kind {
            Kind::Low24 => match self.learned.get(reference.aux) {
                (_, 0) => self.known.map.find(reference.aux).0,
                (learned, _) => learned,
            },
            _ => reference.aux,
        };
        let actual = self.truth.as_ref().map(|truth| {
            let base = self.known.new_layout.base;
            let field = &truth.new[place as usize..];
            let plain = reference.kind.target(field, aux, place, &placed, base).unwrap_or(0);
            let pointer = truth.pointers.binary_search_by_key(&place, |pointer| pointer.offset).is_ok();
            let whole =
                truth.wholes.binary_search_by_key(&place, |whole| whole.0).ok().map(|index| truth.wholes[index].1);
            (plain, pointer, whole.filter(|&whole| reference.kind.same(whole, plain)))
        });
        if reference.kind == Kind::Pointer {
            let still = simple(&mut self.coder, &mut self.pointer[0], actual.is_some_and(|actual| actual.1));
            if !still {
                return None;
            }
        }
        let target = self.target(reference.kind, old_target, actual.map(|actual| (actual.0, actual.2)));
        if reference.kind == Kind::Pointer {
            self.pointers.push(Relative { offset: place, target });
        }
        Some((target, aux))
    }

    fn target(&mut self, kind: Kind, old: u32, actual: Option<(u32, Option<u32>)>) -> u32 {
        self.coder.stream(Stream::Hits);
        let (learned, state) = self.learned.get(old);
        // A state is how often the target held, and what the map had to say: whether a match covers it, and whether it agreed.
        let mut standing = state & 7;
        let (predicted, sure) = if standing > 0 {
            (learned, state)
        } else {
            let (mapped, covered) = self.known.map.find(old);
            (mapped, u32::from(covered) << 3)
        };
        let class = kind.class();
        let hit = actual.is_some_and(|(plain, _)| kind.same(plain, predicted));
        let index = (class << 5 | sure) << 7 | self.history & 0x7f;
        let hit = simple(&mut self.coder, &mut self.hits[index as usize], hit);
        self.history = self.history << 1 | u32::from(!hit);
        if hit {
            // A split reference that was learned whole stays so.
            if standing < MAX_STANDING {
                let agrees = if standing == 0 { 1 << 4 } else { 0 };
                standing = (standing + 1).clamp(2, MAX_STANDING);
                self.learned.put(old, predicted, sure & !7 | agrees | standing);
            }
            return predicted;
        }
        self.coder.stream(Stream::Corrections);
        let (mapped, covered) = self.known.map.find(old);
        let agrees = sure >> 4 & 1;
        let second = class as usize * 3;
        let mut target = None;
        // The map again, where what was learned did not hold.
        if standing > 0 && agrees == 0 {
            let same = actual.is_some_and(|(plain, _)| kind.same(plain, mapped));
            if simple(&mut self.coder, &mut self.second[second], same) {
                target = Some(mapped);
            }
        }
        if let Kind::Low12(shift) = kind {
            let low = actual.map_or(0, |(plain, _)| (plain & 0xfff) >> shift);
            let low = self.misses.number(&mut self.coder, &[hash(35, u32::from(shift), 0); 3], 1, low) << shift;
            return predicted & !0xfff | low & 0xfff;
        }
        let target = target.unwrap_or_else(|| {
            let wanted = actual.map_or(0, |(plain, whole)| {
                whole.unwrap_or(if kind == Kind::Page21 { plain & !0xfff | predicted & 0xfff } else { plain })
            });
            for (index, &shift) in self.last_shift.iter().enumerate() {
                let guess = mapped.wrapping_add(shift);
                if shift != 0
                    && guess != predicted
                    && simple(&mut self.coder, &mut self.second[second + 1 + index], wanted == guess)
                {
                    return guess;
                }
            }
            let delta = wanted.wrapping_sub(predicted);
            let folded = delta << 1 ^ ((delta as i32) >> 31) as u32;
            let contexts = [hash(33, class, 0), hash(34, class, standing.min(2)), hash(36, class, self.history & 7)];
            let folded = self.misses.number(&mut self.coder, &contexts, 4 + class.min(11) as usize, folded);
            predicted.wrapping_add(folded >> 1 ^ (folded & 1).wrapping_neg())
        });
        let shift = target.wrapping_sub(mapped);
        if shift != self.last_shift[0] {
            self.last_shift = [shift, self.last_shift[0]];
        }
        self.learned.put(old, target, u32::from(target == mapped) << 4 | u32::from(covered) << 3 | 1);
        target
    }

    /// Adds the differences to the bytes of a match. `ours` has its references blank.
    fn differ(&mut self, theirs: &[u8], ours: &mut [u8], wanted: &[u8]) {
        let mut at = 0;
        while (self.until as usize) < ours.len() - at {
            at += self.until as usize;
            let before = at.checked_sub(1).map_or(0, |before| u32::from(ours[before]));
            let known = u32::from(theirs[at]);
            let contexts = [
                hash(40, known, before),
                hash(41, self.last_difference[0], self.last_gap.min(20)),
                hash(42, self.last_difference[0] | self.last_difference[1] << 8, known),
            ];
            self.coder.stream(Stream::Differences);
            let value = wanted.get(at).map_or(0, |wanted| wanted.wrapping_sub(ours[at]));
            let value = self.differences.byte(&mut self.coder, &contexts, 0, u32::from(value));
            ours[at] = ours[at].wrapping_add(value as u8);
            self.last_difference = [value, self.last_difference[0]];
            at += 1;
            self.next_gap();
        }
        self.until -= (ours.len() - at) as u32;
    }

    fn next_gap(&mut self) {
        let gap = self.truth.as_mut().map_or(0, |truth| truth.gaps.next().copied().unwrap_or(u32::MAX));
        let length = 32 - self.last_gap.leading_zeros();
        let contexts = [
            hash(50, length, 0),
            hash(51, self.last_gap.min(40), self.last_difference[0]),
            hash(52, self.last_gap.min(40), length),
        ];
        self.coder.stream(Stream::Gaps);
        self.until = self.gaps.number(&mut self.coder, &contexts, 0, gap);
        self.last_gap = self.until;
    }

    /// Codes inserted bytes.
    fn insert<E>(
        &mut self,
        place: u32,
        length: u32,
        sink: &mut impl FnMut(&mut Self, u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let mut bytes = vec![0; length as usize];
        let mut at = 0;
        while at < bytes.len() {
            let here = place + at as u32;
            let placed = self.known.new_layout.at(here).copied();
            let until = match &placed {
                Some(placed) => placed.span.end(),
                None => self.known.new_layout.next(here).unwrap_or(u32::MAX),
            };
            let end = at + ((until - here) as usize).min(bytes.len() - at);
            match placed {
                Some(placed) if placed.kind == RegionKind::X86 => self.insert_x86(&placed, place, &mut bytes, at, end),
                Some(placed) if placed.kind.has_pointers() => self.insert_pointers(&placed, place, &mut bytes, at, end),
                _ => {
                    let class = placed.map_or(0, |placed| placed.kind as u32 + 1);
                    let code = placed.is_some_and(|placed| placed.kind == RegionKind::Arm64);
                    for at in at..end {
                        // Instructions of AArch64 are words: each of their bytes is a kind of its own.
                        let word = (place + at as u32) & 3;
                        self.literal(&mut bytes, at, place, if code { 24 + word } else { class }, word);
                    }
                }
            }
            at = end;
        }
        sink(self, place, &mut bytes).map_err(Stop::Sink)
    }

    fn insert_x86(&mut self, placed: &Placed, place: u32, bytes: &mut [u8], from: usize, end: usize) {
        let mut start = from;
        let mut at = from;
        let mut shape = None;
        while at < end {
            if shape.is_none() {
                shape = x86::shape(&bytes[start..at]);
            }
            match shape {
                Some(x86::Shape { field, length, .. })
                    if field != 0 && at == start + usize::from(field) && at + 4 <= end =>
                {
                    let here = place + at as u32;
                    let kind = Kind::Rel32(length - field - 4);
                    let target = self
                        .truth
                        .as_ref()
                        .and_then(|truth| kind.target(&truth.new[here as usize..], 0, here, placed, 0));
                    let target = self.fresh(0, u32::from(bytes[at - 1]), target);
                    kind.put(&mut bytes[at..], target, 0, here, placed, 0);
                    at += 4;
                }
                Some(x86::Shape { length, .. }) if at >= start + usize::from(length) => {
                    start += usize::from(length);
                    shape = None;
                }
                _ => {
                    // Where in the instruction the byte is, and what the instruction is so far.
                    let inside = (at - start) as u32;
                    let known =
                        bytes[start..at].iter().fold(inside, |known, &byte| known << 8 ^ known >> 24 ^ u32::from(byte));
                    self.literal(bytes, at, place, 32 + inside.min(7), hash(60, known, inside));
                    at += 1;
                }
            }
        }
    }

    fn insert_pointers(&mut self, placed: &Placed, place: u32, bytes: &mut [u8], from: usize, end: usize) {
        let mut at = from;
        while at < end {
            let here = place + at as u32;
            if placed.address(here).is_multiple_of(8) && at + 8 <= end {
                let truth = self.truth.as_ref();
                let pointer = truth.and_then(|truth| {
                    truth
                        .pointers
                        .binary_search_by_key(&here, |pointer| pointer.offset)
                        .ok()
                        .map(|index| truth.pointers[index].target)
                });
                if simple(&mut self.coder, &mut self.pointer[1], pointer.is_some()) {
                    let target = self.fresh(1, 0, pointer);
                    Kind::Pointer.put(&mut bytes[at..], target, 0, here, placed, self.known.new_layout.base);
                    self.pointers.push(Relative { offset: here, target });
                    at += 8;
                    continue;
                }
            }
            let stop = (at + 8 - (placed.address(here) % 8) as usize).min(end);
            while at < stop {
                self.literal(bytes, at, place, placed.kind as u32 + 1, (place + at as u32) & 7);
                at += 1;
            }
        }
    }

    /// Codes a target that nothing points to yet.
    fn fresh(&mut self, class: u32, before: u32, target: Option<u32>) -> u32 {
        self.coder.stream(Stream::Fresh);
        let wanted = target.unwrap_or(0).to_be_bytes();
        let mut known = 0_u32;
        for (index, byte) in wanted.into_iter().enumerate() {
            let index = index as u32;
            let contexts = [
                hash(70 + index, known, class),
                hash(80 + index, known, self.last_fresh),
                hash(90 + index, known, before << 1 | class),
            ];
            known = known << 8 | self.fresh.byte(&mut self.coder, &contexts, index as usize, u32::from(byte));
        }
        self.last_fresh = known;
        known
    }

    #[inline]
    fn literal(&mut self, bytes: &mut [u8], at: usize, place: u32, class: u32, structure: u32) {
        if let Some(recall) = &mut self.recall {
            self.coder.stream(Stream::Data);
            let value = self.truth.as_ref().map_or(0, |truth| truth.new[place as usize + at]);
            bytes[at] = recall.byte(&mut self.coder, value);
            return;
        }
        let back = |distance: usize| at.checked_sub(distance).map_or(0, |at| u32::from(bytes[at]));
        let (one, two, three) = (back(1), back(2), back(3));
        let pair = one | two << 8;
        let contexts = [
            hash(100, class, structure),
            hash(101, one, class),
            hash(102, pair, class >> 5),
            hash(104, pair | three << 16, structure),
        ];
        self.coder.stream(if class < 32 { Stream::Data } else { Stream::Code });
        let value = self.truth.as_ref().map_or(0, |truth| truth.new[place as usize + at]);
        bytes[at] = self.literals.byte(&mut self.coder, &contexts, class as usize, u32::from(value)) as u8;
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
/// How well a learned target can stand.
const MAX_STANDING: u32 = 4;

// Sizes of the models, as powers of two: counters of four bytes, then lines of 64 bytes.
const HIT_BITS: u32 = 16;
const MISS_BITS: u32 = 11;
const FRESH_BITS: u32 = 13;
const DIFFERENCE_BITS: u32 = 13;
const GAP_BITS: u32 = 11;
const LITERAL_BITS: u32 = 15;
