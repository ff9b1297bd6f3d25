//! Doors to what is not public, for the fuzz targets alone: each asserts what must hold of any bytes.

#![expect(clippy::expect_used, reason = "a finding is told by a panic")]

use super::coder::{Decoder, Encoder};
use super::refs::{Reference, References, target_of};
use super::region::{Layout, Pages, Plan, Region, RegionKind, Span, Version};
use super::scan::{self, Relative};
use super::source::{Normal, Source};
use super::{exe, x86};
use crate::{ApplyLimits, Codec, Header};
use sha2::{Digest as _, Sha256};
use std::io;

/// Reads two files as programs: the plan must hold, survive its coding, and lead to references inside the file at a bounded price.
///
/// Returns how many references were found in both.
///
/// # Panics
/// If any of this does not hold.
pub fn programs(old: &[u8], new: &[u8]) -> usize {
    let plan = exe::plan(old, new);
    let (old_length, new_length) = (old.len() as u32, new.len() as u32);
    let mut encoder = Encoder::new();
    let coded = plan.code(&mut encoder, old_length, new_length);
    assert_eq!(coded.as_ref(), Some(&plan), "a plan that its own files do not allow");
    let bytes = encoder.finish();
    let decoded = Plan::default().code(&mut Decoder::new(&bytes[..]), old_length, new_length);
    assert_eq!(decoded, Some(plan.clone()));
    [(old, Version::Old), (new, Version::New)].map(|(bytes, version)| found(bytes, &plan, version)).iter().sum()
}

/// Applies a body behind a true header for a new file of this many bytes, which is refused at the end at the latest: no file has the digest
/// that the header promises.
///
/// # Panics
/// If it is accepted, or if more is written than was allowed.
pub fn apply(old: &[u8], new_length: u32, body: &[u8]) {
    let new_length = u64::from(new_length).min(MOST_MADE);
    let header = Header {
        codec: Codec::Refs1,
        old_length: old.len() as u64,
        old_sha256: Sha256::digest(old).into(),
        new_length,
        new_sha256: [0; 32],
    };
    let patch = [&header.to_bytes()[..], body].concat();
    let mut made = Vec::new();
    let limits = ApplyLimits::exactly(new_length).memory(64 << 20);
    let result = crate::apply(header.codec, &mut io::Cursor::new(old), &patch[..], &mut made, &limits);
    assert!(made.len() as u64 <= new_length, "{} bytes of {new_length}", made.len());
    result.expect_err("a file that nobody promised");
}

/// Takes bytes for AArch64 code that is loaded at `address`, and returns how many references are found.
///
/// # Panics
/// If one lies outside, or does not hold what it is said to hold.
pub fn arm64(code: &[u8], address: u32) -> usize {
    let span = Span { offset: 0, length: code.len() as u32, address: address & !3, extent: 0 };
    let region = Region { kind: RegionKind::Arm64, old: span, new: span, link: 0, pages: Pages::default() };
    let plan = Plan { regions: vec![region], ..Plan::default() };
    found(code, &plan, Version::New)
}

/// Cuts bytes into x86-64 instructions, and returns how many there are.
///
/// # Panics
/// If an instruction has no length, or what follows the start of its distance decides on its shape.
pub fn x86_64(code: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while let Some(shape) = x86::shape(&code[at..]) {
        let (length, field) = (usize::from(shape.length), usize::from(shape.field));
        assert!((1..=x86::MAX_LENGTH).contains(&length));
        if field != 0 {
            assert!(length >= field + 4);
            assert_eq!(x86::shape(&code[at..at + field]), Some(shape), "bytes of the distance were looked at");
        }
        at += length;
        count += 1;
        if at > code.len() {
            break;
        }
    }
    assert!(at + x86::MAX_LENGTH >= code.len(), "stopped early");
    count
}

/// Finds the references of one file.
fn found(bytes: &[u8], plan: &Plan, version: Version) -> usize {
    let layout = Layout::new(plan, version);
    let mut counted = Counted { bytes, read: 0 };
    let mut image = bytes.to_vec();
    let mut normal = Normal::new(bytes, plan, &layout, version).expect("memory does not fail");
    normal.read(0, &mut image).expect("memory does not fail");
    let pointers: Vec<Relative> = std::mem::take(&mut normal.pointers);
    counted.bytes = &image;
    let references: References =
        scan::references(&mut counted, &layout, &pointers, usize::MAX, |_| {}).expect("memory does not fail");
    assert!(counted.read <= bytes.len() as u64 * MOST_READ + 4096, "{} bytes were read", counted.read);
    let (mut end, mut count) = (0, 0);
    references.all(|reference: Reference| {
        let width = reference.kind.width();
        assert!(reference.offset >= end, "references overlap");
        let placed = layout.at(reference.offset).expect("references lie in regions");
        assert!(placed.span.end() - reference.offset >= width, "a reference leaves its region");
        end = reference.offset + width;
        let field = &image[reference.offset as usize..];
        if let Some(target) = target_of(&layout, reference, field) {
            let mut again = field[..width as usize].to_vec();
            reference.kind.clear(&mut again);
            reference.kind.put(&mut again, target, reference.aux, reference.offset, placed, layout.base);
            let read = reference.kind.target(&again, reference.aux, reference.offset, placed, layout.base);
            assert!(
                read.is_some_and(|read| reference.kind.same(read, target)),
                "{reference:?} does not hold its target"
            );
        }
        count += 1;
    });
    count
}

/// A file that counts what is read of it.
struct Counted<'a> {
    bytes: &'a [u8],
    read: u64,
}

impl Source for Counted<'_> {
    fn read(&mut self, offset: u32, buffer: &mut [u8]) -> io::Result<()> {
        self.read += buffer.len() as u64;
        self.bytes.read(offset, buffer)
    }
}

/// How often a byte of the file may be read on average: fields of four bytes overlap in tables that claim each other's place.
const MOST_READ: u64 = 48;

/// Most bytes that a fuzzed delta may make: 1 MiB, so that one input does not take seconds.
const MOST_MADE: u64 = 1 << 20;
