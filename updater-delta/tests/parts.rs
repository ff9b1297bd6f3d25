//! Files that are too long for the memory there is: compared block by block, applied part by part.

use std::io::Cursor;
use updater_delta::{
    ApplyError, ApplyLimits, Codec, Delta, DiffError, DiffOptions, apply, diff, inspect, inspect_with,
};

/// Returns bytes of which no few repeat.
fn noise(mut state: u64, length: usize) -> Vec<u8> {
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(length / 8).flatten().collect()
}

/// Two files of 10 MiB whose halves changed places, with edits; whole they need more memory than there is.
fn pair() -> (Vec<u8>, Vec<u8>) {
    let old = noise(7, 10 << 20);
    let mut new = [&old[5 << 20..], b"between the halves", &old[..5 << 20]].concat();
    (0..new.len()).step_by(99_991).for_each(|at| new[at] ^= 0x55);
    (old, new)
}

fn made(old: &[u8], new: &[u8], memory: u64) -> Result<Delta, DiffError> {
    diff(old, new, &DiffOptions { memory, apply_memory: 40 << 20, ..DiffOptions::default() })
}

fn applied(old: &[u8], delta: &[u8], length: usize) -> Result<Vec<u8>, ApplyError> {
    let mut new = Vec::new();
    let limits = ApplyLimits::exactly(length as u64).memory(40 << 20);
    apply(Codec::Refs1, &mut Cursor::new(old), delta, &mut new, &limits).map(|_| new)
}

#[test]
fn what_moved_far_is_found_and_each_part_applied_within_little_memory() {
    let (old, new) = pair();
    let delta = made(&old, &new, MEMORY).unwrap();
    assert!(delta.bytes().len() < 8 << 10, "{}", delta.bytes().len());
    assert!(applied(&old, delta.bytes(), new.len()).unwrap() == new);
    let inspection = inspect(delta.bytes()).unwrap();
    assert!(inspection.matched > new.len() as u64 - 4096, "{}", inspection.matched);
    assert_eq!(inspection.within((0, new.len() as u64)).1, inspection.matched);
    let costs = inspect_with(&old, delta.bytes()).unwrap().costs.unwrap();
    assert!(costs.elsewhere.bytes > 0 && costs.elsewhere.bytes < delta.bytes().len() as u64);
}

#[test]
fn memory_for_less_than_a_block_is_refused() {
    let (old, new) = pair();
    match made(&old, &new, 64 << 20).unwrap_err() {
        DiffError::Memory { needed, limit } => assert!(needed > limit && limit == 64 << 20),
        other => panic!("{other:?}"),
    }
}

#[test]
fn impossible_parts_are_refused_by_name() {
    let (old, new) = pair();
    let delta = made(&old, &new, MEMORY).unwrap().into_bytes();
    // Behind the header: the kind of body, then of the first part its bytes, place and length in old, and length in new.
    let with = |at: usize, bytes: &[u8]| {
        let mut delta = delta.clone();
        delta[HEADER + at..][..bytes.len()].copy_from_slice(bytes);
        applied(&old, &delta, new.len()).unwrap_err()
    };
    let corrupt = |error: ApplyError| match error {
        ApplyError::Corrupt { what, .. } => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(corrupt(with(0, &[3])), "a body of no known kind");
    assert_eq!(corrupt(with(9, &u64::MAX.to_le_bytes())), "a part from outside the old file");
    assert_eq!(corrupt(with(9, &(old.len() as u64).to_le_bytes())), "a part from outside the old file");
    assert_eq!(corrupt(with(17, &u32::MAX.to_le_bytes())), "a part from outside the old file");
    for length in [0, 1, (1 << 20) - 1, new.len() as u32 + 1, u32::MAX] {
        assert_eq!(corrupt(with(21, &length.to_le_bytes())), "a part of an impossible length", "{length}");
    }
    assert!(matches!(with(1, &0_u64.to_le_bytes()), ApplyError::Truncated { .. }));
    assert!(matches!(with(1, &u64::MAX.to_le_bytes()), ApplyError::TrailingData));
    for length in [HEADER, HEADER + 20, delta.len() - 1] {
        let error = applied(&old, &delta[..length], new.len()).unwrap_err();
        assert!(matches!(error, ApplyError::Truncated { .. }), "{length}: {error:?}");
    }
    let error = applied(&old, &[&delta[..], b"x"].concat(), new.len()).unwrap_err();
    assert!(matches!(error, ApplyError::TrailingData), "{error:?}");
}

/// Enough for blocks of 1 MiB, too little for both files as a whole.
const MEMORY: u64 = 100 << 20;
/// Bytes of the header.
const HEADER: usize = 104;
