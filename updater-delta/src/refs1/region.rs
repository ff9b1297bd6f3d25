//! The map of both files that a delta carries: which bytes are code, tables or plain data, and at which address they are loaded.
//!
//! Only the encoder reads file formats. What it found lies in the delta, so the applying side needs no parser of ELF, PE or Mach-O,
//! and a wrong map costs bytes, never correctness.

use super::coder::Coder;

/// What a region holds, and so where its references are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegionKind {
    /// Anything; only its address matters.
    Data,
    /// x86-64 instructions.
    X86,
    /// AArch64 instructions.
    Arm64,
    /// Call frame information as ELF stores it.
    EhFrame,
    /// The sorted table of an ELF's call frame information, made again from it.
    EhFrameHdr,
    /// Relocations of an ELF: the relative ones are made again from the pointers that they set.
    Rela,
    /// A symbol table of an ELF.
    Symbols,
    /// Data in which jump tables of x86-64 code may lie.
    Constants,
    /// Data with pointers that the loader relocates.
    Pointers,
    /// Constants of a PE: jump tables, pointers that the loader relocates, and what the table of functions refers to.
    Image,
    /// The table of functions of a PE for x86-64.
    Functions,
    /// The relocations of a PE, made again from the pointers.
    BaseRelocations,
    /// Data in which every aligned word that could be an address is taken for one.
    Words,
    /// Words of a Mach-O whose low 36 bits are an address.
    Chained,
    /// Call frame information as Mach-O stores it.
    EhFrame64,
    /// Compact unwind information of a Mach-O.
    Unwind,
    /// The page hashes in a Mach-O's signature, made again from the file.
    PageHashes,
    /// The table of functions of a PE for AArch64.
    FunctionsArm64,
    /// A symbol table of a Mach-O.
    Names,
    /// Words of a Mach-O whose low 36 bits are an address that counts from nothing.
    ChainedAddresses,
    /// The table of functions of a Go program.
    GoFunctions,
}

impl RegionKind {
    const ALL: [Self; 21] = [
        Self::Data,
        Self::X86,
        Self::Arm64,
        Self::EhFrame,
        Self::EhFrameHdr,
        Self::Rela,
        Self::Symbols,
        Self::Constants,
        Self::Pointers,
        Self::Image,
        Self::Functions,
        Self::BaseRelocations,
        Self::Words,
        Self::Chained,
        Self::EhFrame64,
        Self::Unwind,
        Self::PageHashes,
        Self::FunctionsArm64,
        Self::Names,
        Self::ChainedAddresses,
        Self::GoFunctions,
    ];

    /// Returns whether pointers that the loader relocates may lie in the region.
    pub(crate) const fn has_pointers(self) -> bool {
        matches!(self, Self::Pointers | Self::Image)
    }
}

/// Where a region lies in one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// First byte in the file.
    pub(crate) offset: u32,
    /// Bytes in the file.
    pub(crate) length: u32,
    /// Address of the first byte, relative to the file's base address.
    pub(crate) address: u32,
    /// Bytes of addresses, if there are more than in the file.
    pub(crate) extent: u32,
}

/// One region in both files; a side without it has no length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) kind: RegionKind,
    pub(crate) old: Span,
    pub(crate) new: Span,
    /// The region (by number) into which the 32-bit offsets of this one point: a symbol table's strings.
    pub(crate) link: u32,
    /// Which pages of the new file the hashes in this region are of.
    pub(crate) pages: Pages,
}

/// The pages of a signed program whose hashes are made again; none if nothing is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages {
    /// Where in the new file the program begins.
    pub(crate) start: u32,
    /// Bytes from there on that are hashed.
    pub(crate) covered: u32,
    /// Size of a page as a power of two.
    pub(crate) bits: u32,
    pub(crate) hash: Hash,
}

/// How pages are hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hash {
    #[default]
    Sha256,
    /// For systems before macOS 10.12; such signatures hold both.
    Sha1,
}

/// One more program in the same file: its regions, from the one with number `first` on, have addresses of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) first: u32,
    /// What is added to its addresses, so that no others are like them.
    pub(crate) origin: u32,
}

