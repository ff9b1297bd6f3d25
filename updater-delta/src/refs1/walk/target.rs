//! The references of matches: where each points in the new file.

use super::super::coder::{Coder, Stream};
use super::super::model::{hash, simple};
use super::super::refs::{Kind, Reference};
use super::super::region::Placed;
use super::super::scan::Relative;
use super::Walk;

impl<C: Coder> Walk<'_, C> {
    /// Codes the new target of one reference of the region `placed` and returns it with the new field's `aux`; `None` if the field is plain bytes here.
    pub(super) fn reference(
        &mut self,
        reference: Reference,
        old_target: u32,
        place: u32,
        placed: &Placed,
    ) -> Option<(u32, u32)> {
        // What these distances count from has moved itself.
        let aux = match reference.kind {
            Kind::Low24 | Kind::From32 => match self.learned.get(reference.aux) {
                (_, 0) => self.known.map.find(reference.aux).0,
                (learned, _) => learned,
            },
            _ => reference.aux,
        };
        let actual = self.truth.as_ref().map(|truth| {
            let base = self.known.new_layout.base;
            let field = &truth.new[place as usize..];
            let plain = reference.kind.target(field, aux, place, placed, base).unwrap_or(0);
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
        self.coder.reference(hit);
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
            let low = self.misses.number(&mut self.coder, [hash(35, u32::from(shift), 0); 2], 1, low) << shift;
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
            let contexts = [hash(34, class, standing.min(2)), hash(36, class, self.history & 7)];
            let folded = self.misses.number(&mut self.coder, contexts, 4 + class.min(11) as usize, folded);
            predicted.wrapping_add(folded >> 1 ^ (folded & 1).wrapping_neg())
        });
        let shift = target.wrapping_sub(mapped);
        if shift != self.last_shift[0] {
            self.last_shift = [shift, self.last_shift[0]];
        }
        self.learned.put(old, target, u32::from(target == mapped) << 4 | u32::from(covered) << 3 | 1);
        target
    }
}

/// How well a learned target can stand.
const MAX_STANDING: u32 = 4;
