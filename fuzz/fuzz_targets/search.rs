//! Delegation patterns and the quoting of role names: always an answer, never a path, and the linear matcher agrees with
//! a plain table.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::role::DelegatedRole;
use updater_format::trust::quote;
use updater_format::{KeyId, Keyring, PublicKey};

/// Fills the whole table of which start of the pattern matches which start of the text: another way than the product's,
/// in time that the lengths bound.
fn obvious(pattern: &[char], text: &[char]) -> bool {
    // matches[i]: what was read of the pattern matches the first i characters of the text.
    let mut matches = vec![false; text.len() + 1];
    matches[0] = true;
    for p in pattern {
        let before = matches.clone();
        for i in 0..=text.len() {
            matches[i] = match *p {
                '*' => before[i] || (i > 0 && matches[i - 1]),
                p => i > 0 && before[i - 1] && (p == '?' || p == text[i - 1]),
            };
        }
    }
    matches[text.len()]
}

fuzz_target!(|input: (String, String)| {
    let (pattern, target) = input;
    let quoted = quote(&target);
    assert!(quoted.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-~%".contains(&b)));
    let key = PublicKey::ed25519([9; 32]).unwrap();
    let role = DelegatedRole {
        name: "role".to_owned(),
        keyring: Keyring::new(vec![(KeyId::new("key"), key)], 1).unwrap(),
        terminating: false,
        paths: vec![pattern.clone()],
        extra: Default::default(),
    };
    let covers = role.covers(&target);
    if pattern.len() <= 256 && target.len() <= 256 && !pattern.contains('/') && !target.contains('/') {
        let (pattern, target): (Vec<char>, Vec<char>) = (pattern.chars().collect(), target.chars().collect());
        assert_eq!(covers, obvious(&pattern, &target));
    }
});
