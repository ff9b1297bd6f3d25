//! References in the tables of a PE: relocations, functions, and what they lead to.

use super::super::refs::{Kind, Reference};
use super::super::region::{Layout, Placed, RegionKind, Span};
use super::super::source::Source;
use super::{List, Relative};
use std::io;

/// Reads the relocations of a PE: blocks of a page each, with two bytes per pointer.
pub(in super::super) fn base_relocations(
    source: &mut impl Source,
    span: Span,
    layout: &Layout,
) -> io::Result<Vec<Relative>> {
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

/// One function's entry in the table of a PE.
struct Entry {
    offset: u32,
    /// Address of its unwind information; `None` if that lies in the entry itself.
    unwind: Option<u32>,
    /// Whether it is for AArch64: the function's length is left out.
    short: bool,
}

/// Goes through a PE's table of functions.
fn entries(source: &mut impl Source, placed: &Placed, mut visit: impl FnMut(Entry)) -> io::Result<()> {
    let span = placed.span;
    let short = placed.kind == RegionKind::FunctionsArm64;
    let size = if short { 8 } else { 12 };
    for offset in (span.offset..span.end().saturating_sub(size - 1)).step_by(size as usize) {
        let mut entry = [0; 12];
        let entry = &mut entry[..size as usize];
        source.read(offset, entry)?;
        if entry.iter().all(|&byte| byte == 0) {
            break;
        }
        let unwind = entry.last_chunk().map_or(0, |field| u32::from_le_bytes(*field));
        visit(Entry { offset, unwind: (!short || unwind & 3 == 0).then_some(unwind), short });
    }
    Ok(())
}

/// Finds the references in a PE's table of functions.
pub(super) fn functions(
    source: &mut impl Source,
    placed: &Placed,
    visit: &mut impl FnMut(Reference),
) -> io::Result<()> {
    entries(source, placed, |entry| {
        let fields = match (entry.short, entry.unwind) {
            (false, _) => 3,
            (true, Some(_)) => 2,
            (true, None) => 1,
        };
        for index in 0..fields {
            visit(Reference { offset: entry.offset + 4 * index, kind: Kind::Rva32, aux: 0 });
        }
    })
}

/// Finds the references in the unwind information that a PE's table of functions leads to.
pub(super) fn unwind(source: &mut impl Source, layout: &Layout, placed: &Placed, found: &mut List) -> io::Result<()> {
    let mut seen: Vec<u32> = Vec::new();
    entries(source, placed, |entry| seen.extend(entry.unwind))?;
    seen.sort_unstable();
    seen.dedup();
    let mut tables: Vec<u32> = Vec::new();
    let mut finder = Fields { source, layout, found };
    for address in seen {
        let handler = if placed.kind == RegionKind::FunctionsArm64 {
            finder.handler_arm64(address)?
        } else {
            finder.handler(address)?
        };
        let Some(handler) = handler else {
            continue;
        };
        finder.address(handler)?;
        let place = handler.wrapping_add(4);
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
        if !self.found.step() {
            return Ok(None);
        }
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

    /// Reads unwind information of x86-64, notes the entry that it continues, and returns where its handler's address is.
    fn handler(&mut self, address: u32) -> io::Result<Option<u32>> {
        let Some(head) = self.bytes::<4>(address)? else {
            return Ok(None);
        };
        let (flags, codes) = (head[0] >> 3, u32::from(head[2]));
        let behind = address.wrapping_add(4 + codes.div_ceil(2) * 4);
        if flags & 4 != 0 {
            for index in 0..3 {
                self.address(behind.wrapping_add(index * 4))?;
            }
            return Ok(None);
        }
        Ok((flags & 3 != 0).then_some(behind))
    }

    /// Reads unwind information of AArch64 and returns where its handler's address is: behind the scopes of epilogues and the codes.
    fn handler_arm64(&mut self, address: u32) -> io::Result<Option<u32>> {
        let Some(head) = self.bytes::<4>(address)?.map(u32::from_le_bytes) else {
            return Ok(None);
        };
        let (mut epilogues, mut codes, mut length) = (head >> 22 & 31, head >> 27, 4);
        if epilogues == 0 && codes == 0 {
            let more = self.bytes::<4>(address.wrapping_add(4))?.map_or(0, u32::from_le_bytes);
            (epilogues, codes, length) = (more & 0xffff, more >> 16 & 0xff, 8);
        }
        // With one packed epilogue the field says where its codes begin.
        let scopes = if head >> 21 & 1 == 1 { 0 } else { epilogues };
        Ok((head >> 20 & 1 == 1).then_some(address.wrapping_add(length + 4 * (scopes + codes))))
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
                if start == 0 || self.found.is_full || self.found.steps == 0 {
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

/// How the table of C++ exception handling begins, but for its version.
const EXCEPTION_MAGIC: u32 = 0x1993_0522 & 0x1fff_ffff;
/// States and handlers of one function that are followed, at most.
const MAX_STATES: u32 = 1 << 14;
const MAX_HANDLERS: u32 = 64;
/// Bytes of one block of relocations at most: a page has at most 4096 places.
const MAX_BLOCK: u32 = 8 + 2 * 4096;
