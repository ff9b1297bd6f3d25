//! Codec `refs-1`: predicts where references point.
//!
//! When a program is built again nearly all its bytes stay, but what moved changes every address that points to it. This codec finds
//! the references of the old file, works out from the matches where their targets went, and sends only what it got wrong. Tables that
//! follow from other parts (relative relocations, the sorted table of call frames) are made again. The stream is one range-coded
//! whole: plan, matches, body.

mod coder;
mod control;
#[cfg(feature = "encode")]
mod encode;
#[cfg(feature = "encode")]
mod exe;
mod map;
#[cfg(feature = "encode")]
mod matcher;
mod model;
mod recall;
mod refs;
mod region;
mod scan;
mod source;
mod walk;
mod x86;

use crate::apply::Output;
use crate::limits::CHUNK;
use crate::{ApplyError, ApplyLimits, Header, Side};
use coder::{BitCoder as _, Decoder, Stream};
use control::Order;
use map::AddressMap;
use recall::Recall;
use region::{Layout, Plan, RegionKind, Version};
use scan::Relative;
use sha2::{Digest as _, Sha256};
use source::{CACHE_MEMORY, Cached, Normal, RELA, Source as _, overlay};
use std::io::{Read, Seek, Write};
use walk::{Known, Stop, Walk};

#[cfg(feature = "encode")]
pub(crate) use encode::{Reading, encode, encode_memory};

/// Applies the codec's own bytes; the header was read and the old file checked.
pub(crate) fn apply(
    old: &mut (impl Read + Seek),
    header: &Header,
    patch: impl Read,
    output: &mut Output<'_, impl Write>,
    limits: &ApplyLimits,
) -> Result<(), ApplyError> {
    let (old_length, new_length) = lengths(header)?;
    let mut budget = Budget { used: 0, limit: limits.memory };
    budget.take(FIXED_MEMORY)?;
    let mut decoder = Decoder::new(patch);
    let most = (limits.memory.saturating_sub(budget.used) / MATCH_MEMORY) as usize;
    let (plan, order, matches) = front(&mut decoder, old_length, new_length, most)?;
    budget.take(matches.len() as u64 * MATCH_MEMORY)?;
    budget.take(order.segments[..order.early].iter().map(|segment| u64::from(segment.2)).sum())?;
    let (old_layout, new_layout) = (Layout::new(&plan, Version::Old), Layout::new(&plan, Version::New));
    // The index of code takes two bytes for each four of code, at the very most; relocations are listed while it is made.
    let old_bytes = |wanted: fn(RegionKind) -> bool| -> u64 {
        plan.regions.iter().filter(|region| wanted(region.kind)).map(|region| u64::from(region.old.length)).sum()
    };
    budget.check(old_bytes(|kind| matches!(kind, RegionKind::X86 | RegionKind::Arm64)) / 2)?;
    budget.check(old_bytes(|kind| kind == RegionKind::Rela) / 2)?;
    budget.check(old_bytes(|kind| kind == RegionKind::BaseRelocations) * 8)?;
    let limit = limits.memory;
    let read_old = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::OutOfMemory => ApplyError::Memory { needed: limit.saturating_add(1), limit },
        _ => ApplyError::Read { side: Side::Old, source },
    };
    let most = (limit.saturating_sub(budget.used) / 2) as usize / size_of::<refs::Reference>();
    let mut normal = Normal::new(Cached::new(old, old_length), &plan, &old_layout, Version::Old).map_err(read_old)?;
    let pointers = std::mem::take(&mut normal.pointers);
    let references = scan::references(&mut normal, &old_layout, &pointers, most, |_| {}).map_err(read_old)?;
    budget.take((references.memory() + pointers.len() * size_of::<Relative>()) as u64)?;
    normal.pointers = pointers;
    let map = AddressMap::new(&matches, &plan, &old_layout, &new_layout);
    let known = Known {
        old_layout: &old_layout,
        new_layout: &new_layout,
        references: &references,
        map: &map,
        order: &order,
        matches: &matches,
        new_length,
    };
    let recall = if plan.recall {
        let length = old_length.min(recall::DICTIONARY);
        budget.take(u64::from(length) + recall::MEMORY)?;
        let mut dictionary = vec![0; length as usize];
        normal.read(0, &mut dictionary).map_err(read_old)?;
        Some(Recall::new(dictionary))
    } else {
        None
    };
    let mut walk = Walk::new(decoder, known, None, recall);
    let mut rebuilt = Rebuilt::new(&plan, &order);
    walk.run(&mut normal, |walk, place, bytes| {
        check(&mut walk.coder, output.written())?;
        budget.check(walk.grown_memory())?;
        rebuilt.take(&plan, &new_layout, &walk.pointers, place, bytes, output)
    })
    .map_err(|stop| match stop {
        Stop::Old(source) => read_old(source),
        Stop::Sink(error) => error,
    })?;
    rebuilt.finish(&plan, &new_layout, &walk.pointers, output)?;
    check(&mut walk.coder, output.written())?;
    if !walk.coder.is_exact() {
        return Err(ApplyError::Corrupt { what: "its last bytes", at: output.written() });
    }
    match walk.coder.at_end() {
        Ok(true) => Ok(()),
        Ok(false) => Err(ApplyError::TrailingData),
        Err(source) => Err(ApplyError::Read { side: Side::Patch, source }),
    }
}

