//! References: fields that hold the address of something else, and the index of where they are.

#[cfg(feature = "encode")]
use super::region::Layout;
use super::region::Placed;

/// How a field holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A signed distance from the end of the x86 instruction, `.0` bytes behind the field.
    Rel32(u8),
    /// A signed distance from the field itself.
    Self32,
    /// An unsigned distance back from the field.
    Back32,
    /// A signed distance from the start of a jump table, `aux` bytes before the field.
    Table32,
    /// An address in 64 bits.
    Abs64,
    /// An address in 64 bits that the loader relocates.
    Pointer,
    /// An address in 32 bits, relative to the base.
    Rva32,
    /// An offset in 32 bits from the start of the linked region.
    Offset32,
    /// A signed distance in 64 bits from the field itself.
    Self64,
    /// An address in the low 36 bits of a word.
    Chain64,
    /// The same, with the base address added.
    ChainAddress64,
    /// A distance in the low 24 bits from the address `aux`.
    Low24,
    /// A distance in 32 bits from the address `aux`.
    From32,
    /// AArch64 `b` and `bl`.
    Branch26,
    /// AArch64 `adrp`; `aux` is the whole target.
    Page21,
    /// The low bits of an address in AArch64 `add`, `ldr` and `str`, shifted by `.0`; `aux` is the whole target.
    Low12(u8),
}

/// A reference in the old file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) offset: u32,
    pub(crate) kind: Kind,
    pub(crate) aux: u32,
}

impl Kind {
    /// Returns the field's bytes.
    #[inline]
    pub(crate) const fn width(self) -> u32 {
        match self {
            Self::Abs64 | Self::Pointer | Self::Self64 | Self::Chain64 | Self::ChainAddress64 => 8,
            _ => 4,
        }
    }

    /// Returns a small number for contexts.
    pub(crate) const fn class(self) -> u32 {
        match self {
            Self::Rel32(_) => 0,
            Self::Self32 => 1,
            Self::Back32 => 2,
            Self::Table32 => 3,
            Self::Abs64 => 4,
            Self::Pointer => 5,
            Self::Rva32 => 6,
            Self::Offset32 => 7,
            Self::Branch26 => 8,
            Self::Page21 => 9,
            Self::Low12(_) => 10,
            Self::Self64 => 11,
            Self::Chain64 | Self::ChainAddress64 => 12,
            Self::Low24 => 13,
            Self::From32 => 14,
        }
    }

    /// Reads the target out of a field at `offset` of `placed`; `None` if it holds none that 32 bits can say.
    #[inline]
    pub(crate) fn target(self, field: &[u8], aux: u32, offset: u32, placed: &Placed, base: u64) -> Option<u32> {
        let word = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
        let at = placed.address(offset);
        Some(match self {
            Self::Rel32(behind) => at.wrapping_add(4 + u32::from(behind)).wrapping_add(word),
            Self::Self32 => at.wrapping_add(word),
            Self::Back32 => at.wrapping_sub(word),
            Self::Table32 => at.wrapping_sub(aux).wrapping_add(word),
            Self::Rva32 => placed.origin.wrapping_add(word),
            Self::Offset32 => placed.link.wrapping_add(word),
            Self::Abs64 | Self::Pointer => {
                let high = u32::from_le_bytes([field[4], field[5], field[6], field[7]]);
                let inside = (u64::from(high) << 32 | u64::from(word)).wrapping_sub(base);
                placed.origin.wrapping_add(u32::try_from(inside).ok()?)
            }
            Self::Self64 => {
                let high = u32::from_le_bytes([field[4], field[5], field[6], field[7]]);
                let target = u64::from(at).wrapping_add(u64::from(high) << 32 | u64::from(word));
                u32::try_from(target).ok()?
            }
            Self::Chain64 if field[4] & 15 != 0 => return None,
            Self::Chain64 => placed.origin.wrapping_add(word),
            Self::ChainAddress64 => {
                let inside = (u64::from(field[4] & 15) << 32 | u64::from(word)).wrapping_sub(base) & CHAIN_MASK;
                placed.origin.wrapping_add(u32::try_from(inside).ok()?)
            }
            Self::Low24 => aux.wrapping_add(word & 0xff_ffff),
            Self::From32 => aux.wrapping_add(word),
            Self::Branch26 => at.wrapping_add(((word << 6) as i32 >> 4) as u32),
            Self::Page21 => {
                let pages = ((word >> 29) & 3 | (word >> 3) & 0x1f_fffc) << 11;
                (at & !0xfff).wrapping_add((pages as i32 >> 11 << 12) as u32)
            }
            Self::Low12(shift) => ((word >> 10) & 0xfff) << shift,
        })
    }

