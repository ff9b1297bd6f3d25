//! Codec `refs-1` from the outside: round trips over programs and other data, and everything that must be refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "programs/elf.rs"]
mod programs;

use programs::linked;
use proptest::prelude::*;
use std::io::{Cursor, Write as _};
use std::sync::OnceLock;
use updater_delta::{ApplyError, ApplyLimits, Codec, DiffOptions, Header, Reading, apply, diff, inspect};

const CODEC: Codec = Codec::Refs1;

fn make(old: &[u8], new: &[u8]) -> Vec<u8> {
    let delta = diff(old, new, &DiffOptions { codecs: &[CODEC], ..DiffOptions::default() }).unwrap();
    assert_eq!(delta.codec(), CODEC);
    delta.into_bytes()
}

fn run(old: &[u8], patch: &[u8], limits: &ApplyLimits) -> (Result<(), ApplyError>, Vec<u8>) {
    let mut new = Vec::new();
    let result = apply(CODEC, &mut Cursor::new(old), patch, &mut new, limits);
    (result.map(|applied| assert_eq!(applied.new_length, new.len() as u64)), new)
}

fn round_trip(old: &[u8], new: &[u8]) -> usize {
    let patch = make(old, new);
    let (result, got) = run(old, &patch, &ApplyLimits::exactly(new.len() as u64));
    result.unwrap();
    assert!(got == new, "the result differs");
    patch.len()
}

/// A real program: this crate's own.
fn program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| std::fs::read(env!("CARGO_BIN_EXE_updater-delta")).unwrap())
}

#[test]
fn moved_code_costs_next_to_nothing() {
    let (old, new) = (linked(4000, 0, 0), linked(4000, 1200, 64));
    let size = round_trip(&old, &new);
    // Some 20,000 references change; bsdiff pays for each.
    let mut plain = Vec::new();
    bsdiff::diff(&old, &new, &mut plain).unwrap();
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 9);
    encoder.write_all(&plain).unwrap();
    let bsdiff = encoder.finish().unwrap().len();
    assert!(size < 2000, "{size} bytes");
    assert!(size * 4 < bsdiff, "{size} against {bsdiff}");
    let inspection = inspect(&make(&old, &new)).unwrap();
    for kind in ["X86", "Pointers", "Rela", "EhFrame", "EhFrameHdr"] {
        assert!(inspection.regions.iter().any(|region| region.kind == kind), "{kind}: {:?}", inspection.regions);
    }
}

#[test]
fn a_real_program_round_trips_against_its_own_variants() {
    let old = program();
    let mut new = old.to_vec();
    let middle = new.len() / 3;
    new.splice(middle..middle, (0..5000_u32).map(|i| ((i * i) >> 3) as u8));
    for at in (0..new.len()).step_by(40_001) {
        new[at] ^= 0x11;
    }
    let size = round_trip(old, &new);
    assert!(size < new.len() / 20, "{size} of {}", new.len());
    assert!(round_trip(old, &old[..old.len() / 2]) < 20_000, "truncated");
    assert!(round_trip(old, old) < 2000, "the same");
}

#[test]
fn damaged_section_tables_are_plain_data() {
    let (old, new) = (linked(300, 0, 0), linked(300, 100, 48));
    let table = new.len() - 64 * 6;
    for at in (table..new.len()).step_by(3) {
        for value in [0, 0x7f, 0xff] {
            let (mut old, mut new) = (old.clone(), new.clone());
            let shift = at - table;
            let old_at = old.len() - 64 * 6 + shift;
            new[at] = value;
            round_trip(&old, &new);
            old[old_at] = value;
            round_trip(&old, &new);
        }
    }
}

#[test]
fn empty_and_small_files_round_trip() {
    for (old, new) in [(&b""[..], &b""[..]), (b"", b"new"), (b"old", b""), (b"x", b"x"), (b"0123456789", b"9876543210")]
    {
        round_trip(old, new);
    }
}

