//! Each refusal by its name, from one good root changed in one place.

use super::fixtures::{pair, root, signed};
use super::*;
use updater_format::AppId;

/// Reads a table of the app `hello` with the keys of these seeds and some more lines.
fn table(seeds: &[u8], lines: &str) -> Table {
    use crate::manifest::Manifest;
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("Cargo.toml");
    let text = format!("[package]\nname = \"hello\"\n[package.metadata.updater]\n{lines}\n");
    std::fs::write(&manifest, text).unwrap();
    let mut table = Table::from_manifest(&Manifest::read(&manifest).unwrap()).unwrap().unwrap();
    table.public_keys = seeds.iter().map(|seed| pair(*seed).1).collect();
    table
}

fn early() -> UtcTime {
    UtcTime::from_unix(0)
}

#[test]
fn a_good_root_is_taken_and_an_expired_one_warns() {
    let bytes = signed(&root(&[1, 2, 3], 2), &[1, 3]);
    let table = table(&[3, 1, 2], "url = \"https://example.com\"");
    assert_eq!(check_root(&bytes, &table, early()).unwrap(), CheckedRoot { version: 3, warning: None });
    let late = check_root(&bytes, &table, UtcTime::from_unix(2000)).unwrap();
    assert!(late.warning.unwrap().contains("1970-01-01T00:33:20Z"));
}

#[test]
fn a_root_that_its_own_keys_did_not_sign_is_refused() {
    let two = table(&[1, 2], "");
    for signers in [&[1][..], &[1, 9], &[]] {
        let result = check_root(&signed(&root(&[1, 2], 2), signers), &two, early());
        assert!(matches!(result, Err(RootError::NotSigned { .. })), "{signers:?}");
    }
    let mut changed = root(&[1, 2], 2);
    let bytes = signed(&changed, &[1, 2]);
    changed.version = 4;
    let text = String::from_utf8(bytes).unwrap().replace("\"version\":3", "\"version\":4");
    assert!(matches!(check_root(text.as_bytes(), &two, early()), Err(RootError::NotSigned { .. })));
    assert!(matches!(check_root(b"{}", &two, early()), Err(RootError::Format { .. })));
}

#[test]
fn one_key_needs_a_word_of_consent() {
    let bytes = signed(&root(&[1, 2], 1), &[2]);
    assert_eq!(check_root(&bytes, &table(&[1, 2], ""), early()), Err(RootError::SingleKey));
    check_root(&bytes, &table(&[1, 2], "allow-single-root-key = true"), early()).unwrap();
}

#[test]
fn the_keys_in_plain_sight_must_be_those_of_the_root() {
    let bytes = signed(&root(&[1, 2], 2), &[1, 2]);
    let result = check_root(&bytes, &table(&[1, 3], ""), early());
    assert_eq!(result, Err(RootError::OtherKeys { unlisted: 1, missing: vec!["0303030303030303".to_owned()] }));
    assert!(matches!(check_root(&bytes, &table(&[1], ""), early()), Err(RootError::OtherKeys { unlisted: 1, .. })));
    assert!(matches!(
        check_root(&bytes, &table(&[1, 2, 3], ""), early()),
        Err(RootError::OtherKeys { unlisted: 0, .. })
    ));
}

#[test]
fn a_root_of_another_app_is_refused() {
    let mut other = root(&[1, 2], 2);
    other.extension.as_mut().unwrap().app = AppId::parse("other").unwrap();
    let result = check_root(&signed(&other, &[1, 2]), &table(&[1, 2], ""), early());
    assert!(matches!(result, Err(RootError::WrongApp { found, .. }) if found == "other"));
    other.extension = None;
    let result = check_root(&signed(&other, &[1, 2]), &table(&[1, 2], ""), early());
    assert!(matches!(result, Err(RootError::WrongApp { found, .. }) if found == "none"));
}

#[test]
fn a_development_root_stays_on_this_machine() {
    let mut development = root(&[1, 2], 2);
    development.extension.as_mut().unwrap().development = true;
    let bytes = signed(&development, &[1, 2]);
    let local = table(&[1, 2], "url = [\"http://127.0.0.1:8000\", \"file:///srv/x\"]");
    check_root(&bytes, &local, early()).unwrap();
    let mixed = table(&[1, 2], "url = [\"http://127.0.0.1:8000\", \"https://example.com\"]");
    let result = check_root(&bytes, &mixed, early());
    assert_eq!(result, Err(RootError::Development { url: "https://example.com".to_owned() }));
}
