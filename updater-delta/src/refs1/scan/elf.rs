//! References in the tables of an ELF: relocations, symbols and call frames.

use super::super::refs::{Kind, Reference};
use super::super::region::{Layout, Placed, RegionKind, Span};
use super::super::source::{RELA, Source};
use super::Relative;
use std::io;

/// Reads the relocations of one type, in order of the places that they relocate; duplicates are left out.
pub(in super::super) fn relatives(
    source: &mut impl Source,
    span: Span,
    relative: u32,
    layout: &Layout,
) -> io::Result<Vec<Relative>> {
    let mut found = Vec::new();
    let mut hint = Placed { kind: RegionKind::Data, span: Span::default(), link: 0, origin: 0 };
    for index in 0..span.length / RELA {
        let mut entry = [0; RELA as usize];
        source.read(span.offset + index * RELA, &mut entry)?;
        let word = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        if word(8) != relative || word(12) != 0 || word(4) != 0 || word(20) != 0 {
            continue;
        }
        let address = word(0);
        if address.wrapping_sub(hint.span.address) >= hint.span.length {
            let Some(placed) = layout.offset(address).and_then(|offset| layout.at(offset)) else {
                continue;
            };
            hint = *placed;
        }
        let offset = hint.span.offset + (address - hint.span.address);
        if hint.span.end() - offset >= 8 {
            found.push(Relative { offset, target: word(16) });
        }
    }
    found.sort_by_key(|pointer| pointer.offset);
    found.dedup_by(|next, first| next.offset < first.offset + 8);
    Ok(found)
}

/// Finds the references of a symbol table.
pub(super) fn symbols(
    source: &mut impl Source,
    layout: &Layout,
    placed: &Placed,
    visit: &mut impl FnMut(Reference),
) -> io::Result<()> {
    for at in (placed.span.offset..placed.span.end().saturating_sub(23)).step_by(24) {
        let mut symbol = [0; 24];
        source.read(at, &mut symbol)?;
        if symbol[..4] != [0; 4] {
            visit(Reference { offset: at, kind: Kind::Offset32, aux: 0 });
        }
        let target = Kind::Abs64.target(&symbol[8..16], 0, at + 8, placed, layout.base);
        if target.is_some_and(|target| target != 0 && layout.holds(target)) {
            visit(Reference { offset: at + 8, kind: Kind::Abs64, aux: 0 });
        }
    }
    Ok(())
}

/// One function's entry in `.eh_frame`.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Frame {
    /// Where it begins in the file.
    pub(in super::super) offset: u32,
    /// Address of the function.
    pub(in super::super) function: u32,
    /// Whether the function has a table of landing pads.
    pads: bool,
}

impl Frame {
    pub(super) fn references(self, visit: &mut impl FnMut(Reference)) {
        visit(Reference { offset: self.offset + 4, kind: Kind::Back32, aux: 0 });
        visit(Reference { offset: self.offset + 8, kind: Kind::Self32, aux: 0 });
        if self.pads {
            visit(Reference { offset: self.offset + 17, kind: Kind::Self32, aux: 0 });
        }
    }
}

/// Goes through call frame information and calls `visit` for each function's entry.
pub(in super::super) fn frames(
    source: &mut impl Source,
    placed: &Placed,
    mut visit: impl FnMut(Frame),
) -> io::Result<()> {
    let span = placed.span;
    let (mut at, end) = (span.offset, span.end());
    // The last common entry and whether it has landing pads: functions mostly follow their own.
    let mut common = (u32::MAX, false);
    while end - at >= 24 {
        let mut head = [0; 24];
        source.read(at, &mut head)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, id) = (word(0), word(4));
        if length < 4 || length > end - at - 4 {
            break;
        }
        if id != 0 {
            let parent = (at + 4).wrapping_sub(id);
            if parent != common.0 && parent >= span.offset && parent < at && at - parent >= 20 {
                let mut head = [0; 20];
                source.read(parent, &mut head)?;
                let augmentation = head[9..].split(|&byte| byte == 0).next().unwrap_or_default();
                common = (parent, augmentation.contains(&b'L'));
            }
            let pads = parent == common.0 && common.1 && length >= 17 && head[16] == 4 && word(17) != 0;
            let function = placed.address(at + 8).wrapping_add(word(8));
            visit(Frame { offset: at, function, pads });
        }
        at += 4 + length;
    }
    Ok(())
}

/// Makes the sorted table of `.eh_frame_hdr` from the frames in `source`; `None` if it would not fill `table` exactly.
pub(in super::super) fn frame_table(
    source: &mut impl Source,
    placed: &Placed,
    table: Span,
) -> io::Result<Option<Vec<u8>>> {
    let mut entries: Vec<(i32, i32)> = Vec::new();
    let relative = |address: u32| address.wrapping_sub(table.address) as i32;
    let most = (table.length / 8) as usize;
    frames(source, placed, |frame| {
        if entries.len() <= most {
            entries.push((relative(frame.function), relative(placed.address(frame.offset))));
        }
    })?;
    entries.sort_unstable();
    if table.length < 12 || entries.len() * 8 != (table.length - 12) as usize {
        return Ok(None);
    }
    Ok(Some(
        entries.iter().flat_map(|&(function, frame)| [function.to_le_bytes(), frame.to_le_bytes()]).flatten().collect(),
    ))
}
