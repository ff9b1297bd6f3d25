//! Install state: any bytes are survived, and what is accepted reads back from its own spelling.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::state::InstallState;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(state) = InstallState::parse(bytes) {
        assert_eq!(InstallState::parse(&state.encode()).unwrap(), state);
    }
});
