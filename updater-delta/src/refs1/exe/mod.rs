//! Reads what a program file says of itself. Only the encoder does this.

mod elf;
mod fat;
mod macho;
mod pe;

use super::region::{Hash, MAX_REGIONS, Pages, Plan, Region, RegionKind, Slice as Origin, Span};

/// A named part of a program file.
#[derive(Clone, Debug)]
struct Section {
    name: String,
    kind: RegionKind,
    span: Span,
    /// Name of the section into which this one's offsets point.
    link: Option<String>,
    /// What the page hashes in it are of.
    pages: Pages,
}

impl Section {
    const fn new(name: String, kind: RegionKind, span: Span) -> Self {
        Self { name, kind, span, link: None, pages: NO_PAGES }
    }
}

/// A file with one program or, for several processors, more.
#[derive(Clone, Debug)]
struct Program {
    /// Only like is compared with like.
    format: Format,
    base: u64,
    /// The relocation type whose entries follow from the pointers.
    relative: u32,
    slices: Vec<Slice>,
}

/// The program for one processor.
#[derive(Clone, Debug)]
struct Slice {
    machine: u64,
    sections: Vec<Section>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Elf,
    Pe,
    MachO,
}

/// Returns the plan for a pair of files; one without regions if they are no programs of one format for one processor.
pub(crate) fn plan(old: &[u8], new: &[u8]) -> Plan {
    let (Some(old), Some(new)) = (read(old), read(new)) else {
        return Plan::default();
    };
    if old.format != new.format {
        return Plan::default();
    }
    let mut plan =
        Plan { old_base: old.base, new_base: new.base, relative: new.relative, frame_table: true, ..Plan::default() };
    let mut origin = 0;
    for new in &new.slices {
        let Some(old) = old.slices.iter().find(|old| old.machine == new.machine) else {
            continue;
        };
        let end = old.end().zip(new.end()).and_then(|(old, new)| old.max(new).checked_next_multiple_of(WINDOW));
        let Some(next) = end else { return Plan::default() };
        if origin > 0 {
            plan.slices.push(Origin { first: plan.regions.len() as u32, origin });
        }
        let regions = pair(&old.sections, &new.sections, plan.regions.len());
        for mut region in regions {
            for span in [&mut region.old, &mut region.new].into_iter().filter(|span| **span != Span::default()) {
                let Some(address) = span.address.checked_add(origin) else { return Plan::default() };
                span.address = address;
            }
            plan.regions.push(region);
        }
        let Some(sum) = origin.checked_add(next) else { return Plan::default() };
        origin = sum;
    }
    if plan.regions.is_empty() || plan.regions.len() > MAX_REGIONS {
        return Plan::default();
    }
    plan
}

/// Puts sections of one name together; the regions get numbers from `first` on.
fn pair(old: &[Section], new: &[Section], first: usize) -> Vec<Region> {
    let mut names: Vec<(&str, RegionKind)> = Vec::new();
    for section in new.iter().chain(old) {
        if !names.iter().any(|&(name, _)| name == section.name) {
            names.push((&section.name, section.kind));
        }
    }
    names.truncate(MAX_REGIONS.saturating_sub(first));
    let find = |sections: &'_ [Section], name: &str| sections.iter().position(|section| section.name == name);
    let region = |&(name, kind): &(&str, RegionKind)| {
        let (old, new) = (find(old, name).map(|at| &old[at]), find(new, name).map(|at| &new[at]));
        // A section that means different things in the two files is data.
        let same = old.is_none_or(|old| old.kind == kind) && new.is_none_or(|new| new.kind == kind);
        let pointers = [old, new].iter().flatten().any(|section| section.kind.has_pointers());
        let kind = match (same, pointers) {
            (true, _) => kind,
            (false, true) => RegionKind::Pointers,
            (false, false) => RegionKind::Data,
        };
        let link = new.or(old).and_then(|section| section.link.as_deref());
        let link = link.and_then(|link| names.iter().position(|&(name, _)| name == link));
        Region {
            kind,
            old: old.map_or(Span::default(), |section| section.span),
            new: new.map_or(Span::default(), |section| section.span),
            link: link.and_then(|link| u32::try_from(first + link).ok()).unwrap_or(u32::MAX),
            pages: new.map_or(Pages::default(), |section| section.pages),
        }
    };
    names.iter().map(region).collect()
}

impl Slice {
    /// Returns the end of all its addresses; `None` if there are too many.
    fn end(&self) -> Option<u32> {
        let end = |section: &Section| section.span.address.checked_add(section.span.length.max(section.span.extent));
        self.sections.iter().map(end).try_fold(0, |most, end| Some(most.max(end?)))
    }
}

fn read(bytes: &[u8]) -> Option<Program> {
    let mut program =
        elf::read(bytes).or_else(|| pe::read(bytes)).or_else(|| macho::read(bytes)).or_else(|| fat::read(bytes))?;
    // Sections that overlap in the file cannot both be right: the first one counts.
    let mut end = 0;
    program.slices.sort_by_key(|slice| slice.sections.iter().map(|section| section.span.offset).min());
    for slice in &mut program.slices {
        // What is not in the file, and only has addresses, may be said to lie behind the file's end.
        for span in slice.sections.iter_mut().map(|section| &mut section.span).filter(|span| span.length == 0) {
            span.offset = 0;
        }
        slice.sections.sort_by_key(|section| section.span.offset);
        slice.sections.retain(|section| {
            let span = section.span;
            let fits = span.length == 0
                || span.offset >= end
                    && span.offset.checked_add(span.length).is_some_and(|end| end as usize <= bytes.len());
            end = if fits { end.max(span.end()) } else { end };
            fits
        });
    }
    Some(program)
}

/// A number in a file; `None` behind its end.
fn number<const N: usize>(bytes: &[u8], at: u64) -> Option<u64> {
    let field = bytes.get(usize::try_from(at).ok()?..)?.get(..N)?;
    Some(field.iter().rev().fold(0, |known, &byte| known << 8 | u64::from(byte)))
}

const NO_PAGES: Pages = Pages { start: 0, covered: 0, bits: 0, hash: Hash::Sha256 };
/// Programs in one file get addresses of their own, each from a multiple of this many bytes on.
const WINDOW: u32 = 1 << 20;
