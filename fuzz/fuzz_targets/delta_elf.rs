//! Any two files as ELF programs: the plan, and the references that it leads to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::doors;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (mut old, mut new) = input;
    let head = b"\x7fELF\x02\x01\x01";
    for file in [&mut old, &mut new] {
        let length = head.len().min(file.len());
        file[..length].copy_from_slice(&head[..length]);
    }
    doors::programs(&old, &new);
});
