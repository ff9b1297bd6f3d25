//! References in the data of a Mach-O: pointers, call frames and compact unwind information.

use super::super::refs::{Kind, Reference};
use super::super::region::{Layout, Placed, RegionKind};
use super::super::source::Source;
use super::{List, WINDOW};
use std::io;

/// Takes every aligned word for an address that could be one.
pub(super) fn words(
    source: &mut impl Source,
    layout: &Layout,
    placed: &Placed,
    visit: &mut impl FnMut(Reference),
) -> io::Result<()> {
    let span = placed.span;
    let kind = match placed.kind {
        RegionKind::Chained => Kind::Chain64,
        RegionKind::ChainedAddresses => Kind::ChainAddress64,
        _ => Kind::Abs64,
    };
    let mut window = vec![0; WINDOW];
    let first = span.offset + placed.address(span.offset).wrapping_neg() % 8;
    let (mut at, end) = (first.min(span.end()), span.end());
    while end - at >= 8 {
        let length = ((end - at) / 8 * 8).min(WINDOW as u32);
        source.read(at, &mut window[..length as usize])?;
        for field in window[..length as usize].chunks_exact(8) {
            let target = kind.target(field, 0, at, placed, layout.base);
            // What is bound by name, and small numbers, are no addresses.
            let is_one = |target: u32| target.wrapping_sub(placed.origin) > MIN_ADDRESS && layout.holds(target);
            if target.is_some_and(is_one) && field[7] < 0x80 {
                visit(Reference { offset: at, kind, aux: 0 });
            }
            at += 8;
        }
    }
    Ok(())
}

/// Finds the references of call frame information with 64-bit fields.
pub(super) fn frames64(source: &mut impl Source, placed: &Placed, visit: &mut impl FnMut(Reference)) -> io::Result<()> {
    let (mut at, end) = (placed.span.offset, placed.span.end());
    while end - at >= 33 {
        let mut head = [0; 33];
        source.read(at, &mut head)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if length < 4 || length > end - at - 4 {
            break;
        }
        if head[4..8] != [0; 4] && length >= 20 {
            visit(Reference { offset: at + 4, kind: Kind::Back32, aux: 0 });
            visit(Reference { offset: at + 8, kind: Kind::Self64, aux: 0 });
            if length >= 29 && head[24] == 8 && head[25..33] != [0; 8] {
                visit(Reference { offset: at + 25, kind: Kind::Self64, aux: 0 });
            }
        }
        at += 4 + length;
    }
    Ok(())
}

/// Finds the references of a symbol table.
pub(super) fn names(
    source: &mut impl Source,
    layout: &Layout,
    placed: &Placed,
    visit: &mut impl FnMut(Reference),
) -> io::Result<()> {
    for at in (placed.span.offset..placed.span.end().saturating_sub(15)).step_by(16) {
        let mut symbol = [0; 16];
        source.read(at, &mut symbol)?;
        if symbol[..4] != [0; 4] {
            visit(Reference { offset: at, kind: Kind::Offset32, aux: 0 });
        }
        let target = Kind::Abs64.target(&symbol[8..16], 0, at + 8, placed, layout.base);
        // What is defined elsewhere has no address.
        if symbol[4] & TYPE == DEFINED && target.is_some_and(|target| layout.holds(target)) {
            visit(Reference { offset: at + 8, kind: Kind::Abs64, aux: 0 });
        }
    }
    Ok(())
}

/// Finds the references of compact unwind information.
pub(super) fn unwind(source: &mut impl Source, placed: &Placed, found: &mut List) -> io::Result<()> {
    let span = placed.span;
    let mut word = |at: u32| -> io::Result<u32> {
        let mut field = [0; 4];
        if at.checked_add(4).is_some_and(|end| end <= span.length) {
            source.read(span.offset + at, &mut field)?;
        }
        Ok(u32::from_le_bytes(field))
    };
    // Returns whether there may be more.
    let mut note = |at: u32, kind, aux| {
        if at.checked_add(4).is_some_and(|end| end <= span.length) {
            found.push(Reference { offset: span.offset + at, kind, aux });
        }
        found.step()
    };
    let (index, count) = (word(20)?, word(24)?);
    let (mut pads, mut pads_end) = (0, 0);
    for entry in 0..count.min(span.length / 12) {
        let at = index.saturating_add(entry * 12);
        let (first, page, pad) = (word(at)?, word(at.saturating_add(4))?, word(at.saturating_add(8))?);
        note(at, Kind::Rva32, 0);
        pads = if entry == 0 { pad } else { pads };
        pads_end = pad;
        if page == 0 {
            continue;
        }
        let kind = word(page)?;
        let counts = word(page.saturating_add(4))?;
        let (start, entries) = (page.saturating_add(counts & 0xffff), counts >> 16);
        for entry in 0..entries {
            if start.saturating_add(entry * 4) >= span.length {
                break;
            }
            let goes_on = match kind {
                3 => note(start.saturating_add(entry * 4), Kind::Low24, placed.origin.wrapping_add(first)),
                2 => note(start.saturating_add(entry * 8), Kind::Rva32, 0),
                _ => break,
            };
            if !goes_on {
                return Ok(());
            }
        }
    }
    for at in (pads..pads_end.min(span.length)).step_by(4) {
        note(at, Kind::Rva32, 0);
    }
    Ok(())
}

/// The bits of a symbol's type that tell where it is defined, and their value for one in a section.
const TYPE: u8 = 0x0e;
const DEFINED: u8 = 0x0e;
/// Addresses up to here are taken for small numbers.
const MIN_ADDRESS: u32 = 0x1000;