/// Reads what a delta says before its body.
#[cfg(feature = "encode")]
pub(crate) fn inspect(body: &[u8], inspection: &mut crate::Inspection) -> Result<(), ApplyError> {
    let (old_length, new_length) = lengths(&inspection.header)?;
    // Every match takes some bits of the delta, so there cannot be more than those.
    let (plan, _, matches) = front(&mut Decoder::new(body), old_length, new_length, body.len().saturating_mul(8))?;
    inspection.matches = matches.len() as u64;
    inspection.matched = matches.iter().map(|found| u64::from(found.length)).sum();
    let place = |span: region::Span| (u64::from(span.offset), u64::from(span.length));
    let summary = |region: &region::Region| crate::RegionSummary {
        kind: format!("{:?}", region.kind),
        old: place(region.old),
        new: place(region.new),
    };
    inspection.regions = plan.regions.iter().map(summary).collect();
    Ok(())
}

fn lengths(header: &Header) -> Result<(u32, u32), ApplyError> {
    let length = |length: u64| u32::try_from(length).ok().filter(|&length| length <= MAX_LENGTH);
    let too_long = ApplyError::Corrupt { what: "a file that is too long for this codec", at: 0 };
    length(header.old_length).zip(length(header.new_length)).ok_or(too_long)
}

/// Reads plan and matches.
fn front(
    decoder: &mut Decoder<impl Read>,
    old_length: u32,
    new_length: u32,
    most: usize,
) -> Result<(Plan, Order, Vec<control::Match>), ApplyError> {
    let corrupt = |what| ApplyError::Corrupt { what, at: 0 };
    decoder.stream(Stream::Plan);
    let plan = Plan::default().code(decoder, old_length, new_length);
    check(decoder, 0)?;
    let plan = plan.ok_or_else(|| corrupt("an impossible plan"))?;
    let order = Order::new(&plan, new_length);
    let matches = control::code(decoder, None, &order, old_length, new_length, most);
    check(decoder, 0)?;
    Ok((plan, order, matches.ok_or_else(|| corrupt("an impossible match"))?))
}

/// Regions that were decoded ahead of their place, and what is made from them.
struct Rebuilt {
    /// (place, length, bytes) by place.
    early: Vec<(u32, u32, Vec<u8>)>,
    /// How many early regions are written.
    written: usize,
    /// Bytes that belong at a place, in place of what the body says.
    overlays: Option<Vec<(u32, Vec<u8>)>>,
    /// Where the relocations begin that are made again.
    relocations: u32,
    relocated: bool,
    pages: Option<Pages>,
}

/// Hashes of the pages of a signed file, while it is written.
struct Pages {
    hasher: Sha256,
    page: u32,
    /// Bytes that are still to come, of the page and of all.
    page_left: u32,
    left: u32,
    /// Where the hashes belong.
    place: u32,
    hashes: Vec<u8>,
}

impl Pages {
    fn new(covered: u32, bits: u32, place: u32) -> Self {
        let page = 1 << bits;
        Self { hasher: Sha256::new(), page, page_left: page, left: covered, place, hashes: Vec::new() }
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
                self.hashes.extend(std::mem::take(&mut self.hasher).finalize());
            }
        }
    }

    /// Ends the last page, which may be short.
    fn finish(&mut self) {
        if self.page_left != self.page {
            self.page_left = self.page;
            self.hashes.extend(std::mem::take(&mut self.hasher).finalize());
        }
    }
}

