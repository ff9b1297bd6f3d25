//! The headers of programs: any bytes are survived, and none of more processors than there is room for are told.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use updater_format::{mach_o, pe};

fuzz_target!(|bytes: &[u8]| {
    if let Some(processors) = mach_o::processors(bytes) {
        assert!(4 + 4 * processors.len() <= mach_o::HEADER.min(bytes.len()));
        assert_eq!(mach_o::processors(&bytes[..bytes.len().min(mach_o::HEADER)]), Some(processors));
    }
    if pe::machine(&mut Cursor::new(bytes)).unwrap().is_some() {
        assert!(bytes.len() >= 64 && bytes.starts_with(b"MZ"));
    }
});
