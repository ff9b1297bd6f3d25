//! ELF, 64 bits, little endian: x86-64 and AArch64.

use super::super::region::{RegionKind, Span};
use super::{Format, Program, Section, Slice, number};

/// Reads the section table of an ELF file.
pub(super) fn read(bytes: &[u8]) -> Option<Program> {
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let machine = number::<2>(bytes, 18)?;
    let (code, relative) = match machine {
        62 => (RegionKind::X86, 8),
        183 => (RegionKind::Arm64, 1027),
        _ => return None,
    };
    let table = number::<8>(bytes, 40)?;
    let count = number::<2>(bytes, 60)?;
    let names = number::<2>(bytes, 62)?;
    let header = |index: u64| table.checked_add(index * 64);
    let names = number::<8>(bytes, header(names)?.checked_add(24)?)?;
    let mut sections = Vec::new();
    let mut raw = Vec::new();
    for index in 0..count {
        let at = header(index)?;
        let entry = Entry {
            name: name(bytes, names.checked_add(number::<4>(bytes, at)?)?)?,
            kind: number::<4>(bytes, at.checked_add(4)?)?,
            flags: number::<8>(bytes, at + 8)?,
            address: number::<8>(bytes, at + 16)?,
            offset: number::<8>(bytes, at + 24)?,
            size: number::<8>(bytes, at + 32)?,
            link: number::<4>(bytes, at + 40)?,
        };
        raw.push(entry);
    }
    // What is not loaded gets addresses behind all that is, so that offsets into it can be followed too.
    let loaded = raw
        .iter()
        .filter(|entry| entry.flags & ALLOC != 0)
        .map(|entry| entry.address.saturating_add(entry.size))
        .max()?;
    let unloaded = loaded.checked_add(0xfff)? & !0xfff;
    for entry in &raw {
        let is_loaded = entry.flags & ALLOC != 0;
        let blank = entry.kind == NOBITS;
        if entry.size == 0 || entry.kind == 0 || blank && (!is_loaded || entry.flags & TLS != 0) {
            continue;
        }
        let address = if is_loaded { entry.address } else { unloaded.checked_add(entry.offset)? };
        let span = Span {
            offset: u32::try_from(entry.offset).ok()?,
            length: if blank { 0 } else { u32::try_from(entry.size).ok()? },
            address: u32::try_from(address).ok()?,
            extent: if blank { u32::try_from(entry.size).ok()? } else { 0 },
        };
        span.offset.checked_add(span.length)?;
        let kind = match (entry.kind, entry.name.as_str()) {
            _ if is_loaded && entry.flags & EXECUTE != 0 => code,
            (RELA, ".rela.dyn") => RegionKind::Rela,
            (SYMTAB | DYNSYM, _) => RegionKind::Symbols,
            (_, ".eh_frame") => RegionKind::EhFrame,
            (_, ".gopclntab") => RegionKind::GoFunctions,
            (_, ".eh_frame_hdr") => RegionKind::EhFrameHdr,
            (_, ".rodata") if machine == 62 => RegionKind::Constants,
            _ => RegionKind::Data,
        };
        let link = usize::try_from(entry.link).ok().and_then(|link| raw.get(link)).map(|linked| linked.name.clone());
        sections.push(Section { link, ..Section::new(entry.name.clone(), kind, span) });
    }
    pointers(bytes, &mut sections, relative);
    Some(Program { format: Format::Elf, base: 0, relative, slices: vec![Slice { machine, sections }] })
}

/// Marks the sections with pointers that the loader relocates.
fn pointers(bytes: &[u8], sections: &mut [Section], relative: u32) {
    let Some(table) = sections.iter().find(|section| section.kind == RegionKind::Rela).map(|section| section.span)
    else {
        return;
    };
    let mut hint = 0;
    for index in 0..u64::from(table.length) / 24 {
        let at = u64::from(table.offset) + index * 24;
        let (Some(address), Some(kind)) = (number::<8>(bytes, at), number::<8>(bytes, at + 8)) else {
            return;
        };
        if kind != u64::from(relative) {
            continue;
        }
        let inside = |section: &Section| {
            address.checked_sub(u64::from(section.span.address)).is_some_and(|at| at < u64::from(section.span.length))
        };
        if !sections.get(hint).is_some_and(inside) {
            let Some(found) = sections.iter().position(inside) else {
                continue;
            };
            hint = found;
        }
        if sections[hint].kind == RegionKind::Data {
            sections[hint].kind = RegionKind::Pointers;
        }
    }
}

struct Entry {
    name: String,
    kind: u64,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u64,
}

fn name(bytes: &[u8], at: u64) -> Option<String> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let name = rest.iter().take(MAX_NAME).take_while(|&&byte| byte != 0).copied().collect();
    String::from_utf8(name).ok()
}

/// Longest section name in bytes that is read: longer ones are cut, which at worst joins two sections.
const MAX_NAME: usize = 64;
const SYMTAB: u64 = 2;
const RELA: u64 = 4;
const NOBITS: u64 = 8;
const DYNSYM: u64 = 11;
const ALLOC: u64 = 2;
const EXECUTE: u64 = 4;
const TLS: u64 = 0x400;
