//! References in AArch64 code.

use super::super::refs::{Kind, Part, Reference};
use super::super::region::{Layout, Placed};
use super::super::source::Source;
use super::WINDOW;
use std::collections::VecDeque;
use std::io;

/// Finds the references of one region of code.
pub(super) fn code(
    source: &mut impl Source,
    layout: &Layout,
    placed: &Placed,
    instruction: &mut impl FnMut(u32),
) -> io::Result<Part> {
    let mut part = Part::new(placed.span.offset);
    // Where each register got its page: place, page, and number of the reference.
    let mut pages = [(0_u32, 0_u32, 0_usize); 32];
    let mut pending: VecDeque<Reference> = VecDeque::new();
    let mut first = 0_usize;
    let mut window = vec![0; WINDOW];
    let (mut offset, end) = (placed.span.offset, placed.span.offset + placed.span.length / 4 * 4);
    while offset < end {
        let length = ((end - offset) as usize).min(WINDOW);
        source.read(offset, &mut window[..length])?;
        for (index, field) in window[..length].chunks_exact(4).enumerate() {
            let at = offset + index as u32 * 4;
            instruction(at);
            while let Some(reference) = pending.front().filter(|reference| reference.offset + PAIR < at) {
                part.push(*reference);
                pending.pop_front();
                first += 1;
            }
            let word = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
            if word & 0x7c00_0000 == 0x1400_0000 {
                let target = Kind::Branch26.target(field, 0, at, placed, 0).unwrap_or(0);
                if layout.holds(target) {
                    pending.push_back(Reference { offset: at, kind: Kind::Branch26, aux: 0 });
                }
            } else if word & 0x9f00_0000 == 0x9000_0000 {
                let page = Kind::Page21.target(field, 0, at, placed, 0).unwrap_or(0);
                let register = (word & 31) as usize;
                pages[register] = (0, 0, 0);
                if layout.holds(page) || layout.holds(page | 0xfff) {
                    pages[register] = (at, page, first + pending.len());
                    pending.push_back(Reference { offset: at, kind: Kind::Page21, aux: page });
                }
            } else if let Some(shift) = low12(word) {
                let register = (word >> 5 & 31) as usize;
                let (from, page, number) = pages[register];
                if from != 0 && at - from <= PAIR {
                    let kind = Kind::Low12(shift);
                    let target = page | kind.target(field, 0, at, placed, 0).unwrap_or(0);
                    pending.push_back(Reference { offset: at, kind, aux: target });
                    if let Some(reference) = number.checked_sub(first).and_then(|index| pending.get_mut(index))
                        && reference.aux & 0xfff == 0
                    {
                        reference.aux = target;
                    }
                    if shift == 0 && word & 31 == register as u32 {
                        pages[register] = (0, 0, 0);
                    }
                }
            }
        }
        offset += length as u32;
    }
    pending.into_iter().for_each(|reference| part.push(reference));
    Ok(part)
}

/// Returns by how much the 12-bit offset of an AArch64 `add`, load or store is scaled, or `None` for other instructions.
const fn low12(word: u32) -> Option<u8> {
    if word & 0xffc0_0000 == 0x9100_0000 {
        return Some(0);
    }
    if word & 0x3b00_0000 == 0x3900_0000 {
        let size = (word >> 30) as u8;
        let vector = word >> 26 & 1 == 1;
        return Some(if vector && size == 0 && word >> 22 & 3 >= 2 { 4 } else { size });
    }
    None
}

/// Bytes between an `adrp` and the instructions that complete it, at most.
const PAIR: u32 = 64;
