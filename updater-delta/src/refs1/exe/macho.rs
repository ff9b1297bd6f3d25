//! Mach-O for arm64 and x86-64 (macOS).

use super::super::region::{Hash, Pages, RegionKind, Span};
use super::{Format, Program, Section, Slice, number};

/// Reads the load commands of a Mach-O file.
pub(super) fn read(bytes: &[u8]) -> Option<Program> {
    let machine = number::<4>(bytes, 4)?;
    let code = match machine {
        ARM64 => RegionKind::Arm64,
        X86_64 => RegionKind::X86,
        _ => return None,
    };
    if number::<4>(bytes, 0)? != MAGIC {
        return None;
    }
    let count = number::<4>(bytes, 16)?;
    let commands = || {
        let mut at = 32;
        (0..count).map_while(move |_| {
            let here = at;
            at += number::<4>(bytes, here + 4)?.max(8);
            Some((here, number::<4>(bytes, here)?))
        })
    };
    let chained = commands().find(|(_, command)| *command == CHAINED_FIXUPS);
    let words = match chained.map(|(at, _)| chain_format(bytes, at)) {
        None => RegionKind::Words,
        Some(Some(ADDRESSES)) => RegionKind::ChainedAddresses,
        Some(_) => RegionKind::Chained,
    };
    let mut sections = Vec::new();
    let mut base = None;
    for (at, command) in commands() {
        match command {
            SEGMENT => {
                let (address, size) = (number::<8>(bytes, at + 24)?, number::<8>(bytes, at + 32)?);
                let (offset, stored) = (number::<8>(bytes, at + 40)?, number::<8>(bytes, at + 48)?);
                if stored == 0 {
                    continue;
                }
                let base = *base.get_or_insert(address);
                for index in 0..number::<4>(bytes, at + 64)? {
                    sections.extend(section(bytes, at + 72 + index * 80, base, code, words)?);
                }
                if name(bytes, at + 8)? == LINK_EDIT {
                    let span = Span {
                        offset: u32::try_from(offset).ok()?,
                        length: u32::try_from(stored).ok()?,
                        address: u32::try_from(address.checked_sub(base)?).ok()?,
                        extent: u32::try_from(size).ok()?,
                    };
                    span.offset.checked_add(span.length)?;
                    span.address.checked_add(span.length)?;
                    sections.push(Section::new(LINK_EDIT.to_owned(), RegionKind::Data, span));
                }
            }
            SYMBOLS => {
                let field =
                    |index: u64| number::<4>(bytes, at + 8 + index * 4).and_then(|value| u32::try_from(value).ok());
                let (symbols, count, strings, length) = (field(0)?, field(1)?, field(2)?, field(3)?);
                carve(&mut sections, "strings", RegionKind::Data, (strings, length));
                if let Some(table) =
                    carve(&mut sections, "symbols", RegionKind::Names, (symbols, count.checked_mul(16)?))
                {
                    table.link = Some("strings".to_owned());
                }
            }
            SIGNATURE => {
                for (pages, span) in number::<4>(bytes, at + 8).map(|blob| page_hashes(bytes, blob)).unwrap_or_default()
                {
                    let name = format!("page hashes {:?}", pages.hash);
                    let hashes = carve(&mut sections, &name, RegionKind::PageHashes, (span.offset, span.length));
                    if let Some(hashes) = hashes {
                        hashes.pages = pages;
                        // Nothing points there.
                        hashes.span.address = 0;
                    }
                }
            }
            _ => {}
        }
    }
    Some(Program { format: Format::MachO, base: base?, relative: 0, slices: vec![Slice { machine, sections }] })
}

/// Cuts a section of its own out of the one that holds it, whose name the part behind it gets too.
fn carve<'a>(
    sections: &'a mut Vec<Section>,
    name: &str,
    kind: RegionKind,
    (offset, length): (u32, u32),
) -> Option<&'a mut Section> {
    let end = offset.checked_add(length)?;
    let around = |section: &Section| section.span.offset <= offset && end <= section.span.offset + section.span.length;
    let around = sections.iter_mut().find(|section| section.kind == RegionKind::Data && around(section))?;
    if length == 0 {
        return None;
    }
    let whole = around.span;
    let part =
        |offset: u32, length| Span { offset, length, address: whole.address + (offset - whole.offset), extent: 0 };
    around.span = part(whole.offset, offset - whole.offset);
    let rest = Section::new(format!("{} behind {name}", around.name), RegionKind::Data, part(end, whole.end() - end));
    sections.push(rest);
    sections.push(Section::new(name.to_owned(), kind, part(offset, length)));
    sections.last_mut()
}

