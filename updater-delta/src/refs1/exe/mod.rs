//! Reads what a program file says of itself. Only the encoder does this.

mod elf;
mod macho;
mod pe;

use super::region::{Plan, Region, RegionKind, Span};

/// A named part of a program file.
#[derive(Clone, Debug)]
pub(super) struct Section {
    name: String,
    kind: RegionKind,
    span: Span,
    /// Name of the section into which this one's offsets point.
    link: Option<String>,
}

/// A program file, as far as it is understood.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Format and processor: only like is compared with like.
    family: (u8, u32),
    base: u64,
    sections: Vec<Section>,
    /// The relocation type whose entries follow from the pointers.
    relative: u32,
    /// Bytes that page hashes cover, and the size of a page as a power of two.
    pages: (u32, u32),
}

/// Returns the plan for a pair of files; one without regions if they are no programs of one family.
pub(crate) fn plan(old: &[u8], new: &[u8]) -> Plan {
    let (Some(old), Some(new)) = (read(old), read(new)) else {
        return Plan::default();
    };
    if old.family != new.family {
        return Plan::default();
    }
    let mut names: Vec<(&str, RegionKind)> = Vec::new();
    for section in new.sections.iter().chain(&old.sections) {
        if !names.iter().any(|&(name, _)| name == section.name) {
            names.push((&section.name, section.kind));
        }
    }
    names.truncate(super::region::MAX_REGIONS);
    let regions = names
        .iter()
        .map(|&(name, kind)| {
            let (old, new) = (old.find(name), new.find(name));
            // A section that means different things in the two files is data.
            let same = old.is_none_or(|old| old.kind == kind) && new.is_none_or(|new| new.kind == kind);
            let pointers = [old, new].iter().flatten().any(|section| section.kind.has_pointers());
            let kind = match (same, pointers) {
                (true, _) => kind,
                (false, true) => RegionKind::Pointers,
                (false, false) => RegionKind::Data,
            };
            let link = new.or(old).and_then(|section| section.link.as_deref());
            let link = link.and_then(|link| names.iter().position(|&(name, _)| name == link)).unwrap_or(usize::MAX);
            Region {
                kind,
                old: old.map_or(Span::default(), |section| section.span),
                new: new.map_or(Span::default(), |section| section.span),
                link: u32::try_from(link).unwrap_or(u32::MAX),
            }
        })
        .collect();
    Plan {
        old_base: old.base,
        new_base: new.base,
        regions,
        relative: new.relative,
        hashed: new.pages.0,
        page_bits: new.pages.1,
        frame_table: true,
        ..Plan::default()
    }
}

impl Program {
    fn find(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

fn read(bytes: &[u8]) -> Option<Program> {
    let mut program = elf::read(bytes).or_else(|| pe::read(bytes)).or_else(|| macho::read(bytes))?;
    // Sections that overlap in the file cannot both be right: the first one counts.
    program.sections.sort_by_key(|section| section.span.offset);
    let mut end = 0;
    program.sections.retain(|section| {
        let fits = section.span.length == 0 || section.span.offset >= end && section.span.end() as usize <= bytes.len();
        end = if fits { end.max(section.span.end()) } else { end };
        fits
    });
    Some(program)
}

/// A number in a file; `None` behind its end.
fn number<const N: usize>(bytes: &[u8], at: u64) -> Option<u64> {
    let field = bytes.get(usize::try_from(at).ok()?..)?.get(..N)?;
    Some(field.iter().rev().fold(0, |known, &byte| known << 8 | u64::from(byte)))
}