/// Makes the page hashes of a file.
#[cfg(feature = "encode")]
fn page_hashes(bytes: &[u8], bits: u32) -> Vec<u8> {
    let mut pages = Pages::new(bytes.len() as u32, bits, 0);
    pages.add(bytes);
    pages.finish();
    pages.hashes
}

impl Rebuilt {
    fn new(plan: &Plan, order: &Order) -> Self {
        let relocations =
            plan.find(RegionKind::BaseRelocations, Version::New).or_else(|| plan.find(RegionKind::Rela, Version::New));
        let relocations = relocations.filter(|_| plan.relative != 0).map_or(u32::MAX, |span| span.offset);
        let hashes = plan.find(RegionKind::PageHashes, Version::New).filter(|span| plan.pages_fit(*span));
        let pages = hashes.map(|span| Pages::new(plan.hashed, plan.page_bits, span.offset));
        let early =
            order.segments[..order.early].iter().map(|&(_, place, length)| (place, length, Vec::new())).collect();
        Self { early, written: 0, overlays: None, relocations, relocated: false, pages }
    }

    /// Takes the next piece of the new file.
    fn take(
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
        self.write(place, bytes, output)
    }

    /// Writes bytes, and puts page hashes into them where they belong.
    fn write(&mut self, place: u32, bytes: &mut [u8], output: &mut Output<'_, impl Write>) -> Result<(), ApplyError> {
        if let Some(pages) = &mut self.pages {
            let covered = (pages.left as usize).min(bytes.len());
            pages.add(&bytes[..covered]);
            if pages.left == 0 {
                pages.finish();
                overlay(bytes, place, pages.place, &pages.hashes);
            }
        }
        output.write(bytes)
    }

    /// Writes what is left behind the last piece.
    fn finish(
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
        while let Some((place, _, bytes)) =
            self.early.get_mut(self.written).filter(|early| u64::from(early.0) == output.written() || early.1 == 0)
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
            let entries = relocations(plan, layout, pointers);
            if pointers.len() != plan.new_relative as usize || entries.len() > span.length as usize {
                return Err(ApplyError::Corrupt { what: "pointers that do not fill their table", at });
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

/// Makes the relative relocations that set these pointers.
fn relocations(plan: &Plan, layout: &Layout, pointers: &[Relative]) -> Vec<u8> {
    let address = |pointer: &Relative| layout.at(pointer.offset).map_or(0, |placed| placed.address(pointer.offset));
    if plan.find(RegionKind::BaseRelocations, Version::New).is_some() {
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
        return bytes;
    }
    let mut bytes = Vec::with_capacity(pointers.len() * RELA as usize);
    for pointer in pointers {
        bytes.extend(plan.new_base.wrapping_add(u64::from(address(pointer))).to_le_bytes());
        bytes.extend(u64::from(plan.relative).to_le_bytes());
        bytes.extend(plan.new_base.wrapping_add(u64::from(pointer.target)).to_le_bytes());
    }
    bytes
}

/// Memory against its limit.
struct Budget {
    used: u64,
    limit: u64,
}

impl Budget {
    fn take(&mut self, bytes: u64) -> Result<(), ApplyError> {
        self.check(bytes)?;
        self.used += bytes;
        Ok(())
    }

    fn check(&self, bytes: u64) -> Result<(), ApplyError> {
        let needed = self.used.saturating_add(bytes);
        if needed > self.limit { Err(ApplyError::Memory { needed, limit: self.limit }) } else { Ok(()) }
    }
}

fn check(decoder: &mut Decoder<impl Read>, at: u64) -> Result<(), ApplyError> {
    match decoder.check() {
        Ok(true) => Ok(()),
        Ok(false) => Err(ApplyError::Truncated { at }),
        Err(source) => Err(ApplyError::Read { side: Side::Patch, source }),
    }
}

/// The longest file in bytes: 4 GiB less a little, so that the end of every field fits into 32 bits.
pub(crate) const MAX_LENGTH: u32 = u32::MAX - (1 << 16);
/// Memory of models, buffers and the old file's cache, in bytes.
const FIXED_MEMORY: u64 = Walk::<Decoder<&[u8]>>::model_memory() + CACHE_MEMORY + 16 * CHUNK as u64;
/// Memory per match, in bytes: the match, and its pieces of the address map while that is made.
const MATCH_MEMORY: u64 = size_of::<control::Match>() as u64 + AddressMap::memory(0) / 8;
