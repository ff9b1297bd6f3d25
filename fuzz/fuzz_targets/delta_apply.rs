//! Any bytes as a delta's body behind a true header: refused or applied, never beyond the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use updater_delta::{ApplyLimits, Codec, DiffOptions, Header, apply, diff};

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (old, body) = input;
    let codec = Codec::Refs1;
    let new_length = (body.len() * 7) % 5000;
    let new = vec![7; new_length];
    let Ok(delta) = diff(&old, &new, &DiffOptions { codecs: &[codec], ..DiffOptions::default() }) else { return };
    let patch = [&delta.bytes()[..Header::LENGTH], &body].concat();
    let mut made = Vec::new();
    let result = apply(codec, &mut Cursor::new(&old), &patch[..], &mut made, &ApplyLimits::at_most(5000).memory(64 << 20));
    assert!(made.len() <= new_length);
    assert!(result.is_err() || made == new);
});
