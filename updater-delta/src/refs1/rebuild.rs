//! What is made again while the new file is written: relocations, the table of call frames, page hashes.

use super::control::Order;
use super::region::{self, Layout, Plan, RegionKind, Span, Version};
use super::scan::{self, Relative};
use super::source::{RELA, overlay};
use crate::ApplyError;
use crate::apply::Output;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::io::Write;

/// Regions that were decoded ahead of their place, and what is made from them.
pub(super) struct Rebuilt {
    /// (place, length, bytes) by place.
    early: Vec<(u32, u32, Vec<u8>)>,
    /// Where in the output the file, or the range, begins.
    start: u64,
    /// How many early regions are written.
    written: usize,
    /// Bytes that belong at a place, in place of what the body says.
    overlays: Option<Vec<(u32, Vec<u8>)>>,
    /// Where the relocations begin that are made again.
    relocations: u32,
    relocated: bool,
    /// The table of an ELF in which they are made one by one.
    entries: Option<Span>,
    /// By place.
    pages: Vec<Pages>,
}

/// Hashes of the pages of a signed file, while it is written.
struct Pages {
    hasher: Hasher,
    page: u32,
    /// Where the first page begins.
    start: u32,
    /// Bytes that are still to come, of the page and of all.
    page_left: u32,
    left: u32,
    /// Where the hashes belong.
    place: u32,
    hashes: Vec<u8>,
}

/// The hash of one page.
enum Hasher {
    Sha256(Sha256),
    Sha1(Sha1),
}

impl Hasher {
    fn new(hash: region::Hash) -> Self {
        match hash {
            region::Hash::Sha256 => Self::Sha256(Sha256::new()),
            region::Hash::Sha1 => Self::Sha1(Sha1::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
        }
    }

    /// Adds the hash to the others and begins the next.
    fn finish(&mut self, hashes: &mut Vec<u8>) {
        match self {
            Self::Sha256(hasher) => hashes.extend(hasher.finalize_reset()),
            Self::Sha1(hasher) => hashes.extend(hasher.finalize_reset()),
        }
    }
}

impl Pages {
    fn new(pages: region::Pages, place: u32) -> Self {
        let page = 1 << pages.bits;
        Self {
            hasher: Hasher::new(pages.hash),
            page,
            start: pages.start,
            page_left: page,
            left: pages.covered,
            place,
            hashes: Vec::new(),
        }
    }

    /// Takes bytes from `place` on, as far as they are covered.
    fn take(&mut self, place: u32, bytes: &[u8]) {
        let before = (self.start.saturating_sub(place) as usize).min(bytes.len());
        let covered = (bytes.len() - before).min(self.left as usize);
        self.add(&bytes[before..before + covered]);
    }

    fn add(&mut self, mut bytes: &[u8]) {
        self.left -= bytes.len() as u32;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.page_left as usize));
            self.hasher.update(now);
            self.page_left -= now.len() as u32;
            bytes = later;
            if self.page_left == 0 {
                self.page_left = self.page;
                self.hasher.finish(&mut self.hashes);
            }
        }
    }

    /// Ends the last page, which may be short.
    fn finish(&mut self) {
        if self.page_left != self.page {
            self.page_left = self.page;
            self.hasher.finish(&mut self.hashes);
        }
    }
}

/// Makes the page hashes of a file.
#[cfg(feature = "encode")]
pub(super) fn page_hashes(bytes: &[u8], covered: region::Pages) -> Vec<u8> {
    let mut pages = Pages::new(covered, 0);
    pages.take(0, bytes);
    pages.finish();
    pages.hashes
}

impl Rebuilt {
    pub(super) fn new(plan: &Plan, order: &Order, start: u64) -> Self {
        let relocations =
            plan.find(RegionKind::BaseRelocations, Version::New).or_else(|| plan.find(RegionKind::Rela, Version::New));
        let relocations = relocations.filter(|_| plan.relative != 0).map_or(u32::MAX, |span| span.offset);
        let mut pages: Vec<Pages> =
            plan.page_hashes(Version::New).map(|(pages, span)| Pages::new(pages, span.offset)).collect();
        pages.sort_by_key(|pages| pages.place);
        let early =
            order.segments[..order.early].iter().map(|&(_, place, length)| (place, length, Vec::new())).collect();
        Self { early, start, written: 0, overlays: None, relocations, relocated: false, entries: None, pages }
    }

    /// Takes the next piece of the new file.
    pub(super) fn take(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        pointers: &[Relative],
        place: u32,
        bytes: &mut [u8],
        output: &mut Output<'_, impl Write>,
    ) -> Result<(), ApplyError> {
        if self.overlays.is_none() {
            if let Some((_, _, buffer)) = self.early.iter_mut().find(|early| place.wrapping_sub(early.0) < early.1) {
                buffer.extend_from_slice(bytes);
                return Ok(());
            }
            let made = self.rebuild(plan, layout, pointers, output.written())?;
            self.overlays = Some(made);
        }
        self.flush(output)?;
        if !self.relocated && place.wrapping_add(bytes.len() as u32) > self.relocations {
            self.relocated = true;
            self.relocate(plan, layout, pointers, output.written())?;
        }
        for (at, content) in self.overlays.iter().flatten() {
            overlay(bytes, place, *at, content);
        }
        let stop = place.saturating_add(bytes.len() as u32);
        if let Some(span) = self.entries.filter(|span| place < span.end() && span.offset < stop) {
            let first = (place.saturating_sub(span.offset) / RELA) as usize;
            let end = (stop - span.offset).div_ceil(RELA) as usize;
            for (index, pointer) in pointers.iter().enumerate().take(end).skip(first) {
                overlay(bytes, place, span.offset + index as u32 * RELA, &relocation(plan, layout, pointer));
            }
        }
        self.write(place, bytes, output)
    }

