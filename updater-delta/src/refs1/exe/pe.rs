//! PE for x86-64 and AArch64 (Windows).

use super::super::region::{RegionKind, Span};
use super::{Format, Program, Section, Slice, number};

/// Reads the section table of a PE file.
pub(super) fn read(bytes: &[u8]) -> Option<Program> {
    if bytes.get(..2)? != b"MZ" {
        return None;
    }
    let header = number::<4>(bytes, 0x3c)?;
    if number::<4>(bytes, header)? != 0x4550 || number::<2>(bytes, header + 24)? != PE64 {
        return None;
    }
    let machine = number::<2>(bytes, header + 4)?;
    let (code, functions) = match machine {
        X86_64 => (RegionKind::X86, RegionKind::Functions),
        ARM64 => (RegionKind::Arm64, RegionKind::FunctionsArm64),
        _ => return None,
    };
    let count = number::<2>(bytes, header + 6)?;
    let table = header + 24 + number::<2>(bytes, header + 20)?;
    let base = number::<8>(bytes, header + 24 + 24)?;
    let mut sections = Vec::new();
    for index in 0..count {
        let at = table + index * 40;
        let name = bytes.get(usize::try_from(at).ok()?..)?.get(..8)?;
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
        let flags = number::<4>(bytes, at + 36)?;
        let (extent, address) = (number::<4>(bytes, at + 8)? as u32, number::<4>(bytes, at + 12)? as u32);
        let (length, offset) = (number::<4>(bytes, at + 16)? as u32, number::<4>(bytes, at + 20)? as u32);
        offset.checked_add(length)?;
        let kind = match name.as_str() {
            _ if flags & EXECUTE != 0 => code,
            ".rdata" => RegionKind::Image,
            ".data" => RegionKind::Pointers,
            ".pdata" => functions,
            ".reloc" => RegionKind::BaseRelocations,
            _ => RegionKind::Pointers,
        };
        sections.push(Section::new(name, kind, Span { offset, length, address, extent }));
    }
    Some(Program { format: Format::Pe, base, relative: DIR64, slices: vec![Slice { machine, sections }] })
}

const X86_64: u64 = 0x8664;
const ARM64: u64 = 0xaa64;
const PE64: u64 = 0x20b;
const EXECUTE: u64 = 0x2000_0000;
/// The type of a relocated 64-bit pointer.
const DIR64: u32 = 10;
