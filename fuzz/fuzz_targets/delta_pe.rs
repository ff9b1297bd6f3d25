//! Any two files as PE programs: the plan, and the references that it leads to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::doors;

// The length of the old file, then both.
fuzz_target!(|input: &[u8]| {
    let Some((length, files)) = input.split_first_chunk() else { return };
    let (old, new) = files.split_at(files.len().min(u32::from_le_bytes(*length) as usize));
    doors::programs(old, new);
});
