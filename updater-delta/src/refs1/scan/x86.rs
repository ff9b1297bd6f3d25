//! References in x86-64 code, and in the jump tables whose addresses it takes.

use super::super::refs::{Kind, Part, Reference};
use super::super::region::{Layout, Placed, RegionKind, Span};
use super::super::source::Source;
use super::super::x86;
use super::List;
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
    let mut window = vec![0; WINDOW + x86::MAX_LENGTH];
    let mut found = vec![[0_u32; MOST_FIELDS]; SECTIONS];
    let (mut offset, end) = (placed.span.offset, placed.span.end());
    while offset < end {
        let length = ((end - offset) as usize).min(window.len());
        source.read(offset, &mut window[..length])?;
        window[length..].fill(0);
        let length = length.min(WINDOW);
        let mut at: [usize; SECTIONS] = std::array::from_fn(|section| (section * SECTION).min(length));
        let ends: [usize; SECTIONS] = std::array::from_fn(|section| ((section + 1) * SECTION).min(length));
        let mut counts = [0; SECTIONS];
        let mut cut = |at: &mut usize, found: &mut [u32; MOST_FIELDS], count: &mut usize| {
            instruction(offset + *at as u32);
            let (length, distance) = x86::step(&window, *at);
            // Written in any case and counted only with a distance, because a branch would be guessed wrong too often.
            found[*count % MOST_FIELDS] = *at as u32;
            *count += usize::from(distance);
            *at += length;
        };
        // Where an instruction begins is known when the one before it is cut: so sections take turns.
        while (0..SECTIONS).all(|section| at[section] < ends[section]) {
            for section in 0..SECTIONS {
                cut(&mut at[section], &mut found[section], &mut counts[section]);
            }
        }
        for section in 0..SECTIONS {
            while at[section] < ends[section] {
                cut(&mut at[section], &mut found[section], &mut counts[section]);
            }
        }
        for (found, &count) in found.iter().zip(&counts) {
            for &at in &found[..count] {
                let rest = &window[at as usize..];
                let Some(shape) = x86::shape(rest).filter(|shape| shape.field != 0) else { continue };
                let field = u32::from(shape.field);
                let place = offset + at + field;
                if place > end.saturating_sub(4) {
                    continue;
                }
                let kind = Kind::Rel32(shape.length - shape.field - 4);
                let target = kind.target(&rest[field as usize..], 0, place, placed, 0).unwrap_or(0);
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
        }
        offset += length as u32;
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
/// Bytes of code that are cut on their own, from the first of them on: 16 KiB. Code soon falls into step wherever one begins.
const SECTION: usize = 16 << 10;
/// Sections that are gone through at once.
const SECTIONS: usize = 4;
/// Bytes of code that are read at once.
const WINDOW: usize = SECTION * SECTIONS;
/// Distances in a section, at most: an instruction with one has five bytes or more.
const MOST_FIELDS: usize = 4096;