#[test]
fn another_old_file_is_refused_before_anything_is_written() {
    let (old, new) = (linked(300, 0, 0), linked(300, 100, 48));
    let patch = make(&old, &new);
    let mut other = old.clone();
    other[4097] ^= 1;
    let (result, got) = run(&other, &patch, &ApplyLimits::exactly(new.len() as u64));
    assert!(matches!(result, Err(ApplyError::OldDigest { .. })));
    assert!(got.is_empty());
    let (result, _) = run(&old[1..], &patch, &ApplyLimits::exactly(new.len() as u64));
    assert!(matches!(result, Err(ApplyError::OldLength { .. })));
}

#[test]
fn every_truncation_and_an_extra_byte_is_refused() {
    let (old, new) = (linked(300, 0, 0), linked(300, 100, 48));
    let patch = make(&old, &new);
    let limits = ApplyLimits::exactly(new.len() as u64);
    for length in 0..patch.len() {
        let (result, _) = run(&old, &patch[..length], &limits);
        assert!(
            matches!(result, Err(ApplyError::Truncated { .. } | ApplyError::Corrupt { .. })),
            "{length}: {result:?}"
        );
    }
    let longer = [&patch[..], b"\0"].concat();
    assert!(matches!(run(&old, &longer, &limits).0, Err(ApplyError::TrailingData)));
}

#[test]
fn memory_is_limited() {
    let (old, new) = (linked(3000, 0, 0), linked(3000, 100, 48));
    let patch = make(&old, &new);
    let limits = ApplyLimits::exactly(new.len() as u64).memory(1 << 20);
    assert!(matches!(run(&old, &patch, &limits).0, Err(ApplyError::Memory { limit: 0x10_0000, .. })));
    let limits = ApplyLimits::exactly(new.len() as u64).memory(16 << 20);
    assert!(run(&old, &patch, &limits).0.is_ok());
}

#[test]
fn deltas_do_not_depend_on_the_number_of_threads() {
    let (old, new) = (linked(2000, 0, 0), linked(2000, 700, 160));
    let with = |threads| {
        let threads = std::num::NonZeroUsize::new(threads).unwrap();
        diff(&old, &new, &DiffOptions { threads, codecs: &[CODEC], ..DiffOptions::default() }).unwrap()
    };
    assert_eq!(with(1), with(2));
    assert_eq!(with(1), with(7));
}

/// What an earlier build made must be applied for ever. `UPDATE_FIXTURES=1` writes what is not there yet.
#[test]
fn committed_deltas_are_applied() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/refs-1"));
    for (name, at, grow) in [("moved", 31, 80), ("same", 0, 0)] {
        let (old, new) = (linked(60, 0, 0), linked(60, at, grow));
        let path = folder.join(name).with_extension("delta");
        if std::env::var_os("UPDATE_FIXTURES").is_some() && !path.exists() {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(&path, make(&old, &new)).unwrap();
        }
        let patch = std::fs::read(&path).unwrap();
        let (result, got) = run(&old, &patch, &ApplyLimits::exactly(new.len() as u64));
        result.unwrap();
        assert!(got == new, "{name}");
    }
}

/// Found by `programs_round_trip`: two damaged bytes describe programs that are put together otherwise than taken apart.
#[test]
fn programs_whose_headers_mislead_are_plain_data() {
    let (mut old, mut new) = (linked(200, 0, 0), linked(200, 0, 0));
    let at = |seed: u64, length: usize| ((u128::from(seed) * length as u128) >> 64) as usize;
    let (first, second) = (at(26_805_634_401_127_952, old.len()), at(15_004_453_856_031_370_575, new.len()));
    old[first] = 0;
    new[second] = 1;
    round_trip(&old, &new);
    let reading =
        |old, new| diff(old, new, &DiffOptions { codecs: &[CODEC], ..DiffOptions::default() }).unwrap().reading();
    assert_eq!(reading(&old, &new), Reading::Data, "the check of the first attempt failed");
    assert_eq!(reading(&linked(200, 0, 0), &linked(200, 50, 64)), Reading::Programs);
}

