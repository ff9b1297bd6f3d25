//! Inserted bytes: those that no match covers.

use super::super::coder::{Coder, Stream};
use super::super::model::{hash, simple};
use super::super::refs::Kind;
use super::super::region::{Placed, RegionKind};
use super::super::scan::Relative;
use super::super::x86;
use super::{Stop, Walk};

impl<C: Coder> Walk<'_, C> {
    /// Codes inserted bytes.
    pub(super) fn insert<E>(
        &mut self,
        place: u32,
        length: u32,
        sink: &mut impl FnMut(&mut Self, u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let mut bytes = std::mem::take(&mut self.inserted);
        bytes.clear();
        bytes.resize(length as usize, 0);
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
        let result = sink(self, place, &mut bytes).map_err(Stop::Sink);
        self.inserted = bytes;
        result
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
            let contexts = [hash(70 + index, known, class), hash(90 + index, known, before << 1 | class)];
            known = known << 8 | self.fresh.byte(&mut self.coder, contexts, index as usize, u32::from(byte));
        }
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
        let before = at.checked_sub(1).map_or(0, |at| u32::from(bytes[at]));
        let contexts = [hash(100, class, structure), hash(101, before, class)];
        self.coder.stream(if class < 32 { Stream::Data } else { Stream::Code });
        let value = self.truth.as_ref().map_or(0, |truth| truth.new[place as usize + at]);
        bytes[at] = self.literals.byte(&mut self.coder, contexts, class as usize, u32::from(value)) as u8;
    }
}
