//! References in the table of functions that Go programs carry (`.gopclntab`): nearly all of it is offsets, from the start of the code or of
//! another part of the table, and one function more shifts them all.

use super::super::refs::{Kind, Reference};
use super::super::region::{Layout, Placed, RegionKind};
use super::super::source::Source;
use super::List;
use std::io;

/// Finds the references of the table, as Go 1.18 and later write it.
pub(super) fn functions(
    source: &mut impl Source,
    layout: &Layout,
    placed: &Placed,
    found: &mut List,
) -> io::Result<()> {
    let span = placed.span;
    let mut head = [0; 72];
    if span.length < 72 {
        return Ok(());
    }
    source.read(span.offset, &mut head)?;
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    // What a function's entry holds behind its fixed fields begins here.
    let fixed = match word(&head, 0) {
        0xffff_fff1 => 44,
        0xffff_fff0 => 40,
        _ => return Ok(()),
    };
    let code = |placed: &&Placed| matches!(placed.kind, RegionKind::X86 | RegionKind::Arm64);
    let stated = Kind::Abs64.target(&head[24..], 0, span.offset, placed, layout.base);
    let first = layout.spans.iter().find(code).map_or(0, |placed| placed.span.address);
    let text = stated.filter(|&text| layout.holds(text)).unwrap_or(first);
    let part = |at| placed.address(span.offset).wrapping_add(word(&head, at));
    let (names, counters, functions) = (part(32), part(56), part(64));
    let inside = |at: u32, length: u32| at <= span.length && length <= span.length - at;
    for index in 0..word(&head, 8) {
        let entry = word(&head, 64).saturating_add(index.saturating_mul(8));
        if !inside(entry, 8) || !found.step() {
            break;
        }
        let mut pair = [0; 8];
        source.read(span.offset + entry, &mut pair)?;
        let mut note = |at: u32, aux| found.push(Reference { offset: span.offset + at, kind: Kind::From32, aux });
        note(entry, text);
        note(entry + 4, functions);
        let function = word(&head, 64).saturating_add(word(&pair, 4));
        if !inside(function, fixed) {
            continue;
        }
        let mut fields = [0; 44];
        source.read(span.offset + function, &mut fields[..fixed as usize])?;
        note(function, text);
        note(function + 4, names);
        let counted = word(&fields, 28).min(MAX_COUNTERS);
        for at in [16, 20, 24].into_iter().chain((0..counted).map(|index| fixed + index * 4)) {
            let mut field = [0; 4];
            if inside(function + at, 4) {
                source.read(span.offset + function + at, &mut field)?;
            }
            // Zero says that there are none.
            if field != [0; 4] {
                note(function + at, counters);
            }
        }
    }
    Ok(())
}

/// Tables of one function that are followed: Go has five kinds.
const MAX_COUNTERS: u32 = 16;
