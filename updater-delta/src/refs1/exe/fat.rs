//! Mach-O files with a program for each of several processors.

use super::{Format, Program, RegionKind, macho, number};

/// Reads the table of programs, and each of them.
pub(super) fn read(bytes: &[u8]) -> Option<Program> {
    // This table alone is big endian.
    let big = |at: u64| number::<4>(bytes, at).map(|value| u64::from((value as u32).swap_bytes()));
    if big(0)? != MAGIC {
        return None;
    }
    let mut base = None;
    let mut slices = Vec::new();
    for index in 0..big(4)?.min(MAX_SLICES) {
        let at = 8 + index * 20;
        let (offset, size) = (big(at + 8)?, big(at + 12)?);
        let slice = bytes.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(size).ok()?)?;
        // What is not understood is data.
        let Some(mut program) = macho::read(slice) else { continue };
        // The base address belongs to the file: programs are linked for the same one.
        if *base.get_or_insert(program.base) != program.base {
            return None;
        }
        let offset = u32::try_from(offset).ok()?;
        for section in program.slices.iter_mut().flat_map(|slice| &mut slice.sections) {
            section.span.offset = section.span.offset.checked_add(offset)?;
            // Of other kinds the pages are none, wherever they would begin.
            if section.kind == RegionKind::PageHashes {
                section.pages.start = section.pages.start.checked_add(offset)?;
            }
        }
        slices.append(&mut program.slices);
    }
    Some(Program { format: Format::MachO, base: base?, relative: 0, slices })
}

const MAGIC: u64 = 0xcafe_babe;
/// Programs that are looked at: there are two kinds of processors, of a few variants each.
const MAX_SLICES: u64 = 8;
