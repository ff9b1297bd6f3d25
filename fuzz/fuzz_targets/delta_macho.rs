//! Any two files as Mach-O programs, thin and fat: the plan, and the references that it leads to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use updater_delta::doors;

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (kind, mut old, mut new) = input;
    let head: &[u8] = match kind % 3 {
        0 => b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
        1 => b"\xcf\xfa\xed\xfe\x07\x00\x00\x01",
        _ => b"\xca\xfe\xba\xbe\x00\x00\x00",
    };
    for file in [&mut old, &mut new] {
        let length = head.len().min(file.len());
        file[..length].copy_from_slice(&head[..length]);
    }
    doors::programs(&old, &new);
});
