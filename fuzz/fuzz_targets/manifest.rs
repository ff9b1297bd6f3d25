//! Manifest: any bytes are survived, and what is accepted reads back from its one spelling.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(Manifest::parse(&manifest.encode()).unwrap(), manifest);
    }
});
