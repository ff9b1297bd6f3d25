//! Finds the references of a file, region by region, from its bytes and the delta's plan alone.

mod arm64;
mod elf;
mod go;
mod macho;
mod pe;
mod x86;

pub(super) use elf::{frame_table, relatives};
pub(super) use pe::base_relocations;

use super::refs::{Kind, Part, Reference, References};
use super::region::{Layout, RegionKind};
use super::source::Source;
use std::io;

/// A pointer that the loader relocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relative {
    /// Where in the file it is.
    pub(crate) offset: u32,
    /// The address that it holds.
    pub(crate) target: u32,
}

/// References in any order, while they are found: no more than there is memory for.
struct List {
    references: Vec<Reference>,
    most: usize,
    /// Whether there were more.
    is_full: bool,
    /// Fields that may still be looked at: tables that overlap each other must not be gone through again and again.
    steps: u64,
}

impl List {
    fn push(&mut self, reference: Reference) {
        if self.references.len() < self.most {
            self.references.push(reference);
        } else {
            self.is_full = true;
        }
    }

    /// Counts a field that is looked at, and returns whether it may be.
    const fn step(&mut self) -> bool {
        let allowed = self.steps > 0 && !self.is_full;
        self.steps = self.steps.saturating_sub(1);
        allowed
    }
}

/// Finds all references, keeping at most `most` of those that are not found in order. `instruction` is told where instructions begin.
pub(crate) fn references(
    source: &mut impl Source,
    layout: &Layout,
    pointers: &[Relative],
    most: usize,
    mut instruction: impl FnMut(u32),
) -> io::Result<References> {
    let mut all = References::default();
    let mut taken = Vec::new();
    for placed in &layout.spans {
        match placed.kind {
            RegionKind::X86 => all.push(x86::code(source, layout, placed, &mut taken, &mut instruction)?),
            RegionKind::Arm64 => all.push(arm64::code(source, layout, placed, &mut instruction)?),
            _ => {}
        }
    }
    // What is found in one region may lie in another.
    let bytes: u64 = layout.spans.iter().map(|placed| u64::from(placed.span.length)).sum();
    let mut found = List { references: Vec::new(), most, is_full: false, steps: bytes / FIELD };
    x86::tables(source, layout, taken, &mut found)?;
    for placed in &layout.spans {
        match placed.kind {
            RegionKind::Functions | RegionKind::FunctionsArm64 => pe::unwind(source, layout, placed, &mut found)?,
            RegionKind::Unwind => macho::unwind(source, placed, &mut found)?,
            RegionKind::GoFunctions => go::functions(source, layout, placed, &mut found)?,
            _ => {}
        }
    }
    if found.is_full {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let mut found = found.references;
    // Stable: of several at one place the first counts.
    found.sort_by_key(|reference| reference.offset);
    let (mut found, mut pointers) = (found.into_iter().peekable(), pointers.iter().peekable());
    for placed in layout.spans.iter().filter(|placed| !matches!(placed.kind, RegionKind::X86 | RegionKind::Arm64)) {
        let span = placed.span;
        let mut part = Part::new(span.offset);
        // Everything in front of a place: of those at one place the relocated pointer counts, then what was found from elsewhere.
        let mut until = |part: &mut Part, end: u32| loop {
            let pointer = pointers.peek().map_or(end, |pointer| pointer.offset);
            let other = found.peek().map_or(end, |reference| reference.offset);
            if pointer >= end && other >= end {
                return;
            }
            let next = if pointer <= other {
                pointers.next();
                Some(Reference { offset: pointer, kind: Kind::Pointer, aux: 0 })
            } else {
                found.next()
            };
            if let Some(reference) = next.filter(|reference| reference.offset >= span.offset) {
                part.push(reference);
            }
        };
        let mut visit = |reference: Reference| {
            until(&mut part, reference.offset.saturating_add(1));
            part.push(reference);
        };
        match placed.kind {
            RegionKind::EhFrame => elf::frames(source, placed, |frame| frame.references(&mut visit))?,
            RegionKind::Symbols => elf::symbols(source, layout, placed, &mut visit)?,
            RegionKind::Functions | RegionKind::FunctionsArm64 => pe::functions(source, placed, &mut visit)?,
            RegionKind::EhFrame64 => macho::frames64(source, placed, &mut visit)?,
            RegionKind::Names => macho::names(source, layout, placed, &mut visit)?,
            RegionKind::Words | RegionKind::Chained | RegionKind::ChainedAddresses => {
                macho::words(source, layout, placed, &mut visit)?;
            }
            _ => {}
        }
        until(&mut part, span.end());
        all.push(part);
    }
    all.finish();
    Ok(all)
}

/// Bytes of a file per field that is looked at because something leads there: fields are that long, and lie beside each other.
const FIELD: u64 = 4;
/// Bytes of code looked at together: 64 KiB.
const WINDOW: usize = 64 << 10;