/// Words that come again in other places, and numbers that change: text as people and programs edit it.
#[test]
fn edited_text_costs_what_is_new_in_it() {
    let word = |n: u32| {
        format!(
            "{}{}",
            ["up", "re", "de", "in"][n as usize % 4],
            ["date", "lease", "liver", "stall"][n as usize / 4 % 4]
        )
    };
    let line = |i: u32, salt: u32| {
        let text: Vec<String> = (0..9).map(|k| word((i * 7 + k * 13 + salt) ^ (i >> 3))).collect();
        format!("{i:05} {} = {}\n", text.join(" "), i.wrapping_mul(2_654_435_761) % 100_000)
    };
    let old: String = (0..6000).map(|i| line(i, 0)).collect();
    let new: String = (0..6000).map(|i| line(i, u32::from(i % 50 == 0))).collect();
    let (old, new) = (old.as_bytes(), new.as_bytes());
    // 120 lines have new words; each of their nine words is one of sixteen, four bits of news.
    assert!(round_trip(old, new) < 104 + 120 * 12, "{}", round_trip(old, new));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Any two files, related by edits or not at all.
    #[test]
    fn edits_round_trip(
        old in prop::collection::vec(0_u8..8, 0..3000),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
    ) {
        let mut new = old.clone();
        for (at, removed, inserted) in edits {
            let at = at.index(new.len() + 1);
            let end = (at + removed).min(new.len());
            new.splice(at..end, inserted);
        }
        round_trip(&old, &new);
    }

    /// Programs that were linked again, then damaged anywhere.
    #[test]
    fn programs_round_trip(
        at in 0_u32..200,
        grow in 0_u32..500,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..30),
    ) {
        let (mut old, mut new) = (linked(200, 0, 0), linked(200, at, grow));
        for (index, (at, value)) in damage.into_iter().enumerate() {
            let file = if index % 3 == 0 { &mut old } else { &mut new };
            let at = at.index(file.len());
            file[at] = value;
        }
        round_trip(&old, &new);
    }

    /// A damaged delta is refused, or what was damaged means nothing (an address of a region that nothing refers to); it never
    /// panics and never writes beyond the limit.
    #[test]
    fn a_damaged_delta_never_passes(flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4), front in any::<bool>()) {
        static PAIR: OnceLock<(Vec<u8>, Vec<u8>, Vec<u8>)> = OnceLock::new();
        let (old, new, patch) = PAIR.get_or_init(|| {
            let (old, new) = (linked(200, 0, 0), linked(200, 77, 160));
            let patch = make(&old, &new);
            (old, new, patch)
        });
        let mut patch = patch.clone();
        let range = if front { Header::LENGTH..(Header::LENGTH + 200).min(patch.len()) } else { 0..patch.len() };
        for (at, flip) in flips {
            let at = range.start + at.index(range.len());
            patch[at] ^= flip;
        }
        let (result, got) = run(old, &patch, &ApplyLimits::at_most(new.len() as u64).memory(32 << 20));
        prop_assert!(got.len() <= new.len());
        prop_assert!(result.is_err() || got == *new, "accepted, and not the promised file");
    }

    /// Bytes that are no delta at all, behind a true header.
    #[test]
    fn noise_never_passes(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let (old, new) = (linked(20, 0, 0), linked(20, 7, 16));
        let patch = [&make(&old, &new)[..Header::LENGTH], &noise].concat();
        let (result, got) = run(&old, &patch, &ApplyLimits::at_most(new.len() as u64).memory(32 << 20));
        prop_assert!(result.is_err());
        prop_assert!(got.len() <= new.len());
    }
}
