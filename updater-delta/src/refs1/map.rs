//! Where the addresses of the old file went: what the matches say, and what was seen since.

use super::control::Match;
use super::region::{Layout, Plan};
use std::collections::BinaryHeap;

/// A map from old to new addresses, drawn from the matches. Where they overlap the longer match counts.
#[derive(Debug, Default)]
pub(crate) struct AddressMap {
    pieces: Vec<Piece>,
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
        Self { pieces: flatten(pieces) }
    }

    /// Returns where an address probably went, and whether a match covers it.
    #[inline]
    pub(crate) fn find(&self, address: u32) -> (u32, bool) {
        let index = self.pieces.partition_point(|piece| piece.start <= address);
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
#[derive(Debug)]
pub(crate) struct Learned {
    /// Open addressing: old target, new target, standing.
    slots: Vec<(u32, u32, u32)>,
    count: usize,
}

impl Learned {
    pub(crate) fn new() -> Self {
        Self { slots: vec![(0, 0, 0); 1 << 12], count: 0 }
    }

    /// Returns the new target and its standing, from 1; 0 if nothing is known.
    #[inline]
    pub(crate) fn get(&self, old: u32) -> (u32, u32) {
        let (_, new, standing) = self.slots[self.slot(old)];
        (new, standing)
    }

    pub(crate) fn put(&mut self, old: u32, new: u32, standing: u32) {
        let index = self.slot(old);
        if self.slots[index].2 == 0 {
            self.count += 1;
        }
        self.slots[index] = (old, new, standing);
        if self.count * 4 > self.slots.len() * 3 {
            let larger = vec![(0, 0, 0); self.slots.len() * 2];
            for entry in std::mem::replace(&mut self.slots, larger) {
                if entry.2 != 0 {
                    let index = self.slot(entry.0);
                    self.slots[index] = entry;
                }
            }
        }
    }

    /// Returns the memory held, in bytes.
    pub(crate) const fn memory(&self) -> u64 {
        self.slots.len() as u64 * 12
    }

    #[inline]
    fn slot(&self, old: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut index = (old.wrapping_mul(0x9e37_79b1) >> 7) as usize & mask;
        while self.slots[index].2 != 0 && self.slots[index].0 != old {
            index = (index + 1) & mask;
        }
        index
    }
}