/// What the applying side is told about both files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Address from which the old file's addresses count.
    pub(crate) old_base: u64,
    pub(crate) new_base: u64,
    pub(crate) regions: Vec<Region>,
    /// The relocation type whose entries are made again; 0 if none are.
    pub(crate) relative: u32,
    /// How many relocations of the new file are made again.
    pub(crate) new_relative: u32,
    /// Whether the old and the new file hold zeros where the loader puts pointers.
    pub(crate) old_blank: bool,
    pub(crate) new_blank: bool,
    /// The programs behind the first one, by region.
    pub(crate) slices: Vec<Slice>,
    /// Whether inserted bytes are coded as plain data that was seen before.
    pub(crate) recall: bool,
    /// Whether the new file's sorted table of call frames is made again.
    pub(crate) frame_table: bool,
}

impl Plan {
    /// Codes the plan; `None` if what was read is impossible for files of these lengths.
    pub(crate) fn code(&self, coder: &mut impl Coder, old_length: u32, new_length: u32) -> Option<Self> {
        let old_base = wide(coder, self.old_base);
        let new_base = wide(coder, self.new_base);
        let count = number(coder, self.regions.len() as u32);
        if count as usize > MAX_REGIONS {
            return None;
        }
        let mut regions = Vec::new();
        let (mut old_before, mut new_before) = (Before::default(), Before::default());
        for index in 0..count {
            let given = self.regions.get(index as usize);
            let kind = coder.raw(5, given.map_or(0, |region| region.kind as u32));
            let kind = *RegionKind::ALL.get(kind as usize)?;
            let old = given.map_or(Span::default(), |region| region.old);
            let old = old_before.code(coder, old, Span::default(), old_length)?;
            let new = given.map_or(Span::default(), |region| region.new);
            let new = new_before.code(coder, new, old, new_length)?;
            // Most have none, which is the highest number.
            let link = number(coder, given.map_or(0, |region| region.link.wrapping_add(1))).wrapping_sub(1);
            let pages = given.map_or(Pages::default(), |region| region.pages);
            let pages = if kind == RegionKind::PageHashes { pages.code(coder, new)? } else { Pages::default() };
            regions.push(Region { kind, old, new, link, pages });
        }
        let count = number(coder, self.slices.len() as u32);
        if count as usize > MAX_REGIONS {
            return None;
        }
        let mut slices = Vec::new();
        for index in 0..count {
            let given = self.slices.get(index as usize);
            let first = number(coder, given.map_or(0, |slice| slice.first));
            slices.push(Slice { first, origin: number(coder, given.map_or(0, |slice| slice.origin)) });
        }
        let relative = number(coder, self.relative);
        let new_relative = number(coder, self.new_relative);
        let old_blank = coder.raw(1, u32::from(self.old_blank)) == 1;
        let new_blank = coder.raw(1, u32::from(self.new_blank)) == 1;
        let recall = coder.raw(1, u32::from(self.recall)) == 1;
        let frame_table = coder.raw(1, u32::from(self.frame_table)) == 1;
        let plan = Self {
            old_base,
            new_base,
            regions,
            relative,
            new_relative,
            slices,
            old_blank,
            new_blank,
            recall,
            frame_table,
        };
        let disjoint =
            |spans: Vec<Span>| spans.windows(2).all(|pair| pair[0].offset + pair[0].length <= pair[1].offset);
        (disjoint(plan.spans(Version::Old)) && disjoint(plan.spans(Version::New))).then_some(plan)
    }

    fn spans(&self, version: Version) -> Vec<Span> {
        let mut spans: Vec<Span> =
            self.regions.iter().map(|region| region.span(version)).filter(|span| span.length > 0).collect();
        spans.sort_unstable_by_key(|span| span.offset);
        spans
    }

