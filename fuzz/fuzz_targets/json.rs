//! Strict JSON: any bytes are survived, and what is accepted reads back from its compact form.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::json;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = json::parse("fuzz", bytes) {
        assert_eq!(json::parse("fuzz", &json::compact(&value)).unwrap(), value);
        let _ = json::canonical(&value);
    }
});
