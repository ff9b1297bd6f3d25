//! The new file in full, as a body of codec `refs-1`: applied, and everything that must be refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Cursor, Write as _};
use updater_delta::{ApplyError, ApplyLimits, Codec, DiffOptions, Header, Reading, apply, diff, inspect};

/// Returns both files and the delta that packs the new one.
fn packed() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let old: Vec<u8> = (0..2000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let new: Vec<u8> = (0..30_000_u32).flat_map(|i| format!("{} ", i * i % 977).into_bytes()).collect();
    let mut delta = diff(&old, &new, &DiffOptions::default()).unwrap().bytes()[..Header::LENGTH].to_vec();
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(&new).unwrap();
    delta.push(2);
    delta.extend(encoder.finish().unwrap());
    (old, new, delta)
}

fn run(old: &[u8], patch: &[u8], limits: &ApplyLimits) -> (Result<(), ApplyError>, Vec<u8>) {
    let mut new = Vec::new();
    let result = apply(Codec::Refs1, &mut Cursor::new(old), patch, &mut new, limits);
    (result.map(drop), new)
}

#[test]
fn a_file_in_full_is_applied_and_told() {
    let (old, new, delta) = packed();
    let (result, made) = run(&old, &delta, &ApplyLimits::exactly(new.len() as u64));
    result.unwrap();
    assert!(made == new);
    assert_eq!(inspect(&delta).unwrap().reading, Some(Reading::Full));
}

#[test]
fn damage_truncation_and_more_are_refused() {
    let (old, new, delta) = packed();
    let limits = ApplyLimits::exactly(new.len() as u64);
    for length in (Header::LENGTH..delta.len()).step_by(97) {
        let error = run(&old, &delta[..length], &limits).0.unwrap_err();
        assert!(matches!(error, ApplyError::Truncated { .. }), "{length}: {error:?}");
    }
    let error = run(&old, &[&delta[..], b"x"].concat(), &limits).0.unwrap_err();
    assert!(matches!(error, ApplyError::TrailingData), "{error:?}");
    let mut damaged = delta.clone();
    damaged[Header::LENGTH + 3] ^= 1;
    let error = run(&old, &damaged, &limits).0.unwrap_err();
    assert!(matches!(error, ApplyError::Corrupt { what: "its xz stream", .. }), "{error:?}");
    let error = run(&old, &delta, &limits.memory(300 << 10)).0.unwrap_err();
    assert!(matches!(error, ApplyError::Memory { .. }), "{error:?}");
    let mut other = old.clone();
    other[9] ^= 1;
    assert!(matches!(run(&other, &delta, &limits).0, Err(ApplyError::OldDigest { .. })));
}
