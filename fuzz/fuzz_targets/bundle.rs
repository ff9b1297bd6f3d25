//! Bundle: any bytes, as the whole file and as the tar inside, are survived; what comes out is what the manifest lists.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::io::Write as _;
use updater_format::bundle::{BundleExpectation, BundleReader, Member, read_manifest};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    read(&encoder.finish().unwrap());
});

fn read(bundle: &[u8]) {
    let Ok((manifest, text)) = read_manifest(bundle) else { return };
    let signed = BundleExpectation { manifest: updater_format::Sha256::of(&text), ..BundleExpectation::of(&manifest) };
    let mut reader = BundleReader::open(bundle, &signed).unwrap();
    let mut unpacked = 0;
    while let Ok(Some(member)) = reader.next_member() {
        if let Member::File(file) = member {
            let mut content = Vec::new();
            if file.copy_to(&mut content).is_err() {
                return;
            }
            unpacked += content.len() as u64;
        }
    }
    assert!(unpacked <= signed.unpacked);
}
