//! Any deflate stream in any of the known wrappings, and any bytes as the body of an opened delta.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use updater_delta::{ApplyLimits, Codec, DiffOptions, Header, apply, diff};

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (way, first, second) = input;
    if way % 2 == 0 {
        let [old, new] = [first, second].map(|stream| wrap(way / 2, &stream));
        // `diff` applies what it made and compares; anything but success is a fault.
        diff(&old, &new, &DiffOptions::default()).unwrap();
        return;
    }
    let (old, body) = (wrap(0, &first), second);
    let new = vec![7; 3000];
    let delta = diff(&old, &new, &DiffOptions { codecs: &[Codec::Refs1], ..DiffOptions::default() }).unwrap();
    // The header of an opened delta between the same files: the other identifier in the same place.
    let mut patch = delta.bytes()[..Header::LENGTH].to_vec();
    patch[8..17].copy_from_slice(b"\x08opened-1");
    patch.extend_from_slice(&body);
    // Behind a stream that is the whole gzip member lies the delta between the opened files.
    patch.extend_from_slice(if way & 2 == 0 { &[] } else { delta.bytes() });
    let mut made = Vec::new();
    let result = apply(Codec::Opened1, &mut Cursor::new(&old), &patch[..], &mut made, &ApplyLimits::at_most(3000).memory(64 << 20));
    assert!(made.len() <= 3000);
    assert!(result.is_err() || made == new);
});

/// Puts a deflate stream where it is looked for.
fn wrap(way: u8, stream: &[u8]) -> Vec<u8> {
    if way % 2 == 0 {
        return [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", stream, b"checksum"].concat();
    }
    let length = (stream.len() as u32 + 6).to_be_bytes();
    [b"\x89PNG\r\n\x1a\n", &length[..], b"IDAT\x78\x9c", stream, b"adlrcrc3\0\0\0\0IENDcrc3"].concat()
}