    /// Writes bytes, and puts page hashes into them where they belong.
    fn write(&mut self, place: u32, bytes: &mut [u8], output: &mut Output<'_, impl Write>) -> Result<(), ApplyError> {
        // What covers the hashes of another program comes behind them.
        for pages in &mut self.pages {
            pages.take(place, bytes);
            if pages.left == 0 {
                pages.finish();
                overlay(bytes, place, pages.place, &pages.hashes);
            }
        }
        output.write(bytes)
    }

    /// Writes what is left behind the last piece.
    pub(super) fn finish(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        pointers: &[Relative],
        output: &mut Output<'_, impl Write>,
    ) -> Result<(), ApplyError> {
        if self.overlays.is_none() {
            self.rebuild(plan, layout, pointers, output.written())?;
        }
        self.flush(output)
    }

    /// Writes the early regions whose place has come.
    fn flush(&mut self, output: &mut Output<'_, impl Write>) -> Result<(), ApplyError> {
        while let Some((place, _, bytes)) = self
            .early
            .get_mut(self.written)
            .filter(|early| self.start + u64::from(early.0) == output.written() || early.1 == 0)
        {
            let (place, mut bytes) = (*place, std::mem::take(bytes));
            self.written += 1;
            self.write(place, &mut bytes, output)?;
        }
        Ok(())
    }

    /// Makes the relocations, once all pointers are known.
    fn relocate(&mut self, plan: &Plan, layout: &Layout, pointers: &[Relative], at: u64) -> Result<(), ApplyError> {
        let span =
            plan.find(RegionKind::BaseRelocations, Version::New).or_else(|| plan.find(RegionKind::Rela, Version::New));
        if let Some(span) = span {
            let damaged = ApplyError::Corrupt { what: "pointers that do not fill their table", at };
            if pointers.len() != plan.new_relative as usize {
                return Err(damaged);
            }
            if plan.find(RegionKind::BaseRelocations, Version::New).is_none() {
                // Each of these is made when its place comes.
                self.entries = Some(span);
                return if pointers.len() > (span.length / RELA) as usize { Err(damaged) } else { Ok(()) };
            }
            let entries = relocations(plan, layout, pointers);
            if entries.len() > span.length as usize {
                return Err(damaged);
            }
            self.overlays.get_or_insert_default().push((span.offset, entries));
        }
        Ok(())
    }

    fn rebuild(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        pointers: &[Relative],
        at: u64,
    ) -> Result<Vec<(u32, Vec<u8>)>, ApplyError> {
        let corrupt = |what| ApplyError::Corrupt { what, at };
        let mut made = Vec::new();
        let table = plan.find(RegionKind::EhFrameHdr, Version::New).filter(|_| plan.frame_table);
        let frames = layout.spans.iter().find(|placed| placed.kind == RegionKind::EhFrame);
        if let (Some(table), Some(frames)) = (table, frames) {
            let bytes =
                self.early.iter().find(|early| early.0 == frames.span.offset).map_or(&[][..], |early| &early.2[..]);
            let mut moved = *frames;
            moved.span.offset = 0;
            let entries = scan::frame_table(&mut &bytes[..], &moved, table).ok().flatten();
            made.push((table.offset + 12, entries.ok_or_else(|| corrupt("call frames that do not fill their table"))?));
        }
        if plan.new_blank {
            for (place, _, bytes) in &mut self.early {
                for pointer in pointers {
                    overlay(bytes, *place, pointer.offset, &[0; 8]);
                }
            }
        }
        Ok(made)
    }
}

/// Makes all relative relocations that set these pointers.
pub(super) fn relocations(plan: &Plan, layout: &Layout, pointers: &[Relative]) -> Vec<u8> {
    if plan.find(RegionKind::BaseRelocations, Version::New).is_none() {
        return pointers.iter().flat_map(|pointer| relocation(plan, layout, pointer)).collect();
    }
    let address = |pointer: &Relative| layout.at(pointer.offset).map_or(0, |placed| placed.address(pointer.offset));
    let mut bytes = Vec::with_capacity(pointers.len() * 2 + 8);
    for page in pointers.chunk_by(|a, b| address(a) >> 12 == address(b) >> 12) {
        let entries = page.len() + page.len() % 2;
        bytes.extend((page.first().map_or(0, address) & !0xfff).to_le_bytes());
        bytes.extend((8 + 2 * entries as u32).to_le_bytes());
        for pointer in page {
            bytes.extend((10 << 12 | (address(pointer) & 0xfff) as u16).to_le_bytes());
        }
        bytes.resize(bytes.len() + 2 * (entries - page.len()), 0);
    }
    bytes
}

/// Makes the relocation of an ELF that sets a pointer.
fn relocation(plan: &Plan, layout: &Layout, pointer: &Relative) -> [u8; RELA as usize] {
    let address = layout.at(pointer.offset).map_or(0, |placed| placed.address(pointer.offset));
    let mut bytes = [0; RELA as usize];
    bytes[..8].copy_from_slice(&plan.new_base.wrapping_add(u64::from(address)).to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::from(plan.relative).to_le_bytes());
    bytes[16..].copy_from_slice(&plan.new_base.wrapping_add(u64::from(pointer.target)).to_le_bytes());
    bytes
}
