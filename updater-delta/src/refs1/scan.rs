//! Finds the references of a file, region by region, from its bytes and the delta's plan alone.

use super::refs::{Kind, Part, Reference, References};
use super::region::{Layout, Placed, RegionKind, Span};
use super::source::{RELA, Source};
use super::x86;
use std::collections::VecDeque;
use std::io;

/// A pointer that the loader relocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relative {
    /// Where in the file it is.
    pub(crate) offset: u32,
    /// The address that it holds.
    pub(crate) target: u32,
}

/// References in any order, while they are found: no more than there is memory for.
struct List {
    references: Vec<Reference>,
    most: usize,
    /// Whether there were more.
    is_full: bool,
}

impl List {
    fn push(&mut self, reference: Reference) {
        if self.references.len() < self.most {
            self.references.push(reference);
        } else {
            self.is_full = true;
        }
    }
}

/// Finds all references, at most `most` of them outside code. `instruction` is told where instructions begin.
pub(crate) fn references(
    source: &mut impl Source,
    layout: &Layout,
    pointers: &[Relative],
    most: usize,
    mut instruction: impl FnMut(u32),
) -> io::Result<References> {
    let mut all = References::default();
    let mut taken = Vec::new();
    for placed in &layout.spans {
        match placed.kind {
            RegionKind::X86 => all.push(x86_code(source, layout, placed, &mut taken, &mut instruction)?),
            RegionKind::Arm64 => all.push(arm64_code(source, layout, placed, &mut instruction)?),
            _ => {}
        }
    }
    let mut found = List { references: Vec::new(), most, is_full: false };
    tables(source, layout, taken, &mut found)?;
    for placed in &layout.spans {
        let span = placed.span;
        match placed.kind {
            RegionKind::EhFrame => frames(source, placed, |frame| frame.references(&mut found))?,
            RegionKind::Symbols => {
                for at in (span.offset..span.end().saturating_sub(23)).step_by(24) {
                    let mut symbol = [0; 24];
                    source.read(at, &mut symbol)?;
                    if symbol[..4] != [0; 4] {
                        found.push(Reference { offset: at, kind: Kind::Offset32, aux: 0 });
                    }
                    let target = Kind::Abs64.target(&symbol[8..16], 0, at + 8, placed, layout.base);
                    if target.is_some_and(|target| target != 0 && layout.holds(target)) {
                        found.push(Reference { offset: at + 8, kind: Kind::Abs64, aux: 0 });
                    }
                }
            }
            RegionKind::Functions => functions(source, layout, span, &mut found)?,
            RegionKind::EhFrame64 => frames64(source, placed, &mut found)?,
            RegionKind::Unwind => unwind(source, span, &mut found)?,
            RegionKind::Words | RegionKind::Chained => words(source, layout, placed, &mut found)?,
            _ => {}
        }
    }
    for pointer in pointers {
        found.push(Reference { offset: pointer.offset, kind: Kind::Pointer, aux: 0 });
    }
    if found.is_full {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let mut found = found.references;
    found.sort_unstable_by_key(|reference| reference.offset);
    let mut rest = found.into_iter().peekable();
    for placed in layout.spans.iter().filter(|placed| !matches!(placed.kind, RegionKind::X86 | RegionKind::Arm64)) {
        let mut part = Part::new(placed.span.offset);
        while let Some(reference) = rest.next_if(|reference| reference.offset < placed.span.end()) {
            if reference.offset >= placed.span.offset {
                part.push(reference);
            }
        }
        all.push(part);
    }
    all.finish();
    Ok(all)
}

/// Reads the relocations of one type, in order of the places that they relocate; duplicates are left out.
pub(crate) fn relatives(
    source: &mut impl Source,
    span: Span,
    relative: u32,
    layout: &Layout,
) -> io::Result<Vec<Relative>> {
    let mut found = Vec::new();
    let mut hint = Placed { kind: RegionKind::Data, span: Span::default(), link: 0 };
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

/// Reads the relocations of a PE: blocks of a page each, with two bytes per pointer.
pub(crate) fn base_relocations(source: &mut impl Source, span: Span, layout: &Layout) -> io::Result<Vec<Relative>> {
    let mut found = Vec::new();
    let mut at = span.offset;
    while span.end() - at >= 8 {
        let mut head = [0; 8];
        source.read(at, &mut head)?;
        let page = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if size < 8 || size > span.end() - at || size > MAX_BLOCK {
            break;
        }
        let mut entries = vec![0; size as usize - 8];
        source.read(at + 8, &mut entries)?;
        for entry in entries.chunks_exact(2) {
            let entry = u32::from(u16::from_le_bytes([entry[0], entry[1]]));
            let Some(offset) = layout.offset(page.wrapping_add(entry & 0xfff)).filter(|_| entry >> 12 == 10) else {
                continue;
            };
            let inside = layout.at(offset).is_some_and(|placed| placed.span.end() - offset >= 8);
            if inside {
                let mut field = [0; 8];
                source.read(offset, &mut field)?;
                let target = u64::from_le_bytes(field).wrapping_sub(layout.base);
                // Out of range is kept as an impossible target, which the encoder sees.
                found.push(Relative { offset, target: u32::try_from(target).unwrap_or(u32::MAX) });
            }
        }
        at += size;
    }
    found.sort_by_key(|pointer| pointer.offset);
    found.dedup_by(|next, first| next.offset < first.offset + 8);
    Ok(found)
}

/// Finds the references of a PE's table of functions, and of the unwind information that it leads to.
fn functions(source: &mut impl Source, layout: &Layout, span: Span, found: &mut List) -> io::Result<()> {
    let mut seen: Vec<u32> = Vec::new();
    for at in (span.offset..span.end().saturating_sub(11)).step_by(12) {
        let mut entry = [0; 12];
        source.read(at, &mut entry)?;
        if entry == [0; 12] {
            break;
        }
        for offset in [at, at + 4, at + 8] {
            found.push(Reference { offset, kind: Kind::Rva32, aux: 0 });
        }
        seen.push(u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]));
    }
    seen.sort_unstable();
    seen.dedup();
    let mut tables: Vec<u32> = Vec::new();
    let mut finder = Fields { source, layout, found };
    for address in seen {
        let Some(head) = finder.bytes::<4>(address)? else {
            continue;
        };
        let (flags, codes) = (head[0] >> 3, u32::from(head[2]));
        let behind = address.wrapping_add(4 + codes.div_ceil(2) * 4);
        if flags & 4 != 0 {
            for index in 0..3 {
                finder.address(behind.wrapping_add(index * 4))?;
            }
        } else if flags & 3 != 0 {
            finder.address(behind)?;
            let place = behind.wrapping_add(4);
            let Some(table) = finder.bytes::<4>(place)?.map(u32::from_le_bytes).filter(|&table| table != 0) else {
                continue;
            };
            if let Some(head) = finder.bytes::<4>(table)?
                && u32::from_le_bytes(head) & 0x1fff_ffff == EXCEPTION_MAGIC
            {
                finder.address(place)?;
                tables.push(table);
            }
        }
    }
    tables.sort_unstable();
    tables.dedup();
    for table in tables {
        finder.exceptions(table)?;
    }
    Ok(())
}

