//! Any bytes as a delta's body behind a true header: refused, never beyond the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::doors;

// The lengths of the old and of the new file, the old file, the body.
fuzz_target!(|input: &[u8]| {
    let Some((lengths, rest)) = input.split_first_chunk::<8>() else { return };
    let [old_length, new_length] = [0, 4].map(|at| u32::from_le_bytes(lengths[at..at + 4].try_into().unwrap()));
    let (old, body) = rest.split_at(rest.len().min(old_length as usize));
    doors::apply(old, new_length, body);
});
