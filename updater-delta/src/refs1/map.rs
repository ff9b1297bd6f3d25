//! Where the addresses of the old file went: what the matches say, and what was seen since.

use super::control::Match;
use super::region::{Layout, Plan};
use std::collections::BinaryHeap;

/// A map from old to new addresses, drawn from the matches. Where they overlap the longer match counts.
#[derive(Debug, Default)]
pub(crate) struct AddressMap {
    pieces: Vec<Piece>,
    /// How many pieces begin below each multiple of 2^`shift`.
    index: Vec<u32>,
    shift: u32,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    length: u32,
    /// New address less old address.
    shift: u32,
}

impl AddressMap {
    pub(crate) fn new(matches: &[Match], plan: &Plan, old: &Layout, new: &Layout) -> Self {
        let mut pieces: Vec<Piece> = Vec::with_capacity(matches.len() + 64);
        for found in matches {
            let (mut at, end) = (found.old, found.old + found.length);
            // Only a forged plan has so many borders that this ends early; both sides end at the same place.
            while at < end && pieces.len() < 2 * matches.len() + MIN_PIECES {
                let target = found.new + (at - found.old);
                match (old.at(at), new.at(target)) {
                    (Some(from), Some(to)) => {
                        let length = (end - at).min(from.span.end() - at).min(to.span.end() - target);
                        let start = from.address(at);
                        if start.checked_add(length).is_some() {
                            pieces.push(Piece { start, length, shift: to.address(target).wrapping_sub(start) });
                        }
                        at += length;
                    }
                    (None, _) => at = old.next(at).map_or(end, |next| next.min(end)),
                    (_, None) => at = new.next(target).map_or(end, |next| at.saturating_add(next - target).min(end)),
                }
            }
        }
        for region in &plan.regions {
            let (from, to) = (region.old, region.new);
            if from.length == 0 && from.extent > 0 && from.address.checked_add(from.extent).is_some() {
                pieces.push(Piece {
                    start: from.address,
                    length: from.extent,
                    shift: to.address.wrapping_sub(from.address),
                });
            }
        }
        let pieces = flatten(pieces);
        // About one entry for each piece, so that few are left to look at.
        let highest = pieces.last().map_or(0, |piece| piece.start);
        let mut shift = 0;
        while highest >> shift > pieces.len() as u32 {
            shift += 1;
        }
        let mut index = Vec::with_capacity((highest >> shift) as usize + 2);
        for (count, piece) in pieces.iter().enumerate() {
            index.resize(index.len().max((piece.start >> shift) as usize + 1), count as u32);
        }
        index.push(pieces.len() as u32);
        Self { pieces, index, shift }
    }

    /// Returns where an address probably went, and whether a match covers it.
    #[inline]
    pub(crate) fn find(&self, address: u32) -> (u32, bool) {
        let bucket = ((address >> self.shift) as usize).min(self.index.len().saturating_sub(1));
        let entry = |at: usize| self.index.get(at).map_or(self.pieces.len(), |&count| count as usize);
        let (low, high) = (entry(bucket), entry(bucket + 1));
        let index = low + self.pieces[low..high].partition_point(|piece| piece.start <= address);
        if let Some(piece) = index.checked_sub(1).map(|index| self.pieces[index]) {
            if address - piece.start < piece.length {
                return (address.wrapping_add(piece.shift), true);
            }
            let behind = address - (piece.start + piece.length);
            // What lies between two matches belongs to the nearer one.
            if let Some(next) = self.pieces.get(index)
                && next.start - address <= behind
            {
                return (address.wrapping_add(next.shift), false);
            }
            return (address.wrapping_add(piece.shift), false);
        }
        (address.wrapping_add(self.pieces.first().map_or(0, |piece| piece.shift)), false)
    }

    /// Returns the memory held, in bytes.
    pub(crate) const fn memory(matches: usize) -> u64 {
        (matches as u64 + 8) * 2 * size_of::<Piece>() as u64 * 2
    }
}

/// Pieces that there may be besides two per match.
const MIN_PIECES: usize = 4096;

/// Cuts overlapping pieces so that the longest remains everywhere.
fn flatten(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_unstable_by_key(|piece| (piece.start, piece.length, piece.shift));
    let mut flat: Vec<Piece> = Vec::with_capacity(pieces.len());
    // Longest first, then the one that begins later; (length, start, shift).
    let mut active: BinaryHeap<(u32, u32, u32)> = BinaryHeap::new();
    let (mut next, mut at) = (0, 0);
    loop {
        while active.peek().is_some_and(|&(length, start, _)| start + length <= at) {
            active.pop();
        }
        while let Some(piece) = pieces.get(next).filter(|piece| piece.start <= at) {
            active.push((piece.length, piece.start, piece.shift));
            next += 1;
        }
        let upcoming = pieces.get(next).map(|piece| piece.start);
        match (active.peek(), upcoming) {
            (Some(&(length, start, shift)), upcoming) => {
                let end = upcoming.unwrap_or(u32::MAX).min(start + length);
                if end > at {
                    match flat.last_mut().filter(|last| last.shift == shift && last.start + last.length == at) {
                        Some(last) => last.length += end - at,
                        None => flat.push(Piece { start: at, length: end - at, shift }),
                    }
                    at = end;
                }
            }
            (None, Some(upcoming)) => at = upcoming,
            (None, None) => return flat,
        }
    }
}

