//! Makes the codec's own bytes.

use super::coder::{Encoder, Stream};
use super::control::{self, Match, Order};
use super::exe;
use super::map::AddressMap;
use super::matcher::{self, Found, Places};
use super::parts::WHOLE;
use super::rebuild::relocations;
use super::recall::{self, Recall};
use super::refs::{Kind, Reference, References};
use super::region::{Layout, Pages, Placed, Plan, RegionKind, Version};
use super::scan::{self, Relative};
use super::source::{Normal, Source};
use super::walk::{self, Known, Truth, Walk};
use std::convert::Infallible;
use std::num::NonZeroUsize;

/// What went into a delta.
pub(crate) struct Report {
    reading: Reading,
    costs: [u64; Stream::NAMES.len()],
}

impl Report {
    /// Returns what the files turned out to be.
    pub(crate) const fn reading(&self) -> Reading {
        self.reading
    }

    /// Returns what nothing went into yet.
    pub(super) const fn empty() -> Self {
        Self { reading: Reading::Data, costs: [0; Stream::NAMES.len()] }
    }

    /// Adds what went into a part.
    pub(super) fn add(&mut self, part: &Self) {
        self.costs.iter_mut().zip(part.costs).for_each(|(all, more)| *all += more);
    }

    /// Returns the bytes of each stream by name.
    pub(crate) fn streams(&self) -> [(&'static str, u64); Stream::NAMES.len()] {
        std::array::from_fn(|index| (Stream::NAMES[index], self.costs[index]))
    }
}

/// What the two files are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// Programs, as far as they are understood.
    Programs,
    /// Bytes without a meaning.
    Data,
    /// Files that have less in common than the new one has in itself: it is packed, and the old one plays no part.
    Full,
}

/// Makes the codec's own bytes, as one stream.
pub(crate) fn encode(old: &[u8], new: &[u8], reading: Reading, threads: NonZeroUsize) -> (Vec<u8>, Report) {
    let (stream, report) = stream(old, new, reading, threads);
    ([&[WHOLE], &stream[..]].concat(), report)
}

/// Makes a stream that turns one file, or a range of it, into another.
pub(super) fn stream(old: &[u8], new: &[u8], reading: Reading, threads: NonZeroUsize) -> (Vec<u8>, Report) {
    let plan = match reading {
        Reading::Programs => exe::plan(old, new),
        _ => super::region::Plan::default(),
    };
    let mut plan = settle(plan, old, new);
    plan.recall = plan.regions.is_empty();
    let order = Order::new(&plan, new.len() as u32);
    let ((ours, old_places), (theirs, new_places)) =
        both(|| Side::new(old, &plan, Version::Old), || Side::new(new, &plan, Version::New));
    let found = align(&ours, &theirs, &old_places, &new_places, &order, threads);
    drop((old_places, new_places));
    let ((old_image, _), (new_image, _)) = (ours.normalised(), theirs.normalised());
    let matches = cut(&found, (&ours, &old_image), (&theirs, &new_image), &order);
    drop(found);
    let given = Given { ours: &ours, theirs: &theirs, old_image: &old_image, new_image: &new_image, order: &order };
    if !plan.recall {
        return given.body(&matches);
    }
    // Text that was edited is best recalled where it differs, tables of numbers best told apart: both are tried.
    let exact = exact(&matches, old, new);
    let (first, second) = both(|| given.body(&matches), || given.body(&exact));
    if second.0.len() < first.0.len() { second } else { first }
}

/// Everything that is known before the matches are chosen.
struct Given<'a> {
    ours: &'a Side<'a>,
    theirs: &'a Side<'a>,
    old_image: &'a [u8],
    new_image: &'a [u8],
    order: &'a Order,
}

