//! Any two files, also as programs of each known format: the delta brings the new one back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::{Codec, DiffOptions, diff};

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (format, mut old, mut new) = input;
    let head: &[u8] = match format % 4 {
        0 => b"\x7fELF\x02\x01\x01",
        1 => b"MZ",
        2 => b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
        _ => b"",
    };
    for file in [&mut old, &mut new] {
        let length = head.len().min(file.len());
        file[..length].copy_from_slice(&head[..length]);
    }
    // `diff` applies what it made and compares; anything but success is a fault.
    diff(&old, &new, &DiffOptions { codecs: &[Codec::Refs1], ..DiffOptions::default() }).unwrap();
});
