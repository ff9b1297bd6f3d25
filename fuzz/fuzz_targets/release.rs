//! The custom fields of targets: any verified role is survived.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::release::ChannelContents;
use updater_format::role::{Payload as _, Targets};
use updater_format::{AppId, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = json::parse("fuzz", bytes) else { return };
    let Ok(targets) = Targets::from_value(value) else {
        return;
    };
    let Ok(app) = AppId::parse("hello") else { return };
    if let Ok(contents) = ChannelContents::read(&app, &targets) {
        for bundle in contents.bundles {
            let _ = bundle.artifact.file();
        }
    }
});
