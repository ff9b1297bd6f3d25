//! Codec `bsdiff-1` from the outside: round trips, and everything that must be refused.
#![cfg(feature = "encode")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::io::{self, Cursor, Write};
use updater_delta::{ApplyError, ApplyLimits, Codec, DiffError, DiffOptions, Header, NewLength, apply, diff};

const CODEC: Codec = Codec::Bsdiff1;
const OPTIONS: fn() -> DiffOptions<'static> = || DiffOptions { codecs: &[CODEC], ..DiffOptions::default() };

fn make(old: &[u8], new: &[u8]) -> Vec<u8> {
    let delta = diff(old, new, &OPTIONS()).unwrap();
    assert_eq!(delta.codec(), CODEC);
    delta.into_bytes()
}

fn run(old: &[u8], patch: &[u8], limits: &ApplyLimits) -> (Result<(), ApplyError>, Vec<u8>) {
    let mut new = Vec::new();
    let result = apply(CODEC, &mut Cursor::new(old), patch, &mut new, limits);
    (result.map(|applied| assert_eq!(applied.new_length, new.len() as u64)), new)
}

/// A pair of files with much in common, as releases have.
fn pair() -> (Vec<u8>, Vec<u8>) {
    let old: Vec<u8> = (0..20_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 12).to_le_bytes()).collect();
    let mut new = old[30_000..].to_vec();
    new.extend(&old[..20_000]);
    new.splice(500..600, *b"inserted");
    for byte in new.iter_mut().step_by(997) {
        *byte = byte.wrapping_add(1);
    }
    (old, new)
}

/// Packs a hand-made control stream behind a true header.
fn forged(old: &[u8], new: &[u8], operations: &[([i64; 3], &[u8])]) -> Vec<u8> {
    let mut patch = make(old, new)[..Header::LENGTH].to_vec();
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 6);
    for (control, data) in operations {
        for number in control {
            let sign = if *number < 0 { 1 << 63 } else { 0 };
            encoder.write_all(&(number.unsigned_abs() | sign).to_le_bytes()).unwrap();
        }
        encoder.write_all(data).unwrap();
    }
    patch.extend(encoder.finish().unwrap());
    patch
}

#[test]
fn similar_files_make_a_small_delta() {
    let (old, new) = pair();
    let patch = make(&old, &new);
    assert!(patch.len() < new.len() / 20, "{} bytes", patch.len());
    let (result, got) = run(&old, &patch, &ApplyLimits::exactly(new.len() as u64));
    result.unwrap();
    assert_eq!(got, new);
}

#[test]
fn empty_files_round_trip() {
    for (old, new) in [(&b""[..], &b""[..]), (b"", b"new"), (b"old", b""), (b"x", b"x")] {
        let (result, got) = run(old, &make(old, new), &ApplyLimits::exactly(new.len() as u64));
        result.unwrap();
        assert_eq!(got, new);
    }
}

#[test]
fn another_old_file_is_refused_before_anything_is_written() {
    let (old, new) = pair();
    let patch = make(&old, &new);
    let limits = ApplyLimits::exactly(new.len() as u64);
    let mut other = old.clone();
    other[7] ^= 1;
    let (result, got) = run(&other, &patch, &limits);
    assert!(matches!(result, Err(ApplyError::OldDigest { .. })));
    assert!(got.is_empty());
    let (result, _) = run(&old[1..], &patch, &limits);
    assert!(matches!(result, Err(ApplyError::OldLength { expected: 80_000, got: 79_999 })));
}

#[test]
fn the_caller_limits_length_memory_and_codec() {
    let (old, new) = pair();
    let patch = make(&old, &new);
    let length = new.len() as u64;
    assert!(
        matches!(run(&old, &patch, &ApplyLimits::exactly(length + 1)).0, Err(ApplyError::NewLength { length: l }) if l == length)
    );
    assert!(matches!(run(&old, &patch, &ApplyLimits::at_most(length - 1)).0, Err(ApplyError::NewLength { .. })));
    assert!(run(&old, &patch, &ApplyLimits::at_most(length)).0.is_ok());
    let (result, got) = run(&old, &patch, &ApplyLimits { new_length: NewLength::AtMost(length), memory: 200 << 10 });
    assert!(matches!(result, Err(ApplyError::Memory { limit: 204_800, .. })), "{result:?}");
    assert!(got.is_empty());
    let refused = diff(&old, &new, &DiffOptions { codecs: &[], ..DiffOptions::default() });
    assert!(matches!(refused, Err(DiffError::NoCodec { .. })));
    let refused = diff(&old, &new, &DiffOptions { memory: 1000, ..OPTIONS() });
    assert!(matches!(refused, Err(DiffError::Memory { limit: 1000, .. })));
}

