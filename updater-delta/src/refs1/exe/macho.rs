//! Mach-O for arm64 (macOS).

use super::super::region::{RegionKind, Span};
use super::{Program, Section, number};

/// Reads the load commands of a Mach-O file.
pub(super) fn read(bytes: &[u8]) -> Option<Program> {
    if number::<4>(bytes, 0)? != MAGIC || number::<4>(bytes, 4)? != ARM64 {
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
    let chained = commands().any(|(_, command)| command == CHAINED_FIXUPS);
    let mut sections = Vec::new();
    let mut base = None;
    let mut pages = (0, 0);
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
                    sections.extend(section(bytes, at + 72 + index * 80, base, chained)?);
                }
                if name(bytes, at + 8)? == "__LINKEDIT" {
                    let span = Span {
                        offset: u32::try_from(offset).ok()?,
                        length: u32::try_from(stored).ok()?,
                        address: u32::try_from(address.checked_sub(base)?).ok()?,
                        extent: u32::try_from(size).ok()?,
                    };
                    sections.push(Section { name: "__LINKEDIT".to_owned(), kind: RegionKind::Data, span, link: None });
                }
            }
            SIGNATURE => {
                if let Some((covered, bits, span)) =
                    number::<4>(bytes, at + 8).and_then(|blob| page_hashes(bytes, blob))
                {
                    pages = (covered, bits);
                    // The signature lies inside the last segment, whose data it ends.
                    for section in &mut sections {
                        if section.span.offset < span.offset && section.span.end() > span.offset {
                            section.span.length = span.offset - section.span.offset;
                        }
                    }
                    sections.push(Section {
                        name: "page hashes".to_owned(),
                        kind: RegionKind::PageHashes,
                        span,
                        link: None,
                    });
                }
            }
            _ => {}
        }
    }
    Some(Program { family: (3, ARM64 as u32), base: base?, sections, relative: 0, pages })
}

fn section(bytes: &[u8], at: u64, base: u64, chained: bool) -> Option<Option<Section>> {
    let (section, segment) = (name(bytes, at)?, name(bytes, at + 16)?);
    let (address, size) = (number::<8>(bytes, at + 32)?, number::<8>(bytes, at + 40)?);
    let (offset, flags) = (number::<4>(bytes, at + 48)?, number::<4>(bytes, at + 64)?);
    let blank = matches!(flags & 0xff, 1 | 12 | 18);
    if size == 0 || blank && flags & 0xff == 18 {
        return Some(None);
    }
    let kind = match (segment.as_str(), section.as_str()) {
        _ if flags & INSTRUCTIONS != 0 => RegionKind::Arm64,
        (_, "__eh_frame") => RegionKind::EhFrame64,
        (_, "__unwind_info") => RegionKind::Unwind,
        ("__TEXT", _) => RegionKind::Data,
        _ if blank => RegionKind::Data,
        _ if chained => RegionKind::Chained,
        _ => RegionKind::Words,
    };
    let (offset, size) = (u32::try_from(offset).ok()?, u32::try_from(size).ok()?);
    let address = u32::try_from(address.checked_sub(base)?).ok()?;
    let span = if blank {
        Span { offset: 0, length: 0, address, extent: size }
    } else {
        offset.checked_add(size)?;
        Span { offset, length: size, address, extent: 0 }
    };
    Some(Some(Section { name: format!("{segment},{section}"), kind, span, link: None }))
}

/// Finds the SHA-256 page hashes of a signature: bytes covered, page size as a power of two, and where they are.
fn page_hashes(bytes: &[u8], blob: u64) -> Option<(u32, u32, Span)> {
    let big = |at: u64| number::<4>(bytes, at).map(|value| (value as u32).swap_bytes());
    if big(blob)? != SUPER_BLOB {
        return None;
    }
    for index in 0..u64::from(big(blob + 8)?.min(MAX_BLOBS)) {
        let directory = blob + u64::from(big(blob + 16 + index * 8)?);
        if big(directory)? != CODE_DIRECTORY {
            continue;
        }
        let (first, count, covered) = (big(directory + 16)?, big(directory + 28)?, big(directory + 32)?);
        let [size, kind, _, bits] = number::<4>(bytes, directory + 36)?.to_le_bytes()[..4] else {
            return None;
        };
        if (size, kind) != (32, 2)
            || !(12..=15).contains(&bits)
            || u64::from(covered).div_ceil(1 << bits) != u64::from(count)
        {
            continue;
        }
        let offset = u32::try_from(directory.checked_add(u64::from(first))?).ok()?;
        let length = count.checked_mul(32)?;
        if offset < covered || offset.checked_add(length)? as usize > bytes.len() {
            return None;
        }
        return Some((covered, u32::from(bits), Span { offset, length, address: 0, extent: 0 }));
    }
    None
}

fn name(bytes: &[u8], at: u64) -> Option<String> {
    let name = bytes.get(usize::try_from(at).ok()?..)?.get(..16)?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
}

const MAGIC: u64 = 0xfeed_facf;
const ARM64: u64 = 0x0100_000c;
const SEGMENT: u64 = 0x19;
const SIGNATURE: u64 = 0x1d;
const CHAINED_FIXUPS: u64 = 0x8000_0034;
/// Sections of nothing but instructions.
const INSTRUCTIONS: u64 = 0x8000_0000;
const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
/// Parts of a signature that are looked at.
const MAX_BLOBS: u32 = 16;
