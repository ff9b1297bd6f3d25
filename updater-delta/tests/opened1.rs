//! Codec `opened-1` from the outside: files that are compressed inside, and everything that must be refused.
//!
//! The fixtures were written by zlib through Python: a gzip file, a PNG image, and a zip archive whose members use another level, strategy or
//! memory each (`old.zip`, `new.zip`: fast, lazy, fixed codes only, no repetitions, repetitions of distance one, stored, small blocks).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::io::Cursor;
use updater_delta::{ApplyError, ApplyLimits, Codec, DiffOptions, Header, apply, diff};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/opened-1/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn run(old: &[u8], patch: &[u8], limits: &ApplyLimits) -> (Result<(), ApplyError>, Vec<u8>) {
    let mut new = Vec::new();
    let result = apply(Codec::Opened1, &mut Cursor::new(old), patch, &mut new, limits);
    (result.map(drop), new)
}

/// Returns the delta, which must be an opened one, and the length of the one between the files as they are.
fn make(old: &[u8], new: &[u8]) -> (Vec<u8>, usize) {
    let delta = diff(old, new, &DiffOptions::default()).unwrap();
    assert_eq!(delta.codec(), Codec::Opened1);
    let (result, made) = run(old, delta.bytes(), &ApplyLimits::exactly(new.len() as u64));
    result.unwrap();
    assert!(made == new, "the result differs");
    let closed = diff(old, new, &DiffOptions { codecs: &[Codec::Refs1], ..DiffOptions::default() }).unwrap();
    (delta.into_bytes(), closed.bytes().len())
}

#[test]
fn files_that_are_compressed_inside_are_compared_by_what_they_contain() {
    for (kind, factor) in [("gz", 5), ("zip", 3)] {
        let (delta, closed) = make(&fixture(&format!("old.{kind}")), &fixture(&format!("new.{kind}")));
        assert!(delta.len() * factor < closed, "{kind}: {} of {closed}", delta.len());
    }
    let (delta, closed) = make(&fixture("old.png"), &fixture("new.png"));
    assert!(delta.len() < closed, "{} of {closed}", delta.len());
}

/// What the delta inside may take is all that the opened streams leave, not a fixed part of it.
#[test]
fn a_delta_is_made_for_every_client_that_has_the_memory_to_apply_it() {
    for kind in ["gz", "zip"] {
        let (old, new) = (fixture(&format!("old.{kind}")), fixture(&format!("new.{kind}")));
        let (delta, _) = make(&old, &new);
        let applies = |memory| run(&old, &delta, &ApplyLimits::exactly(new.len() as u64).memory(memory)).0.is_ok();
        let (mut refused, mut enough) = (0, 64 << 20);
        assert!(applies(enough), "{kind}");
        while enough - refused > 1 {
            let middle = u64::midpoint(refused, enough);
            if applies(middle) { enough = middle } else { refused = middle }
        }
        let made = |apply_memory| diff(&old, &new, &DiffOptions { apply_memory, ..DiffOptions::default() }).unwrap();
        assert_eq!(made(enough).bytes(), delta, "{kind}: {enough} bytes");
        assert_ne!(made(enough - 1).bytes(), delta, "{kind}: {refused} bytes");
    }
}

#[test]
fn a_release_that_does_not_know_the_codec_gets_another() {
    let codecs = &[Codec::Refs1];
    let delta =
        diff(&fixture("old.gz"), &fixture("new.gz"), &DiffOptions { codecs, ..DiffOptions::default() }).unwrap();
    assert_eq!(delta.codec(), Codec::Refs1);
}