impl Given<'_> {
    /// Codes the new file with these matches.
    fn body(&self, matches: &[Match]) -> (Vec<u8>, Report) {
        let Self { ours, theirs, old_image, new_image, order } = *self;
        let plan = ours.plan;
        let (old_length, new_length) = (old_image.len() as u32, new_image.len() as u32);
        let map = AddressMap::new(matches, plan, &ours.layout, &theirs.layout);
        let known = Known {
            old_layout: &ours.layout,
            new_layout: &theirs.layout,
            references: &ours.references,
            map: &map,
            order,
            matches,
            new_length,
        };
        let gaps = walk::gaps(&known, old_image, new_image, &theirs.pointers);
        let mut wholes = Vec::new();
        theirs.references.all(|reference| {
            if matches!(reference.kind, Kind::Page21 | Kind::Low12(_)) {
                wholes.push((reference.offset, reference.aux));
            }
        });
        let truth = Truth { new: new_image, pointers: &theirs.pointers, wholes: &wholes, gaps: gaps.iter() };
        let mut encoder = Encoder::new();
        // Coding answers with what it coded, which is known here.
        let _ = plan.code(&mut encoder, old_length, new_length);
        let _ = control::code(&mut encoder, Some(matches), order, old_length, new_length, usize::MAX);
        let dictionary = old_image.len().min(recall::DICTIONARY as usize);
        let recall =
            plan.recall.then(|| Recall::new(old_image[..dictionary].to_vec(), control::inserted(matches, new_length)));
        let mut walk = Walk::new(encoder, known, Some(truth), recall);
        // Reading from memory does not fail, and the encoder keeps nothing of what it goes through.
        let _ = walk.run(&mut &*old_image, |_, _, _| Ok::<(), Infallible>(()));
        let reading = if plan.recall { Reading::Data } else { Reading::Programs };
        let report = Report { reading, costs: walk.coder.costs() };
        (walk.coder.finish(), report)
    }
}

/// Returns the memory that [`encode`] takes, in bytes.
pub(crate) fn encode_memory(old: &[u8], new: &[u8]) -> u64 {
    encode_memory_of(old.len() as u64, new.len() as u64)
}

/// Returns the memory that [`encode`] takes for files of these lengths, in bytes.
pub(super) const fn encode_memory_of(old: u64, new: u64) -> u64 {
    (old + new) * 2 + old * 9 / 2 + (32 << 20)
}

/// One of the two files, understood as the plan says.
struct Side<'a> {
    bytes: &'a [u8],
    plan: &'a Plan,
    version: Version,
    layout: Layout,
    pointers: Vec<Relative>,
    references: References,
}

impl<'a> Side<'a> {
    /// Reads a file; also returns where matches are looked for.
    fn new(bytes: &'a [u8], plan: &'a Plan, version: Version) -> (Self, Places) {
        let layout = Layout::new(plan, version);
        let mut side = Self { bytes, plan, version, layout, pointers: Vec::new(), references: References::default() };
        let (image, pointers) = side.normalised();
        side.pointers = pointers;
        let mut places = Places::new(bytes.len());
        let instruction = |at| places.set(at as usize);
        // Reading from memory does not fail.
        side.references = scan::references(&mut &image[..], &side.layout, &side.pointers, usize::MAX, instruction)
            .unwrap_or_default();
        let code = |placed: &&Placed| matches!(placed.kind, RegionKind::X86 | RegionKind::Arm64);
        let step = match version {
            Version::Old if plan.regions.is_empty() => bytes.len() / DENSE + 1,
            Version::Old => SPARSE,
            Version::New => 1,
        };
        let mut at = 0;
        for span in side.layout.spans.iter().filter(code).map(|placed| placed.span) {
            (at..span.offset as usize).step_by(step).for_each(|at| places.set(at));
            at = span.end() as usize;
        }
        (at..bytes.len()).step_by(step).for_each(|at| places.set(at));
        (side, places)
    }

    /// Returns the file with what is made again blank, and its relocated pointers.
    fn normalised(&self) -> (Vec<u8>, Vec<Relative>) {
        let mut image = self.bytes.to_vec();
        // Reading from memory does not fail.
        let Ok(mut normal) = Normal::new(self.bytes, self.plan, &self.layout, self.version) else {
            return (image, Vec::new());
        };
        if normal.read(0, &mut image).is_err() {
            image.copy_from_slice(self.bytes);
        }
        (image, std::mem::take(&mut normal.pointers))
    }
}