    /// Returns the regions of the new file that are decoded before all others, because something in front of them is made from them.
    pub(crate) fn early(&self) -> Vec<Span> {
        let after = |kind| self.find(kind, Version::New).map_or(u32::MAX, |made| made.offset);
        let relocations =
            if self.relative == 0 { u32::MAX } else { after(RegionKind::Rela).min(after(RegionKind::BaseRelocations)) };
        let table = if self.frame_table { after(RegionKind::EhFrameHdr) } else { u32::MAX };
        let first = |region: &&Region| {
            let offset = region.new.offset;
            region.new.length > 0
                && (region.kind.has_pointers() && offset > relocations
                    || region.kind == RegionKind::EhFrame && offset > table)
        };
        let mut early: Vec<Span> = self.regions.iter().filter(first).map(|region| region.new).collect();
        early.sort_unstable_by_key(|span| span.offset);
        early
    }

    /// Returns the regions of `version` with page hashes that are made again, each with the pages of the new file.
    pub(crate) fn page_hashes(&self, version: Version) -> impl Iterator<Item = (Pages, Span)> {
        let made = |region: &&Region| region.kind == RegionKind::PageHashes && region.pages.covered > 0;
        self.regions.iter().filter(made).map(move |region| (region.pages, region.span(version)))
    }

    /// Returns what is added to the addresses of a region.
    fn origin(&self, index: usize) -> u32 {
        self.slices.iter().rev().find(|slice| slice.first as usize <= index).map_or(0, |slice| slice.origin)
    }

    /// Returns the first region of a kind that is there in `version`.
    pub(crate) fn find(&self, kind: RegionKind, version: Version) -> Option<Span> {
        self.regions
            .iter()
            .filter(|region| region.kind == kind)
            .map(|region| region.span(version))
            .find(|span| span.length > 0)
    }
}

impl Region {
    pub(crate) const fn span(&self, version: Version) -> Span {
        match version {
            Version::Old => self.old,
            Version::New => self.new,
        }
    }
}

impl Span {
    pub(crate) const fn end(self) -> u32 {
        self.offset + self.length
    }
}

/// The region that was coded before: regions mostly follow each other in the file and in memory.
#[derive(Default)]
struct Before {
    end: u32,
    /// Address less offset.
    shift: u32,
}

impl Before {
    /// Codes a span, less what it would be if it followed the last one and were as long as `like`.
    fn code(&mut self, coder: &mut impl Coder, given: Span, like: Span, file_length: u32) -> Option<Span> {
        let mut less = |value: u32, expected: u32| {
            let difference = value.wrapping_sub(expected);
            let folded = number(coder, difference << 1 ^ ((difference as i32) >> 31) as u32);
            expected.wrapping_add(folded >> 1 ^ (folded & 1).wrapping_neg())
        };
        let offset = less(given.offset, self.end);
        let length = less(given.length, like.length);
        let address = less(given.address, offset.wrapping_add(self.shift));
        let extent = less(given.extent, like.extent);
        if offset > file_length || length > file_length - offset {
            return None;
        }
        if length > 0 {
            (self.end, self.shift) = (offset + length, address.wrapping_sub(offset));
        }
        Some(Span { offset, length, address, extent })
    }
}

impl Hash {
    /// Returns the bytes of one hash.
    pub(crate) const fn length(self) -> u32 {
        match self {
            Self::Sha256 => 32,
            Self::Sha1 => 20,
        }
    }
}

impl Pages {
    /// Codes the pages whose hashes lie in `span`; `None` if they do not fill it, or lie behind it.
    fn code(self, coder: &mut impl Coder, span: Span) -> Option<Self> {
        let pages = Self {
            start: number(coder, self.start),
            covered: number(coder, self.covered),
            bits: coder.raw(4, self.bits),
            hash: if coder.raw(1, self.hash as u32) == 0 { Hash::Sha256 } else { Hash::Sha1 },
        };
        let count = pages.covered.div_ceil(1 << pages.bits);
        let before = pages.start.checked_add(pages.covered).is_some_and(|end| end <= span.offset);
        (pages.covered == 0 || before && count.checked_mul(pages.hash.length()) == Some(span.length)).then_some(pages)
    }
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Old,
    New,
}

