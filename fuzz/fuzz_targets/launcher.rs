//! How a launcher runs an app: any two tables over each other are refused with a word, or write and read back as themselves.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::json;
use updater_format::launcher::LauncherSettings;

fuzz_target!(|bytes: &[u8]| {
    // Two tables, as the bundle's and this machine's; the second may be missing.
    let half = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let tables = [&bytes[..half], bytes.get(half + 1..).unwrap_or_default()];
    let tables: Vec<_> = tables.iter().filter_map(|table| json::parse("launcher", table).ok()).collect();
    let layers: Vec<_> = tables.iter().filter_map(|table| table.as_object()).collect();
    match LauncherSettings::from_layers(layers) {
        Ok(settings) => {
            let again = LauncherSettings::from_layers([&settings.to_map()]).unwrap();
            assert_eq!(again.to_map(), settings.to_map());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