/// Takes out of a plan what does not hold for these files.
fn settle(mut plan: Plan, old: &[u8], new: &[u8]) -> Plan {
    let (old_layout, new_layout) = (Layout::new(&plan, Version::Old), Layout::new(&plan, Version::New));
    let table = plan.find(RegionKind::EhFrameHdr, Version::New);
    let frames = new_layout.spans.iter().find(|placed| placed.kind == RegionKind::EhFrame);
    plan.frame_table = table.zip(frames).is_some_and(|(table, frames)| {
        let made = scan::frame_table(&mut &*new, frames, table).ok().flatten();
        made.is_some_and(|made| new.get(table.offset as usize + 12..table.end() as usize) == Some(&made[..]))
    });
    for region in plan.regions.iter_mut().filter(|region| region.kind == RegionKind::PageHashes) {
        let made = super::rebuild::page_hashes(new, region.pages);
        if new.get(region.new.offset as usize..region.new.end() as usize) != Some(&made[..]) {
            region.pages = Pages::default();
        }
    }
    let relocated = |version, bytes: &[u8], layout: &Layout| {
        let (span, pointers) = if let Some(span) = plan.find(RegionKind::BaseRelocations, version) {
            (span, scan::base_relocations(&mut &*bytes, span, layout).ok()?)
        } else {
            let span = plan.find(RegionKind::Rela, version)?;
            (span, scan::relatives(&mut &*bytes, span, plan.relative, layout).ok()?)
        };
        let value = |pointer: &Relative| {
            bytes.get(pointer.offset as usize..)?.first_chunk::<8>().map(|field| u64::from_le_bytes(*field))
        };
        let blank = pointers.iter().all(|pointer| value(pointer) == Some(0));
        let filled =
            pointers.iter().all(|pointer| value(pointer) == Some(layout.base.wrapping_add(u64::from(pointer.target))));
        let placed = pointers.iter().all(|pointer| {
            let placed = layout.at(pointer.offset);
            placed.is_some_and(|placed| placed.kind.has_pointers() && placed.address(pointer.offset) % 8 == 0)
        });
        ((blank || filled) && placed).then_some((pointers, blank && !filled, span))
    };
    let (old_pointers, new_pointers) =
        (relocated(Version::Old, old, &old_layout), relocated(Version::New, new, &new_layout));
    let Some(((_, old_blank, _), (pointers, new_blank, span))) = old_pointers.zip(new_pointers) else {
        return Plan { relative: 0, ..plan };
    };
    let made = relocations(&plan, &new_layout, &pointers);
    let there = new.get(span.offset as usize..span.end() as usize).unwrap_or_default();
    let others = there.get(made.len()..).unwrap_or_default();
    let mixed = plan.find(RegionKind::Rela, Version::New).is_some()
        && others.chunks_exact(24).any(|entry| entry[8..16] == u64::from(plan.relative).to_le_bytes());
    if !there.starts_with(&made) || mixed {
        return Plan { relative: 0, ..plan };
    }
    Plan { old_blank, new_blank, new_relative: pointers.len() as u32, ..plan }
}

/// Matches the files twice: with references blank, and with references that point where the first matches say.
fn align(
    ours: &Side<'_>,
    theirs: &Side<'_>,
    old_places: &Places,
    new_places: &Places,
    order: &Order,
    threads: NonZeroUsize,
) -> Vec<Found> {
    let advantage = if ours.plan.recall { RECALLED_ADVANTAGE } else { ADVANTAGE };
    let find =
        |(old, new): (Vec<u8>, Vec<u8>)| matcher::matches(&old, &new, old_places, new_places, advantage, threads);
    if ours.references.is_empty() {
        return find((ours.normalised().0, theirs.normalised().0));
    }
    let first = find(both(|| image(ours, |_| 0), || image(theirs, |_| 0)));
    let map = AddressMap::new(&place(&first, order), ours.plan, &ours.layout, &theirs.layout);
    drop(first);
    find(both(|| image(ours, |target| map.find(target).0), || image(theirs, |target| target)))
}