/// Returns how the words of the first chain are made up.
fn chain_format(bytes: &[u8], command: u64) -> Option<u64> {
    let header = number::<4>(bytes, command + 8)?;
    let image = header.checked_add(number::<4>(bytes, header + 4)?)?;
    let starts = (0..number::<4>(bytes, image)?.min(MAX_SEGMENTS)).find_map(|segment| {
        let offset = number::<4>(bytes, image + 4 + segment * 4)?;
        (offset != 0).then_some(image + offset)
    })?;
    number::<2>(bytes, starts + 6)
}

fn section(bytes: &[u8], at: u64, base: u64, code: RegionKind, words: RegionKind) -> Option<Option<Section>> {
    let (section, segment) = (name(bytes, at)?, name(bytes, at + 16)?);
    let (address, size) = (number::<8>(bytes, at + 32)?, number::<8>(bytes, at + 40)?);
    let (offset, flags) = (number::<4>(bytes, at + 48)?, number::<4>(bytes, at + 64)?);
    let blank = matches!(flags & 0xff, 1 | 12 | 18);
    if size == 0 || blank && flags & 0xff == 18 {
        return Some(None);
    }
    let kind = match (segment.as_str(), section.as_str()) {
        _ if flags & INSTRUCTIONS != 0 => code,
        (_, "__eh_frame") => RegionKind::EhFrame64,
        (_, "__unwind_info") => RegionKind::Unwind,
        ("__TEXT", "__const") if code == RegionKind::X86 => RegionKind::Constants,
        (_, "__gopclntab") => RegionKind::GoFunctions,
        ("__TEXT", _) => RegionKind::Data,
        _ if blank => RegionKind::Data,
        _ => words,
    };
    let (offset, size) = (u32::try_from(offset).ok()?, u32::try_from(size).ok()?);
    let address = u32::try_from(address.checked_sub(base)?).ok()?;
    let span = if blank {
        Span { offset: 0, length: 0, address, extent: size }
    } else {
        offset.checked_add(size)?;
        Span { offset, length: size, address, extent: 0 }
    };
    address.checked_add(size)?;
    Some(Some(Section::new(format!("{segment},{section}"), kind, span)))
}

/// Finds the page hashes of a signature: what they are of, and where they are.
fn page_hashes(bytes: &[u8], blob: u64) -> Vec<(Pages, Span)> {
    let big = |at: u64| number::<4>(bytes, at).map(|value| (value as u32).swap_bytes());
    if big(blob) != Some(SUPER_BLOB) {
        return Vec::new();
    }
    let count = u64::from(big(blob + 8).unwrap_or(0).min(MAX_BLOBS));
    let directory = |index| {
        let directory = blob + u64::from(big(blob + 16 + index * 8)?);
        if big(directory)? != CODE_DIRECTORY {
            return None;
        }
        let (first, count, covered) = (big(directory + 16)?, big(directory + 28)?, big(directory + 32)?);
        let [size, kind, _, bits] = *number::<4>(bytes, directory + 36)?.to_le_bytes().first_chunk()?;
        let hash = match (size, kind) {
            (32, 2) => Hash::Sha256,
            (20, 1) => Hash::Sha1,
            _ => return None,
        };
        if !(12..=15).contains(&bits) || u64::from(covered).div_ceil(1 << bits) != u64::from(count) {
            return None;
        }
        let offset = u32::try_from(directory.checked_add(u64::from(first))?).ok()?;
        let length = count.checked_mul(hash.length())?;
        if offset < covered || offset.checked_add(length)? as usize > bytes.len() {
            return None;
        }
        let pages = Pages { start: 0, covered, bits: u32::from(bits), hash };
        Some((pages, Span { offset, length, address: 0, extent: 0 }))
    };
    (0..count).filter_map(directory).collect()
}

fn name(bytes: &[u8], at: u64) -> Option<String> {
    let name = bytes.get(usize::try_from(at).ok()?..)?.get(..16)?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
}

const MAGIC: u64 = 0xfeed_facf;
const ARM64: u64 = 0x0100_000c;
const X86_64: u64 = 0x0100_0007;
const LINK_EDIT: &str = "__LINKEDIT";
const SYMBOLS: u64 = 0x2;
const SEGMENT: u64 = 0x19;
const SIGNATURE: u64 = 0x1d;
const CHAINED_FIXUPS: u64 = 0x8000_0034;
/// Chains of which each word holds an address with the base added; others hold it without.
const ADDRESSES: u64 = 2;
/// Segments whose chains are looked at.
const MAX_SEGMENTS: u64 = 16;
/// Sections of nothing but instructions.
const INSTRUCTIONS: u64 = 0x8000_0000;
const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
/// Parts of a signature that are looked at.
const MAX_BLOBS: u32 = 16;