#[test]
fn streams_that_are_none_stay_closed() {
    let (old, mut new) = (fixture("old.gz"), fixture("new.gz"));
    // A block of the kind that does not exist, at the head of the stream.
    new[10] |= 6;
    assert_eq!(diff(&old, &new, &DiffOptions::default()).unwrap().codec(), Codec::Refs1);
    let (old, mut new) = (fixture("old.zip"), fixture("new.zip"));
    let directory = new.len() - 6;
    new[directory..directory + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(diff(&old, &new, &DiffOptions::default()).unwrap().codec(), Codec::Refs1);
}

#[test]
fn every_truncation_and_an_extra_byte_is_refused() {
    let (old, new) = (fixture("old.gz"), fixture("new.gz"));
    let (patch, _) = make(&old, &new);
    let limits = ApplyLimits::exactly(new.len() as u64);
    for length in 0..patch.len() {
        let (result, _) = run(&old, &patch[..length], &limits);
        assert!(
            matches!(
                result,
                Err(ApplyError::Truncated { .. } | ApplyError::Corrupt { .. } | ApplyError::OldLength { .. })
            ),
            "{length}: {result:?}"
        );
    }
    let longer = [&patch[..], b"\0"].concat();
    assert!(matches!(run(&old, &longer, &limits).0, Err(ApplyError::TrailingData)));
}

#[test]
fn memory_is_limited() {
    let (old, new) = (fixture("old.gz"), fixture("new.gz"));
    let (patch, _) = make(&old, &new);
    let limits = ApplyLimits::exactly(new.len() as u64);
    assert!(matches!(run(&old, &patch, &limits.memory(1 << 20)).0, Err(ApplyError::Memory { limit: 0x10_0000, .. })));
}

#[test]
fn an_opened_delta_holds_no_other() {
    let (old, new) = (fixture("old.gz"), fixture("new.gz"));
    let (patch, _) = make(&old, &new);
    let (head, body) = patch.split_at(Header::LENGTH);
    // No stream, then the same delta again.
    let nested = [head, &[0], head, body].concat();
    let result = run(&old, &nested, &ApplyLimits::exactly(new.len() as u64)).0;
    assert!(matches!(&result, Err(ApplyError::UnknownCodec { id }) if id == "opened-1"), "{result:?}");
}

/// No file of so few bytes opens to so many, so that nothing is begun.
#[test]
fn an_opened_file_of_an_impossible_length_is_refused() {
    let (old, new) = (fixture("old.gz"), fixture("new.gz"));
    let (delta, _) = make(&old, &new);
    let inner = 1 + delta[1..].windows(8).position(|bytes| bytes == &delta[..8]).unwrap();
    let most = new.len() as u64 * 1100 + (64 << 10);
    for length in [most + 1, u64::MAX] {
        let mut delta = delta.clone();
        delta[inner + 64..inner + 72].copy_from_slice(&length.to_le_bytes());
        let (result, _) = run(&old, &delta, &ApplyLimits::exactly(new.len() as u64));
        assert!(matches!(result, Err(ApplyError::NewLength { length: got }) if got == length), "{result:?}");
    }
}

/// What an earlier build made must be applied for ever. `UPDATE_FIXTURES=1` writes what is not there yet.
#[test]
fn committed_deltas_are_applied() {
    for kind in ["gz", "png", "zip"] {
        let (old, new) = (fixture(&format!("old.{kind}")), fixture(&format!("new.{kind}")));
        let path = format!("{}/tests/fixtures/opened-1/{kind}.delta", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_FIXTURES").is_some() && !std::path::Path::new(&path).exists() {
            std::fs::write(&path, make(&old, &new).0).unwrap();
        }
        let (result, made) = run(&old, &std::fs::read(&path).unwrap(), &ApplyLimits::exactly(new.len() as u64));
        result.unwrap();
        assert!(made == new, "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Damaged archives: what is still a stream is opened, the rest is not, and the result is right.
    #[test]
    fn damaged_archives_round_trip(
        kind in prop::sample::select(vec!["gz", "png", "zip"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (mut old, mut new) = (fixture(&format!("old.{kind}")), fixture(&format!("new.{kind}")));
        for (index, (at, value)) in damage.into_iter().enumerate() {
            let file = if index % 2 == 0 { &mut old } else { &mut new };
            let at = at.index(file.len());
            file[at] = value;
        }
        let delta = diff(&old, &new, &DiffOptions::default()).unwrap();
        let mut made = Vec::new();
        let limits = ApplyLimits::exactly(new.len() as u64);
        apply(delta.codec(), &mut Cursor::new(&old), delta.bytes(), &mut made, &limits).unwrap();
        prop_assert!(made == new);
    }

    /// A damaged delta never panics, never writes beyond the limit, and never passes with another file: what it says may have become
    /// another way to the same bytes, such as a match somewhere else in the old file.
    #[test]
    fn a_damaged_delta_never_passes(flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4)) {
        let (old, new) = (fixture("old.zip"), fixture("new.zip"));
        let mut patch = fixture("zip.delta");
        for (at, flip) in flips {
            let at = at.index(patch.len() - Header::LENGTH) + Header::LENGTH;
            patch[at] ^= flip;
        }
        prop_assume!(patch != fixture("zip.delta"));
        let (result, made) = run(&old, &patch, &ApplyLimits::at_most(new.len() as u64).memory(64 << 20));
        prop_assert!(made.len() <= new.len());
        prop_assert!(result.is_err() || made == new);
    }
}