/// The regions of one file, by offset: turns offsets into addresses and back.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) base: u64,
    pub(crate) spans: Vec<Placed>,
    /// The addresses that something in this file may point to.
    lowest: u32,
    highest: u32,
}

/// A region in a [`Layout`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) kind: RegionKind,
    pub(crate) span: Span,
    /// Address of the region that this one's offsets count from.
    pub(crate) link: u32,
    /// Address of what the program's own addresses count from.
    pub(crate) origin: u32,
}

impl Layout {
    pub(crate) fn new(plan: &Plan, version: Version) -> Self {
        let place = |(index, region): (usize, &Region)| Placed {
            kind: region.kind,
            span: region.span(version),
            link: plan.regions.get(region.link as usize).map_or(0, |linked| linked.span(version).address),
            origin: plan.origin(index),
        };
        let all: Vec<Placed> = plan
            .regions
            .iter()
            .enumerate()
            .map(place)
            .filter(|placed| placed.span.length.max(placed.span.extent) > 0)
            .collect();
        let lowest = all.iter().map(|placed| placed.span.address).min().unwrap_or(0);
        let end = |span: Span| span.address.saturating_add(span.length.max(span.extent));
        let highest = all.iter().map(|placed| end(placed.span)).max().unwrap_or(0);
        let mut spans: Vec<Placed> = all.into_iter().filter(|placed| placed.span.length > 0).collect();
        spans.sort_unstable_by_key(|placed| placed.span.offset);
        let base = match version {
            Version::Old => plan.old_base,
            Version::New => plan.new_base,
        };
        Self { base, spans, lowest, highest }
    }

    /// Returns the region that holds a byte.
    #[inline]
    pub(crate) fn at(&self, offset: u32) -> Option<&Placed> {
        let index = self.spans.partition_point(|placed| placed.span.offset <= offset);
        let placed = self.spans.get(index.checked_sub(1)?)?;
        (offset < placed.span.end()).then_some(placed)
    }

    /// Returns the region that holds a byte: mostly the one that is `known` already.
    #[inline]
    pub(crate) fn near<'a>(&'a self, known: Option<&'a Placed>, offset: u32) -> Option<&'a Placed> {
        known.filter(|placed| offset.wrapping_sub(placed.span.offset) < placed.span.length).or_else(|| self.at(offset))
    }

    /// Returns where the first region behind `offset` starts.
    pub(crate) fn next(&self, offset: u32) -> Option<u32> {
        self.spans
            .get(self.spans.partition_point(|placed| placed.span.offset <= offset))
            .map(|placed| placed.span.offset)
    }

    /// Returns whether something may point to this address.
    #[inline]
    pub(crate) const fn holds(&self, address: u32) -> bool {
        address >= self.lowest && address < self.highest
    }

    /// Returns the place in the file that is loaded at this address.
    pub(crate) fn offset(&self, address: u32) -> Option<u32> {
        let inside = |placed: &&Placed| address.wrapping_sub(placed.span.address) < placed.span.length;
        let placed = self.spans.iter().find(inside)?;
        Some(placed.span.offset + (address - placed.span.address))
    }
}

impl Placed {
    /// Returns the address of a byte of this region.
    #[inline]
    pub(crate) const fn address(&self, offset: u32) -> u32 {
        self.span.address.wrapping_add(offset.wrapping_sub(self.span.offset))
    }
}

/// Codes a number of up to 32 bits about which nothing is known.
pub(crate) fn number(coder: &mut impl Coder, value: u32) -> u32 {
    let length = coder.raw(6, 32 - value.leading_zeros()).min(32);
    if length < 2 {
        return length;
    }
    (1 << (length - 1)) | coder.raw(length - 1, value & ((1 << (length - 1)) - 1))
}

fn wide(coder: &mut impl Coder, value: u64) -> u64 {
    let high = number(coder, (value >> 32) as u32);
    u64::from(high) << 32 | u64::from(number(coder, value as u32))
}

/// The most regions of a plan: programs have about thirty sections, fat files a few times that.
pub(crate) const MAX_REGIONS: usize = 256;
