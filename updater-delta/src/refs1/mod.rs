//! Codec `refs-1`: predicts where references point.
//!
//! When a program is built again nearly all its bytes stay, but what moved changes every address that points to it. This codec finds
//! the references of the old file, works out from the matches where their targets went, and sends only what it got wrong. Tables that
//! follow from other parts (relative relocations, the sorted table of call frames) are made again. The stream is coded as one
//! whole: plan, matches, body.

#[cfg(feature = "encode")]
mod blocks;
mod coder;
mod control;
#[cfg(feature = "fuzz")]
pub mod doors;
#[cfg(feature = "encode")]
mod encode;
#[cfg(feature = "encode")]
mod exe;
mod full;
#[cfg(feature = "encode")]
mod inspect;
mod map;
#[cfg(feature = "encode")]
mod matcher;
mod mix;
mod model;
mod parts;
mod rebuild;
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
use coder::{Coder as _, Decoder, Stream};
use control::Order;
use map::AddressMap;
use parts::{Body, Head, Within};
use rebuild::Rebuilt;
use recall::Recall;
use region::{Layout, Plan, RegionKind, Version};
use scan::Relative;
use source::{Cached, Normal, Source as _, cache_memory};
use std::io::{Read, Seek, Write};
use walk::{Known, Stop, Walk};

#[cfg(feature = "encode")]
pub(crate) use blocks::encode as encode_parts;
#[cfg(feature = "encode")]
pub use encode::Reading;
#[cfg(feature = "encode")]
pub(crate) use encode::{encode, encode_memory};
#[cfg(feature = "encode")]
pub(crate) use full::encode as encode_full;
#[cfg(feature = "encode")]
pub(crate) use inspect::inspect;

/// Applies the codec's own bytes; the header was read and the old file checked.
pub(crate) fn apply(
    old: &mut (impl Read + Seek),
    header: &Header,
    mut patch: impl Read,
    output: &mut Output<'_, impl Write>,
    limits: &ApplyLimits,
) -> Result<(), ApplyError> {
    let patch: &mut dyn Read = &mut patch;
    match Body::read(patch)? {
        Body::Whole => return stream(&mut Within { inner: old, start: 0 }, lengths(header)?, patch, output, limits),
        Body::Full => return full::apply(patch, output, limits),
        Body::Parts => {}
    }
    while output.missing() > 0 {
        let head = Head::read(patch, header.old_length, output.missing(), output.written())?;
        let mut range = Within { inner: old, start: head.old_offset };
        stream(&mut range, (head.old_length, head.new_length), &mut (&mut *patch).take(head.bytes), output, limits)?;
    }
    match patch.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(ApplyError::TrailingData),
        Err(source) => Err(ApplyError::Read { side: Side::Patch, source }),
    }
}

/// Applies one stream, between files or ranges of these lengths.
fn stream(
    old: &mut Within<'_, impl Read + Seek>,
    (old_length, new_length): (u32, u32),
    patch: &mut dyn Read,
    output: &mut Output<'_, impl Write>,
    limits: &ApplyLimits,
) -> Result<(), ApplyError> {
    let mut budget = Budget { used: 0, limit: limits.memory };
    budget.take(FIXED_MEMORY + cache_memory(old_length))?;
    let mut decoder = Decoder::new(patch);
    let most = (limits.memory.saturating_sub(budget.used) / MATCH_MEMORY) as usize;
    let (plan, order, matches) = front(&mut decoder, old_length, new_length, most)?;
    budget.take(matches.len() as u64 * MATCH_MEMORY)?;
    budget.take(order.segments[..order.early].iter().map(|segment| u64::from(segment.2)).sum())?;
    let (old_layout, new_layout) = (Layout::new(&plan, Version::Old), Layout::new(&plan, Version::New));
    // The index takes two bytes for each four of the file, at the very most; relocations are listed while it is made.
    let old_bytes = |wanted: fn(RegionKind) -> bool| -> u64 {
        plan.regions.iter().filter(|region| wanted(region.kind)).map(|region| u64::from(region.old.length)).sum()
    };
    let indexed = |kind| !matches!(kind, RegionKind::Data | RegionKind::Rela | RegionKind::BaseRelocations);
    budget.check(old_bytes(indexed) / 2)?;
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
        let inserted = control::inserted(&matches, new_length);
        budget.take(u64::from(length) + recall::memory(inserted))?;
        let mut dictionary = vec![0; length as usize];
        normal.read(0, &mut dictionary).map_err(read_old)?;
        Some(Recall::new(dictionary, inserted))
    } else {
        None
    };
    let mut walk = Walk::new(decoder, known, None, recall);
    let mut rebuilt = Rebuilt::new(&plan, &order, output.written());
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
/// Memory of models and buffers, in bytes.
const FIXED_MEMORY: u64 = Walk::<Decoder<&[u8]>>::model_memory() + 16 * CHUNK as u64;
/// Memory per match, in bytes: the match, and its pieces of the address map while that is made.
const MATCH_MEMORY: u64 = size_of::<control::Match>() as u64 + AddressMap::memory(0) / 8;
