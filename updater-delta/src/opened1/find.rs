//! Finds deflate streams in files of known kinds. Only the making of deltas needs it: where they are is sent.

use super::view::Span;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};

/// A deflate stream and what it is called in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: Vec<u8>,
    pub(super) span: Span,
}

/// Returns the streams of a file, in order and apart from each other.
pub(super) fn streams(file: &[u8]) -> Vec<Found> {
    let mut found = match file {
        [0x1f, 0x8b, 8, ..] => gzip(file).into_iter().collect(),
        [0x89, b'P', b'N', b'G', ..] => png(file).into_iter().collect(),
        _ => zip(file).unwrap_or_default(),
    };
    found.retain(|found| found.span.length > 0 && found.span.offset + found.span.length <= file.len() as u64);
    found.sort_by_key(|found| found.span.offset);
    let mut end = 0;
    found.retain(|found| {
        let apart = found.span.offset >= end;
        end = if apart { found.span.offset + found.span.length } else { end };
        apart
    });
    found
}

/// Returns the pairs of streams that are worth opening, old and new: other bytes under the same name. Names may differ in the numbers of their
/// folders, which are often named after the version, or in all numbers where only one name is like that.
pub(super) fn changed<'f>(old: (&[u8], &'f [Found]), new: (&[u8], &'f [Found])) -> Vec<(&'f Found, &'f Found)> {
    let digest = |file: &[u8], found: &Found| {
        <[u8; 32]>::from(Sha256::digest(&file[found.span.offset as usize..][..found.span.length as usize]))
    };
    let known: HashSet<[u8; 32]> = old.1.iter().map(|found| digest(old.0, found)).collect();
    let mut by_stem: [HashMap<Vec<u8>, Vec<&Found>>; 3] = Default::default();
    for (level, names) in by_stem.iter_mut().enumerate() {
        old.1.iter().for_each(|found| names.entry(stem(&found.name, level)).or_default().push(found));
    }
    let partner = |found: &Found| {
        let alike = by_stem.iter().enumerate().find_map(|(level, names)| names.get(&stem(&found.name, level)))?;
        if let [only] = alike[..] { Some(only) } else { None }
    };
    let candidates = new.1.iter().filter(|found| !known.contains(&digest(new.0, found)));
    candidates.filter_map(|found| Some((partner(found)?, found))).collect()
}

/// Returns a name as it is (0), without the digits in its folders (1), or without any (2).
fn stem(name: &[u8], level: usize) -> Vec<u8> {
    let folder = match level {
        0 => 0,
        1 => name.iter().rposition(|&byte| byte == b'/').unwrap_or(0),
        _ => name.len(),
    };
    let kept = name.iter().enumerate().filter(|&(at, byte)| at >= folder || !byte.is_ascii_digit());
    kept.map(|(_, &byte)| byte).collect()
}

/// RFC 1952: one member that reaches to the end of the file.
fn gzip(file: &[u8]) -> Option<Found> {
    let flags = *file.get(3)?;
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16::from_le_bytes(*file.get(at..)?.first_chunk()?));
    }
    for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
        at += file.get(at..)?.iter().position(|&byte| byte == 0)? + 1;
    }
    at += usize::from(flags & 2);
    let end = file.len().checked_sub(8)?;
    let length = end.checked_sub(at)? as u64;
    Some(Found { name: Vec::new(), span: Span { offset: at as u64, length } })
}

/// PNG, 4.1 and 10.1: the contents of the only IDAT chunk, without the two bytes of zlib before it and the four behind.
fn png(file: &[u8]) -> Option<Found> {
    let mut at = 8;
    let mut found = None;
    while let Some(head) = file.get(at..at + 8) {
        let length = u32::from_be_bytes(*head.first_chunk()?) as usize;
        if &head[4..] == b"IDAT" {
            if found.is_some() {
                return None;
            }
            let span = Span { offset: at as u64 + 10, length: (length as u64).checked_sub(6)? };
            found = Some(Found { name: Vec::new(), span });
        }
        at = at.checked_add(length)?.checked_add(12)?;
    }
    found
}

/// APPNOTE 4.3: the deflated members that the central directory lists.
fn zip(file: &[u8]) -> Option<Vec<Found>> {
    let half = |at: usize| file.get(at..)?.first_chunk().map(|field| usize::from(u16::from_le_bytes(*field)));
    let word = |at: usize| file.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field));
    // The end record: 22 bytes and a comment of up to 64 KiB.
    let from = file.len().saturating_sub(22 + 0xffff);
    let end = (from..file.len().checked_sub(21)?).rev().find(|&at| word(at) == Some(0x0605_4b50))?;
    let mut at = word(end + 16)? as usize;
    let mut found = Vec::new();
    for _ in 0..half(end + 10)? {
        if word(at)? != 0x0201_4b50 {
            return None;
        }
        let (flags, method) = (half(at + 8)?, half(at + 10)?);
        let (packed, local) = (word(at + 20)?, word(at + 42)? as usize);
        let name = half(at + 28)?;
        // Bit 0: encrypted.
        if method == 8 && flags & 1 == 0 && word(local) == Some(0x0403_4b50) {
            let offset = (local + 30 + half(local + 26)? + half(local + 28)?) as u64;
            let name = file.get(at + 46..at + 46 + name)?.to_vec();
            found.push(Found { name, span: Span { offset, length: packed.into() } });
        }
        at += 46 + name + half(at + 30)? + half(at + 32)?;
    }
    Some(found)
}