/// Does two things at once.
fn both<A: Send, B: Send>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        match first.join() {
            Ok(first) => (first, second),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Returns a file with `token` of the target in every reference.
fn image(side: &Side<'_>, token: impl Fn(u32) -> u32) -> Vec<u8> {
    let (mut image, _) = side.normalised();
    side.references.all(|reference| {
        let field = &mut image[reference.offset as usize..];
        if let Some(target) = super::refs::target_of(&side.layout, reference, field) {
            let token = token(target);
            reference.kind.clear(field);
            let bits = match reference.kind {
                Kind::Branch26 => token >> 2 & 0x03ff_ffff,
                Kind::Page21 => (token >> 12 & 3) << 29 | (token >> 14 & 0x7_ffff) << 5,
                Kind::Low12(shift) => ((token & 0xfff) >> shift) << 10,
                Kind::Low24 => token & 0xff_ffff,
                _ => token,
            };
            for (byte, bits) in field.iter_mut().zip(bits.to_le_bytes()) {
                *byte |= bits;
            }
        }
    });
    image
}

/// Puts matches into decoding order, cut where that order breaks.
fn place(found: &[Found], order: &Order) -> Vec<Match> {
    let mut matches = Vec::with_capacity(found.len());
    for found in found {
        let mut done = 0;
        while done < found.length {
            let new = (found.new + done) as u32;
            let (at, room) = order.rank(new);
            let length = (found.length - done).min(room.max(1) as usize);
            matches.push(Match { at, new, old: (found.old + done) as u32, length: length as u32 });
            done += length;
        }
    }
    matches.sort_unstable_by_key(|found| found.at);
    matches
}

/// Takes out of the matches every field that they could not carry: what is left there is sent as it is.
fn cut(
    found: &[Found],
    (ours, old): (&Side<'_>, &[u8]),
    (theirs, new): (&Side<'_>, &[u8]),
    order: &Order,
) -> Vec<Match> {
    let mut matches = Vec::new();
    for found in place(found, order) {
        let (start, end) = (found.new, found.new + found.length);
        let mut holes: Vec<(u32, u32)> = Vec::new();
        ours.references.within(found.old, found.old + found.length, |reference| {
            let at = found.new + (reference.offset - found.old);
            if !carries(reference, at, (&ours.layout, old), (&theirs.layout, new)) {
                holes.push((at, at + reference.kind.width()));
            }
        });
        let first = theirs.pointers.partition_point(|pointer| pointer.offset + 8 <= start);
        for pointer in theirs.pointers[first..].iter().take_while(|pointer| pointer.offset < end) {
            let inside = pointer.offset >= start && pointer.offset + 8 <= end;
            let known = |old: u32| ours.pointers.binary_search_by_key(&old, |pointer| pointer.offset).is_ok();
            if !inside || !known(found.old + (pointer.offset - start)) {
                holes.push((pointer.offset, pointer.offset + 8));
            }
        }
        holes.sort_unstable();
        let mut at = start;
        for (from, to) in holes.into_iter().chain([(end, end)]) {
            let from = from.clamp(at, end);
            if from > at {
                matches.push(Match {
                    at: found.at + (at - start),
                    new: at,
                    old: found.old + (at - start),
                    length: from - at,
                });
            }
            at = to.clamp(at, end);
        }
    }
    matches
}

/// Returns the parts of matches that agree to the last byte: what lies between is recalled, which knows where it belongs.
fn exact(matches: &[Match], old: &[u8], new: &[u8]) -> Vec<Match> {
    let mut runs = Vec::with_capacity(matches.len());
    for found in matches {
        let (theirs, ours) = (&old[found.old as usize..], &new[found.new as usize..]);
        let mut at = 0;
        while at < found.length {
            let rest = at as usize..found.length as usize;
            let same = theirs[rest.clone()].iter().zip(&ours[rest]).take_while(|(a, b)| a == b).count() as u32;
            if same >= MIN_RUN {
                runs.push(Match { at: found.at + at, new: found.new + at, old: found.old + at, length: same });
            }
            at += same + 1;
        }
    }
    runs
}

/// Returns whether the new field, read and written again as this kind of reference, stays the same.
fn carries(reference: Reference, at: u32, (ours, old): (&Layout, &[u8]), (theirs, new): (&Layout, &[u8])) -> bool {
    let old = &old[reference.offset as usize..];
    let (Some(placed), Some(_)) = (theirs.at(at), super::refs::target_of(ours, reference, old)) else {
        return true;
    };
    if reference.kind == Kind::Pointer {
        return true;
    }
    let width = reference.kind.width() as usize;
    let Some(field) = new.get(at as usize..at as usize + width) else {
        return false;
    };
    let mut again = [0; 8];
    again[..width].copy_from_slice(field);
    let Some(target) = reference.kind.target(field, reference.aux, at, placed, theirs.base) else {
        return false;
    };
    reference.kind.clear(&mut again[..width]);
    reference.kind.put(&mut again[..width], target, reference.aux, at, placed, theirs.base);
    again[..width] == *field
}

/// Old bytes that are all looked for when nothing is known about a file: 48 MiB; of longer files every second or third byte.
const DENSE: usize = 48 << 20;
/// Of a program's data every second byte of the old file is looked for: longer matches are found all the same.
const SPARSE: usize = 2;
/// Bytes by which a match under another shift must be better: about what naming it costs, twice over.
const ADVANTAGE: usize = 9;
/// The same where short repetitions are recalled at no cost.
const RECALLED_ADVANTAGE: usize = 32;
/// Agreeing bytes that are worth a match where others are recalled.
const MIN_RUN: u32 = 32;
