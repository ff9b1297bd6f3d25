//! Any two files, also as programs of each known format: the delta brings the new one back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::{DiffOptions, diff};

// The length of the old file, then both.
fuzz_target!(|input: &[u8]| {
    let Some((length, files)) = input.split_first_chunk() else { return };
    let (old, new) = files.split_at(files.len().min(u32::from_le_bytes(*length) as usize));
    // `diff` applies what it made and compares; anything but success is a fault.
    diff(old, new, &DiffOptions::default()).unwrap();
});
