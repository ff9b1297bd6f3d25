//! Patch: any bytes, as the whole file and as the header inside, are survived, and no file gets longer than its entry says.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::io::Write as _;
use updater_format::EntryContent;
use updater_format::patch::{Operation, PatchReader};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    let header = encoder.finish().unwrap();
    let mut patch = b"cupdiff\x01".to_vec();
    patch.extend((header.len() as u32).to_le_bytes());
    patch.extend((bytes.len() as u32).to_le_bytes());
    patch.extend(header);
    read(&patch);
});

fn read(patch: &[u8]) {
    let Ok(mut reader) = PatchReader::open_unchecked(patch) else { return };
    while let Ok(Some(step)) = reader.next_step() {
        let EntryContent::File { length, .. } = step.entry.content else { panic!("an operation for a link") };
        if let Operation::Add { .. } = step.operation {
            let mut content = Vec::new();
            let _ = step.unpack_to(&mut content);
            assert!(content.len() as u64 <= length);
        }
    }
}