    /// Writes a target into a field whose target bits are zero.
    #[inline]
    pub(crate) fn put(self, field: &mut [u8], target: u32, aux: u32, offset: u32, placed: &Placed, base: u64) {
        let at = placed.address(offset);
        let bits = match self {
            Self::Rel32(behind) => target.wrapping_sub(at.wrapping_add(4 + u32::from(behind))),
            Self::Self32 => target.wrapping_sub(at),
            Self::Back32 => at.wrapping_sub(target),
            Self::Table32 => target.wrapping_sub(at.wrapping_sub(aux)),
            Self::Rva32 | Self::Chain64 => target.wrapping_sub(placed.origin),
            Self::Offset32 => target.wrapping_sub(placed.link),
            Self::Abs64 | Self::Pointer => {
                let inside = u64::from(target.wrapping_sub(placed.origin));
                field[..8].copy_from_slice(&base.wrapping_add(inside).to_le_bytes());
                return;
            }
            Self::ChainAddress64 => {
                let inside = u64::from(target.wrapping_sub(placed.origin));
                let address = base.wrapping_add(inside) & CHAIN_MASK;
                for (byte, bits) in field.iter_mut().zip(address.to_le_bytes()) {
                    *byte |= bits;
                }
                return;
            }
            Self::Self64 => {
                field[..8].copy_from_slice(&u64::from(target).wrapping_sub(u64::from(at)).to_le_bytes());
                return;
            }
            Self::Low24 => target.wrapping_sub(aux) & 0xff_ffff,
            Self::From32 => target.wrapping_sub(aux),
            Self::Branch26 => target.wrapping_sub(at) >> 2 & 0x03ff_ffff,
            Self::Page21 => {
                let pages = (target & !0xfff).wrapping_sub(at & !0xfff) >> 12;
                (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5
            }
            Self::Low12(shift) => ((target & 0xfff) >> shift) << 10,
        };
        for (byte, bits) in field.iter_mut().zip(bits.to_le_bytes()) {
            *byte |= bits;
        }
    }

    /// Returns whether two targets look the same in a field of this kind.
    #[inline]
    pub(crate) const fn same(self, a: u32, b: u32) -> bool {
        match self {
            Self::Page21 => a >> 12 == b >> 12,
            Self::Low12(shift) => (a & 0xfff) >> shift == (b & 0xfff) >> shift,
            _ => a == b,
        }
    }

    /// Clears the bits of a field that hold the target.
    #[inline]
    pub(crate) fn clear(self, field: &mut [u8]) {
        let keep: u32 = match self {
            Self::Branch26 => 0xfc00_0000,
            Self::Page21 => 0x9f00_001f,
            Self::Low12(_) => !(0xfff << 10),
            Self::Low24 => 0xff00_0000,
            Self::Chain64 | Self::ChainAddress64 => {
                field[..4].fill(0);
                field[4] &= 0xf0;
                return;
            }
            _ => {
                field[..self.width() as usize].fill(0);
                return;
            }
        };
        for (byte, keep) in field.iter_mut().zip(keep.to_le_bytes()) {
            *byte &= keep;
        }
    }

    const fn pack(self) -> u8 {
        match self {
            Self::Rel32(behind) => behind,
            Self::Self32 => 16,
            Self::Back32 => 17,
            Self::Abs64 => 18,
            Self::Pointer => 19,
            Self::Rva32 => 20,
            Self::Offset32 => 21,
            Self::Branch26 => 22,
            Self::Self64 => 23,
            Self::Chain64 => 24,
            Self::ChainAddress64 => 25,
            Self::Table32 => AUX,
            Self::Page21 => AUX + 1,
            Self::Low24 => AUX + 2,
            Self::Low12(shift) => AUX + 3 + shift,
            Self::From32 => AUX + 8,
        }
    }

    const fn unpack(byte: u8) -> Self {
        match byte {
            0..=15 => Self::Rel32(byte),
            16 => Self::Self32,
            17 => Self::Back32,
            18 => Self::Abs64,
            19 => Self::Pointer,
            20 => Self::Rva32,
            21 => Self::Offset32,
            22 => Self::Branch26,
            23 => Self::Self64,
            24 => Self::Chain64,
            25 => Self::ChainAddress64,
            AUX => Self::Table32,
            33 => Self::Page21,
            34 => Self::Low24,
            40 => Self::From32,
            _ => Self::Low12(byte - AUX - 3),
        }
    }
}

/// The bits of a chained word that hold an address.
const CHAIN_MASK: u64 = (1 << 36) - 1;
/// Kinds from here on carry four more bytes.
const AUX: u8 = 32;

/// Where the references of a file are: about two bytes each, so that it can be kept beside a running program.
#[derive(Debug, Default)]
pub(crate) struct References {
    parts: Vec<Part>,
}

/// The references of one region.
#[derive(Debug, Default)]
pub(crate) struct Part {
    start: u32,
    end: u32,
    /// Where in `bytes` each block of [`BLOCK`] bytes begins.
    blocks: Vec<u32>,
    bytes: Vec<u8>,
    last: u32,
}

impl Part {
    pub(crate) const fn new(start: u32) -> Self {
        Self { start, end: start, blocks: Vec::new(), bytes: Vec::new(), last: start }
    }