#[test]
fn every_truncation_and_every_extra_byte_is_refused() {
    let (old, new) = (
        b"the quick brown fox jumps over the lazy dog".repeat(9),
        b"the quick brown ox jumped over the lazy dog".repeat(9),
    );
    let patch = make(&old, &new);
    let limits = ApplyLimits::exactly(new.len() as u64);
    for length in 0..patch.len() {
        let (result, _) = run(&old, &patch[..length], &limits);
        assert!(matches!(result, Err(ApplyError::Truncated { .. })), "{length}: {result:?}");
    }
    let longer = [&patch[..], b"\0"].concat();
    assert!(matches!(run(&old, &longer, &limits).0, Err(ApplyError::TrailingData)));
}

#[test]
fn forged_operations_are_refused() {
    let (old, new) = (&b"old file"[..], &b"NEW"[..]);
    let limits = ApplyLimits::exactly(3);
    let refusal = |operations: &[([i64; 3], &[u8])]| run(old, &forged(old, new, operations), &limits).0.unwrap_err();
    assert!(run(old, &forged(old, new, &[([0, 3, 0], b"NEW")]), &limits).0.is_ok());
    assert!(matches!(refusal(&[([-1, 3, 0], b"NEW")]), ApplyError::Corrupt { what: "an impossible length", at: 0 }));
    assert!(matches!(refusal(&[([0, 4, 0], b"NEWS")]), ApplyError::Corrupt { what: "an impossible length", at: 0 }));
    assert!(matches!(refusal(&[([0, i64::MAX, 0], b"")]), ApplyError::Corrupt { what: "an impossible length", at: 0 }));
    assert!(matches!(
        refusal(&[([0, 1, -9], b"N"), ([2, 0, 0], b"EW")]),
        ApplyError::OldRange { offset: -9, length: 2, old_length: 8 }
    ));
    assert!(matches!(
        refusal(&[([0, 1, 7], b"N"), ([2, 0, 0], b"EW")]),
        ApplyError::OldRange { offset: 7, length: 2, old_length: 8 }
    ));
    assert!(matches!(
        refusal(&[([0, 0, i64::MAX], b""), ([1, 0, 0], b"N")]),
        ApplyError::OldRange { offset: i64::MAX, .. }
    ));
    assert!(matches!(
        refusal(&[([0, 1, i64::MAX], b"N"), ([0, 1, i64::MAX], b"E")]),
        ApplyError::Corrupt { what: "an impossible position", at: 2 }
    ));
    assert!(matches!(refusal(&[([0, 3, 0], b"new")]), ApplyError::NewDigest { .. }));
    assert!(matches!(refusal(&[([0, 3, 0], b"NEW"), ([0, 0, 0], b"")]), ApplyError::TrailingData));
}

#[test]
fn a_bomb_of_empty_operations_ends() {
    let (old, new) = (&b"old file"[..], &b"NEW"[..]);
    let patch = forged(old, new, &vec![([0, 0, 0], &b""[..]); 1_000_000]);
    let (result, _) = run(old, &patch, &ApplyLimits::exactly(3));
    assert!(matches!(result, Err(ApplyError::Corrupt { what: "too many operations", at: 0 })), "{result:?}");
}

#[test]
fn a_full_disk_is_told_with_its_place() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (old, new) = pair();
    let result =
        apply(CODEC, &mut Cursor::new(&old), &make(&old, &new)[..], &mut Full, &ApplyLimits::exactly(new.len() as u64));
    assert!(matches!(result, Err(ApplyError::Write { at: 0, source }) if source.kind() == io::ErrorKind::StorageFull));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any two files, related by edits or not at all.
    #[test]
    fn round_trip(old in prop::collection::vec(0u8..8, 0..3000), edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, prop::collection::vec(any::<u8>(), 0..40)), 0..8)) {
        let mut new = old.clone();
        for (at, removed, inserted) in edits {
            let at = at.index(new.len() + 1);
            let end = (at + removed).min(new.len());
            new.splice(at..end, inserted);
        }
        let (result, got) = run(&old, &make(&old, &new), &ApplyLimits::exactly(new.len() as u64));
        prop_assert!(result.is_ok(), "{:?}", result);
        prop_assert_eq!(got, new);
    }

    /// A damaged delta is refused, or is the same delta in effect; it never panics and never writes beyond the limit.
    #[test]
    fn a_damaged_delta_never_passes(flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6)) {
        let (old, new) = pair();
        let mut patch = make(&old, &new);
        for (at, flip) in flips {
            let at = at.index(patch.len());
            patch[at] ^= flip;
        }
        let (result, got) = run(&old, &patch, &ApplyLimits::at_most(new.len() as u64));
        prop_assert!(got.len() <= new.len());
        prop_assert!(result.is_err() || got == new);
    }
}
