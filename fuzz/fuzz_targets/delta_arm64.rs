//! Any bytes as AArch64 code at any address: references lie inside and hold their targets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::doors;

fuzz_target!(|input: (u32, &[u8])| {
    doors::arm64(input.1, input.0);
});
