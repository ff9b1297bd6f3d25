//! References in x86-64 code, and in the jump tables whose addresses it takes.

use super::super::refs::{Kind, Part, Reference};
use super::super::region::{Layout, Placed, RegionKind, Span};
use super::super::source::Source;
use super::super::x86;
use super::{List, WINDOW};
use std::io;

/// Finds the references of one region of code; `taken` gets the addresses at which jump tables may begin.
pub(super) fn code(
    source: &mut impl Source,
    layout: &Layout,
    placed: &Placed,
    taken: &mut Vec<u32>,
    instruction: &mut impl FnMut(u32),
) -> io::Result<Part> {
    let mut part = Part::new(placed.span.offset);
    let constants: Vec<Span> = layout
        .spans
        .iter()
        .filter(|placed| matches!(placed.kind, RegionKind::Constants | RegionKind::Image))
        .map(|placed| placed.span)
        .collect();
    let mut window = vec![0; WINDOW];
    let (mut offset, end) = (placed.span.offset, placed.span.end());
    while offset < end {
        let length = ((end - offset) as usize).min(WINDOW);
        source.read(offset, &mut window[..length])?;
        let bytes = &window[..length];
        let last = offset + length as u32 == end;
        let mut at = 0;
        // Near the window's end an instruction may be cut: the next window begins with it.
        while at < length && (last || at + x86::MAX_LENGTH <= length) {
            let Some(shape) = x86::shape(&bytes[at..]) else {
                at += 1;
                continue;
            };
            let here = offset + at as u32;
            instruction(here);
            let (field, length) = (usize::from(shape.field), usize::from(shape.length));
            if field != 0 && at + field + 4 <= bytes.len() {
                let kind = Kind::Rel32((length - field - 4) as u8);
                let place = here + field as u32;
                let target = kind.target(&bytes[at + field..], 0, place, placed, 0).unwrap_or(0);
                if layout.holds(target) {
                    part.push(Reference { offset: place, kind, aux: 0 });
                    if shape.lea
                        && target.is_multiple_of(4)
                        && constants.iter().any(|span| target.wrapping_sub(span.address) < span.length)
                    {
                        taken.push(target);
                    }
                }
            }
            at += length;
        }
        // The last instruction may reach beyond the window, and beyond the region.
        offset += at.max(1) as u32;
    }
    Ok(part)
}

/// Finds the jump tables that begin at addresses which the code takes.
pub(super) fn tables(
    source: &mut impl Source,
    layout: &Layout,
    mut taken: Vec<u32>,
    found: &mut List,
) -> io::Result<()> {
    taken.sort_unstable();
    taken.dedup();
    let code: Vec<Span> =
        layout.spans.iter().filter(|placed| placed.kind == RegionKind::X86).map(|placed| placed.span).collect();
    for (index, &base) in taken.iter().enumerate() {
        let Some(placed) = layout.offset(base).and_then(|offset| layout.at(offset)) else {
            continue;
        };
        let span = placed.span;
        let next = taken.get(index + 1).copied().unwrap_or(u32::MAX);
        let inside = base.wrapping_sub(span.address);
        let room = (next - base).min(span.length - inside) / 4;
        let start = span.offset + inside;
        let before = found.references.len();
        for entry in 0..room.min(MAX_TABLE) {
            let mut field = [0; 4];
            source.read(start + entry * 4, &mut field)?;
            let distance = u32::from_le_bytes(field);
            let target = base.wrapping_add(distance);
            if distance == 0 || !code.iter().any(|span| target.wrapping_sub(span.address) < span.length) {
                break;
            }
            found.push(Reference { offset: start + entry * 4, kind: Kind::Table32, aux: entry * 4 });
        }
        if found.references.len() == before + 1 {
            found.references.pop();
        }
    }
    Ok(())
}

/// Entries of one jump table at most.
const MAX_TABLE: u32 = 4096;
