//! Names, paths, addresses, versions, times and keys: what is accepted prints as it was written.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::{
    AppId, Channel, FilePath, MinisignKey, Platform, ReleaseVersion, RepositoryAddress, Sha256, TargetName, UtcTime,
};

fuzz_target!(|text: &str| {
    if let Ok(v) = AppId::parse(text) {
        assert_eq!(v.as_str(), text);
    }
    if let Ok(v) = Channel::parse(text) {
        assert_eq!(v.as_str(), text);
    }
    if let Ok(v) = Platform::parse(text) {
        assert_eq!(v.as_str(), text);
    }
    if let Ok(v) = FilePath::parse(text) {
        assert!(
            std::path::Path::new(text)
                .components()
                .all(|c| matches!(c, std::path::Component::Normal(_)))
        );
        assert_eq!(v.as_str(), text);
    }
    if let Ok(v) = TargetName::parse(text) {
        assert_eq!(v.as_str(), text);
    }
    if let Ok(v) = RepositoryAddress::parse(text) {
        assert_eq!(v.to_string(), text);
    }
    if let Ok(v) = ReleaseVersion::parse(text) {
        assert_eq!(v.to_string(), text);
    }
    if let Ok(v) = UtcTime::parse(text) {
        assert_eq!(v.to_string(), text);
    }
    if let Ok(v) = Sha256::parse(text) {
        assert_eq!(v.to_string(), text);
    }
    if let Ok(v) = updater_format::url::Url::parse(text) {
        assert_eq!(updater_format::url::Url::parse(&v.expose()).unwrap(), v);
    }
    let _ = MinisignKey::parse(text);
});
