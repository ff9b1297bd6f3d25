//! Any bytes as x86-64 code: every instruction has a length, and nothing behind the start of its distance decides on its shape.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::doors;

fuzz_target!(|code: &[u8]| {
    doors::x86_64(code);
});