    /// Adds a reference behind all others; one that overlaps the last is left out.
    pub(crate) fn push(&mut self, reference: Reference) {
        if reference.offset < self.end {
            return;
        }
        let block = (reference.offset - self.start) / BLOCK;
        while self.blocks.len() <= block as usize {
            self.last = self.start + self.blocks.len() as u32 * BLOCK;
            self.blocks.push(self.bytes.len() as u32);
        }
        let gap = reference.offset - self.last;
        if gap >= 255 {
            self.bytes.push(255);
            self.bytes.extend((gap as u16).to_le_bytes());
        } else {
            self.bytes.push(gap as u8);
        }
        self.bytes.push(reference.kind.pack());
        if reference.kind.pack() >= AUX {
            self.bytes.extend(reference.aux.to_le_bytes());
        }
        self.last = reference.offset;
        self.end = reference.offset + reference.kind.width();
    }

    const fn memory(&self) -> usize {
        self.bytes.capacity() + 4 * self.blocks.capacity()
    }

    fn seek(&self, offset: u32) -> Cursor<'_> {
        let block = (offset.saturating_sub(self.start) / BLOCK) as usize;
        let at = self.blocks.get(block).map_or(self.bytes.len(), |&at| at as usize);
        Cursor { part: self, at, block: block + 1, last: self.start + block as u32 * BLOCK }
    }
}

struct Cursor<'a> {
    part: &'a Part,
    at: usize,
    block: usize,
    last: u32,
}

impl Iterator for Cursor<'_> {
    type Item = Reference;

    #[inline]
    fn next(&mut self) -> Option<Reference> {
        let bytes = &self.part.bytes;
        let mut gap = u32::from(*bytes.get(self.at)?);
        while self.part.blocks.get(self.block).is_some_and(|&start| start as usize == self.at) {
            self.last = self.part.start + self.block as u32 * BLOCK;
            self.block += 1;
        }
        self.at += 1;
        if gap == 255 {
            gap = u32::from(u16::from_le_bytes([bytes[self.at], bytes[self.at + 1]]));
            self.at += 2;
        }
        let packed = bytes[self.at];
        self.at += 1;
        let mut aux = 0;
        if packed >= AUX {
            aux = u32::from_le_bytes([bytes[self.at], bytes[self.at + 1], bytes[self.at + 2], bytes[self.at + 3]]);
            self.at += 4;
        }
        self.last += gap;
        Some(Reference { offset: self.last, kind: Kind::unpack(packed), aux })
    }
}

impl References {
    pub(crate) fn push(&mut self, mut part: Part) {
        if !part.bytes.is_empty() {
            part.bytes.shrink_to_fit();
            part.blocks.shrink_to_fit();
            self.parts.push(part);
        }
    }

    /// Returns whether there are none.
    #[cfg(feature = "encode")]
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Makes the parts findable, after the last [`References::push`].
    pub(crate) fn finish(&mut self) {
        self.parts.sort_unstable_by_key(|part| part.start);
    }

    /// Returns the bytes of memory that are held.
    pub(crate) fn memory(&self) -> usize {
        self.parts.iter().map(Part::memory).sum()
    }

    /// Calls `visit` for every reference that lies wholly within `start..end`.
    #[inline]
    pub(crate) fn within(&self, start: u32, end: u32, mut visit: impl FnMut(Reference)) {
        let first = self.parts.partition_point(|part| part.end <= start);
        for part in &self.parts[first..] {
            if part.start >= end {
                break;
            }
            for reference in part.seek(start) {
                if reference.offset >= end || reference.kind.width() > end - reference.offset {
                    break;
                }
                if reference.offset >= start {
                    visit(reference);
                }
            }
        }
    }

    /// Calls `visit` for every reference.
    #[cfg(feature = "encode")]
    pub(crate) fn all(&self, mut visit: impl FnMut(Reference)) {
        for part in &self.parts {
            part.seek(part.start).for_each(&mut visit);
        }
    }
}

/// Bytes of a file per entry of the index: 256, so that finding a place costs a few steps.
const BLOCK: u32 = 1 << 8;

/// Returns the target of a reference in the file that `layout` is of.
#[cfg(feature = "encode")]
pub(crate) fn target_of(layout: &Layout, reference: Reference, field: &[u8]) -> Option<u32> {
    target_in(layout.at(reference.offset)?, layout.base, reference, field)
}

/// Returns the target of a reference in the region `placed`.
#[inline]
pub(crate) fn target_in(placed: &Placed, base: u64, reference: Reference, field: &[u8]) -> Option<u32> {
    match reference.kind {
        Kind::Page21 | Kind::Low12(_) => Some(reference.aux),
        kind => kind.target(field, reference.aux, reference.offset, placed, base),
    }
}
