//! The old file, read in places: raw, and as the matcher sees it.

use super::region::{Layout, Plan, RegionKind, Span, Version};
use super::scan::{self, Relative};
use std::io::{self, Read, Seek, SeekFrom};

/// A file of known length that is read in places.
pub(crate) trait Source {
    /// Fills `buffer` from `offset` on; the caller stays inside the file.
    fn read(&mut self, offset: u32, buffer: &mut [u8]) -> io::Result<()>;
}

impl Source for &[u8] {
    fn read(&mut self, offset: u32, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.get(offset as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A reader behind a small cache: matches go through the old file in long runs, with excursions.
pub(crate) struct Cached<'a, R> {
    inner: &'a mut R,
    length: u32,
    /// Which page each slot holds.
    pages: Vec<u32>,
    bytes: Vec<u8>,
    /// Where the reader is.
    position: Option<u64>,
}

impl<'a, R: Read + Seek> Cached<'a, R> {
    pub(crate) fn new(inner: &'a mut R, length: u32) -> Self {
        let slots = slots(length);
        Self { inner, length, pages: vec![u32::MAX; slots], bytes: vec![0; slots * PAGE], position: None }
    }
}

/// Reads from a place, and goes there only if that is somewhere else.
fn read_at<R: Read + Seek>(inner: &mut R, position: &mut Option<u64>, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    if *position != Some(at) {
        *position = None;
        inner.seek(SeekFrom::Start(at))?;
    }
    *position = None;
    inner.read_exact(buffer)?;
    *position = Some(at + buffer.len() as u64);
    Ok(())
}

impl<R: Read + Seek> Source for Cached<'_, R> {
    fn read(&mut self, offset: u32, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.len() >= DIRECT {
            // Much at once comes without a detour.
            return read_at(self.inner, &mut self.position, u64::from(offset), buffer);
        }
        let (mut at, mut done) = (offset as usize, 0);
        while done < buffer.len() {
            let page = at / PAGE;
            let start = page * PAGE;
            let length = (self.length as usize).saturating_sub(start).min(PAGE);
            let slot = page & (self.pages.len() - 1);
            let bytes = &mut self.bytes[slot * PAGE..(slot + 1) * PAGE];
            if self.pages[slot] != page as u32 {
                self.pages[slot] = u32::MAX;
                read_at(self.inner, &mut self.position, start as u64, &mut bytes[..length])?;
                self.pages[slot] = page as u32;
            }
            let from = bytes[..length].get(at - start..).unwrap_or_default();
            let count = from.len().min(buffer.len() - done);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer[done..done + count].copy_from_slice(&from[..count]);
            at += count;
            done += count;
        }
        Ok(())
    }
}

/// A file with what is made again blanked, and with relocated pointers where the loader would put them.
pub(crate) struct Normal<S> {
    inner: S,
    /// Relocated pointers by offset, with their targets.
    pub(crate) pointers: Vec<Relative>,
    base: u64,
    relative: u32,
    relocations: Option<Span>,
    /// What is made again as a whole.
    blank: Vec<Span>,
}

impl<S: Source> Normal<S> {
    pub(crate) fn new(mut inner: S, plan: &Plan, layout: &Layout, version: Version) -> io::Result<Self> {
        let relocations = plan.find(RegionKind::Rela, version).filter(|_| plan.relative != 0);
        let base = plan.find(RegionKind::BaseRelocations, version).filter(|_| plan.relative != 0);
        let pointers = match (relocations, base) {
            (Some(span), _) => scan::relatives(&mut inner, span, plan.relative, layout)?,
            (None, Some(span)) => scan::base_relocations(&mut inner, span, layout)?,
            (None, None) => Vec::new(),
        };
        let mut blank: Vec<Span> = base.into_iter().collect();
        if let Some(table) =
            plan.find(RegionKind::EhFrameHdr, version).filter(|span| plan.frame_table && span.length > 12)
        {
            blank.push(Span { offset: table.offset + 12, length: table.length - 12, ..table });
        }
        blank.extend(plan.page_hashes(version).map(|(_, span)| span));
        Ok(Self { inner, pointers, base: layout.base, relative: plan.relative, relocations, blank })
    }
}

impl<S: Source> Source for Normal<S> {
    fn read(&mut self, offset: u32, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, buffer)?;
        let end = offset + buffer.len() as u32;
        if let Some(span) = self.relocations
            && span.offset < end
            && offset < span.end()
        {
            let first = offset.saturating_sub(span.offset) / RELA;
            let last = (end.min(span.end()) - span.offset).div_ceil(RELA);
            for index in first..last.min(span.length / RELA) {
                let at = span.offset + index * RELA;
                let mut kind = [0; 4];
                self.inner.read(at + 8, &mut kind)?;
                if u32::from_le_bytes(kind) == self.relative {
                    overlay(buffer, offset, at, &[0; RELA as usize]);
                }
            }
        }
        for span in self.blank.iter().filter(|span| offset < span.end() && span.offset < end) {
            let (from, to) = (span.offset.max(offset) - offset, span.end().min(end) - offset);
            buffer[from as usize..to as usize].fill(0);
        }
        let first = self.pointers.partition_point(|pointer| pointer.offset + 8 <= offset);
        for pointer in self.pointers[first..].iter().take_while(|pointer| pointer.offset < end) {
            overlay(buffer, offset, pointer.offset, &self.base.wrapping_add(u64::from(pointer.target)).to_le_bytes());
        }
        Ok(())
    }
}

/// Copies `bytes`, which belong at `at`, into the part of a file that `buffer` holds from `offset` on.
pub(crate) fn overlay(buffer: &mut [u8], offset: u32, at: u32, bytes: &[u8]) {
    let start = at.max(offset);
    let end = (at + bytes.len() as u32).min(offset + buffer.len() as u32);
    if start < end {
        buffer[(start - offset) as usize..(end - offset) as usize]
            .copy_from_slice(&bytes[(start - at) as usize..(end - at) as usize]);
    }
}

/// Bytes of one relocation with addend in a 64-bit ELF.
pub(crate) const RELA: u32 = 24;
/// Bytes read at a time: 4 KiB, because the matches of code that moved lead to a few bytes here and there.
const PAGE: usize = 4 << 10;
/// Reads of this many bytes and more pass the cache by.
const DIRECT: usize = 2 * PAGE;

/// Returns how many pages of a file of this length are kept, a power of two: about an eighth of it, within 1 MiB and 8 MiB.
fn slots(length: u32) -> usize {
    (length as usize / 8 / PAGE).next_power_of_two().clamp(256, 2048)
}

/// Returns the memory of the cache for a file of this length, in bytes.
pub(crate) fn cache_memory(length: u32) -> u64 {
    (slots(length) * (PAGE + 4)) as u64
}