/// What became of the targets of references that were decoded already.
///
/// Open addressing with eight bytes per target: the old target is scrambled reversibly, its high bits are where the search begins,
/// so that only the others and the distance from there need to be kept.
#[derive(Debug)]
pub(crate) struct Learned {
    /// (low bits of the scrambled target, distance, standing; new target).
    slots: Vec<(u32, u32)>,
    bits: u32,
    count: usize,
}

impl Learned {
    pub(crate) fn new() -> Self {
        Self { slots: vec![(0, 0); 1 << FIRST_BITS], bits: FIRST_BITS, count: 0 }
    }

    /// Returns the new target and its standing, from 1; 0 if nothing is known.
    #[inline]
    pub(crate) fn get(&self, old: u32) -> (u32, u32) {
        let (slot, tag) = self.find(scramble(old));
        let (known, new) = self.slots[slot];
        // The place may have been taken by another target.
        if known & !STANDING == tag { (new, known & STANDING) } else { (0, 0) }
    }

    /// Looks at where a target is searched first, so that its memory is near when it is.
    #[inline]
    pub(crate) fn glance(&self, old: u32) -> u32 {
        self.slots[(scramble(old) >> (32 - self.bits)) as usize].0
    }

    /// Notes what became of a target; `standing` is from 1 to 31.
    pub(crate) fn put(&mut self, old: u32, new: u32, standing: u32) {
        let (slot, tag) = self.find(scramble(old));
        self.count += usize::from(self.slots[slot].0 == 0);
        self.slots[slot] = (tag | standing, new);
        if self.count * 4 > self.slots.len() * 3 {
            self.grow();
        }
    }

    /// Returns the memory held, in bytes; while it grows it is half as much again.
    pub(crate) const fn memory(&self) -> u64 {
        self.slots.len() as u64 * 12
    }

    #[cold]
    fn grow(&mut self) {
        let (old, bits) = (std::mem::take(&mut self.slots), self.bits);
        self.bits += 1;
        self.slots = vec![(0, 0); 1 << self.bits];
        self.count = 0;
        for (at, (known, new)) in old.into_iter().enumerate() {
            if known != 0 {
                let home = (at as u32).wrapping_sub(known >> DISTANCE) & ((1 << bits) - 1);
                let (slot, tag) = self.find(home << (32 - bits) | known >> 5 & ((1 << (32 - bits)) - 1));
                self.count += usize::from(self.slots[slot].0 == 0);
                self.slots[slot] = (tag | known & STANDING, new);
            }
        }
    }

    /// Returns where a target is or belongs, and what marks it there. If all near places are taken it takes its first.
    #[inline]
    fn find(&self, scrambled: u32) -> (usize, u32) {
        let mask = self.slots.len() - 1;
        let home = (scrambled >> (32 - self.bits)) as usize;
        let rest = (scrambled & ((1 << (32 - self.bits)) - 1)) << 5;
        for distance in 0..=MAX_DISTANCE {
            let tag = distance << DISTANCE | rest;
            let slot = (home + distance as usize) & mask;
            let known = self.slots[slot].0;
            if known == 0 || known & !STANDING == tag {
                return (slot, tag);
            }
        }
        (home & mask, rest)
    }
}

/// Scrambles an address so that its high bits are spread evenly; no two become the same.
const fn scramble(address: u32) -> u32 {
    address.wrapping_mul(0x9e37_79b1)
}

/// Slots at first, as a power of two: with these at least 20 bits of an address are kept beside its place.
const FIRST_BITS: u32 = 12;
/// The bits of a slot's first word that hold the standing.
const STANDING: u32 = 31;
/// Where the distance from the first place begins, in bits.
const DISTANCE: u32 = 25;
const MAX_DISTANCE: u32 = 127;

#[cfg(test)]
mod tests {
    use super::Learned;
    use std::collections::HashMap;

    #[test]
    fn what_was_learned_is_known() {
        let (mut learned, mut truth) = (Learned::new(), HashMap::new());
        let mut state = 3_u32;
        for round in 0..200_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let old = (state >> 12) * 4;
            let standing = 1 + round % 31;
            learned.put(old, round, standing);
            truth.insert(old, (round, standing));
        }
        assert!(truth.len() > 100_000);
        assert!(truth.iter().all(|(&old, &known)| learned.get(old) == known));
        assert!((0..1000).all(|odd| learned.get(odd * 4 + 1).1 == 0));
    }

    #[test]
    fn targets_that_crowd_one_place_are_forgotten_but_never_confused() {
        // The multiplier's inverse puts neighbours where they all want the same slot.
        let inverse = (0..5).fold(1_u32, |x, _| x.wrapping_mul(2_u32.wrapping_sub(0x9e37_79b1_u32.wrapping_mul(x))));
        let mut learned = Learned::new();
        for low in 0..1000_u32 {
            learned.put(low.wrapping_mul(inverse), low, 1);
        }
        for low in 0..1000_u32 {
            let (new, standing) = learned.get(low.wrapping_mul(inverse));
            assert!(standing == 0 || new == low, "{low}");
        }
    }
}
