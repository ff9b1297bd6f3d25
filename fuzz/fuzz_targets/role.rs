//! Every role: any bytes are survived, and what is accepted writes and reads back as itself.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::role::{Payload, Root, Snapshot, Targets, Timestamp};
use updater_format::signed::{Signed, Untrusted};

fn check<T: Payload + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(signed) = Signed::<T>::parse(&Untrusted::new(bytes)) {
        let payload = signed.unverified();
        assert_eq!(&T::from_value(payload.to_value()).unwrap(), payload);
    }
}

fuzz_target!(|bytes: &[u8]| {
    check::<Root>(bytes);
    check::<Timestamp>(bytes);
    check::<Snapshot>(bytes);
    check::<Targets>(bytes);
});