/// Follows the tables of C++ exception handling, which Rust's panics use on Windows.
struct Fields<'a, S> {
    source: &'a mut S,
    layout: &'a Layout,
    found: &'a mut List,
}

impl<S: Source> Fields<'_, S> {
    fn bytes<const N: usize>(&mut self, address: u32) -> io::Result<Option<[u8; N]>> {
        let Some(offset) = self.layout.offset(address) else {
            return Ok(None);
        };
        if self.layout.at(offset).is_none_or(|placed| ((placed.span.end() - offset) as usize) < N) {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.source.read(offset, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Notes the field at `address` as a reference unless it is zero, and returns what it holds.
    fn address(&mut self, address: u32) -> io::Result<u32> {
        let value = self.bytes::<4>(address)?.map_or(0, u32::from_le_bytes);
        if let Some(offset) = self.layout.offset(address).filter(|_| value != 0) {
            self.found.push(Reference { offset, kind: Kind::Rva32, aux: 0 });
        }
        Ok(value)
    }

    fn exceptions(&mut self, table: u32) -> io::Result<()> {
        let Some(head) = self.bytes::<40>(table)? else {
            return Ok(());
        };
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        for at in [8, 16, 24, 32] {
            self.address(table.wrapping_add(at))?;
        }
        for (count, start, size, field) in
            [(word(4), word(8), 8, 4), (word(20), word(24), 8, 0), (word(12), word(16), 20, 16)]
        {
            for index in 0..count.min(MAX_STATES) {
                if start == 0 || self.found.is_full {
                    break;
                }
                let entry = start.wrapping_add(index * size);
                let handlers = self.address(entry.wrapping_add(field))?;
                if size == 20 && handlers != 0 {
                    let count = self.bytes::<4>(entry.wrapping_add(12))?.map_or(0, u32::from_le_bytes);
                    for handler in 0..count.min(MAX_HANDLERS) {
                        self.address(handlers.wrapping_add(handler * 20 + 4))?;
                        self.address(handlers.wrapping_add(handler * 20 + 12))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Takes every aligned word for an address that could be one.
fn words(source: &mut impl Source, layout: &Layout, placed: &Placed, found: &mut List) -> io::Result<()> {
    let span = placed.span;
    let kind = if placed.kind == RegionKind::Chained { Kind::Chain64 } else { Kind::Abs64 };
    let mut window = vec![0; WINDOW];
    let first = span.offset + placed.address(span.offset).wrapping_neg() % 8;
    let (mut at, end) = (first.min(span.end()), span.end());
    while end - at >= 8 {
        let length = ((end - at) / 8 * 8).min(WINDOW as u32);
        source.read(at, &mut window[..length as usize])?;
        for field in window[..length as usize].chunks_exact(8) {
            let target = kind.target(field, 0, at, placed, layout.base);
            // What is bound by name, and small numbers, are no addresses.
            if target.is_some_and(|target| target > MIN_ADDRESS && layout.holds(target)) && field[7] < 0x80 {
                found.push(Reference { offset: at, kind, aux: 0 });
            }
            at += 8;
        }
    }
    Ok(())
}

/// Finds the references of call frame information with 64-bit fields.
fn frames64(source: &mut impl Source, placed: &Placed, found: &mut List) -> io::Result<()> {
    let (mut at, end) = (placed.span.offset, placed.span.end());
    while end - at >= 33 {
        let mut head = [0; 33];
        source.read(at, &mut head)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if length < 4 || length > end - at - 4 {
            break;
        }
        if head[4..8] != [0; 4] && length >= 20 {
            found.push(Reference { offset: at + 4, kind: Kind::Back32, aux: 0 });
            found.push(Reference { offset: at + 8, kind: Kind::Self64, aux: 0 });
            if length >= 29 && head[24] == 8 && head[25..33] != [0; 8] {
                found.push(Reference { offset: at + 25, kind: Kind::Self64, aux: 0 });
            }
        }
        at += 4 + length;
    }
    Ok(())
}

/// Finds the references of compact unwind information.
fn unwind(source: &mut impl Source, span: Span, found: &mut List) -> io::Result<()> {
    let mut word = |at: u32| -> io::Result<u32> {
        let mut field = [0; 4];
        if at.checked_add(4).is_some_and(|end| end <= span.length) {
            source.read(span.offset + at, &mut field)?;
        }
        Ok(u32::from_le_bytes(field))
    };
    let mut note = |at: u32, kind, aux| {
        if at.checked_add(4).is_some_and(|end| end <= span.length) {
            found.push(Reference { offset: span.offset + at, kind, aux });
        }
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
            match kind {
                3 => note(start.saturating_add(entry * 4), Kind::Low24, first),
                2 => note(start.saturating_add(entry * 8), Kind::Rva32, 0),
                _ => break,
            }
        }
    }
    for at in (pads..pads_end.min(span.length)).step_by(4) {
        note(at, Kind::Rva32, 0);
    }
    Ok(())
}

fn x86_code(
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

fn arm64_code(
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
pub(crate) const fn low12(word: u32) -> Option<u8> {
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

/// Finds the jump tables that begin at addresses which the code takes.
fn tables(source: &mut impl Source, layout: &Layout, mut taken: Vec<u32>, found: &mut List) -> io::Result<()> {
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

/// One function's entry in `.eh_frame`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Where it begins in the file.
    pub(crate) offset: u32,
    /// Address of the function.
    pub(crate) function: u32,
    /// Whether the function has a table of landing pads.
    pads: bool,
}

impl Frame {
    fn references(self, found: &mut List) {
        found.push(Reference { offset: self.offset + 4, kind: Kind::Back32, aux: 0 });
        found.push(Reference { offset: self.offset + 8, kind: Kind::Self32, aux: 0 });
        if self.pads {
            found.push(Reference { offset: self.offset + 17, kind: Kind::Self32, aux: 0 });
        }
    }
}

/// Goes through call frame information and calls `visit` for each function's entry.
pub(crate) fn frames(source: &mut impl Source, placed: &Placed, mut visit: impl FnMut(Frame)) -> io::Result<()> {
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
pub(crate) fn frame_table(source: &mut impl Source, placed: &Placed, table: Span) -> io::Result<Option<Vec<u8>>> {
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

/// How the table of C++ exception handling begins, but for its version.
const EXCEPTION_MAGIC: u32 = 0x1993_0522 & 0x1fff_ffff;
/// States and handlers of one function that are followed, at most.
const MAX_STATES: u32 = 1 << 14;
const MAX_HANDLERS: u32 = 64;
/// Bytes of one block of relocations at most: a page has at most 4096 places.
const MAX_BLOCK: u32 = 8 + 2 * 4096;
/// Addresses up to here are taken for small numbers.
const MIN_ADDRESS: u32 = 0x1000;
/// Bytes of code looked at together: 64 KiB.
const WINDOW: usize = 64 << 10;
/// Bytes between an `adrp` and the instructions that complete it, at most.
const PAIR: u32 = 64;
/// Entries of one jump table at most.
const MAX_TABLE: u32 = 4096;
