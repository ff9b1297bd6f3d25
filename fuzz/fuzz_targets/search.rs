//! Delegation patterns and the quoting of role names: always an answer, never a path, and the linear matcher agrees with
//! the obvious one on short inputs.
#![no_main]
use libfuzzer_sys::fuzz_target;
use updater_format::role::DelegatedRole;
use updater_format::trust::quote;
use updater_format::{KeyId, Keyring, PublicKey};

fn obvious(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => (0..=text.len()).any(|skip| obvious(rest, &text[skip..])),
        (Some((p, rest)), Some((t, more))) => (*p == '?' || p == t) && obvious(rest, more),
        _ => false,
    }
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
    // The obvious matcher tries every split: only short inputs end in time.
    if pattern.len() <= 16 && target.len() <= 32 && !pattern.contains('/') && !target.contains('/') {
        let (pattern, target): (Vec<char>, Vec<char>) = (pattern.chars().collect(), target.chars().collect());
        assert_eq!(covers, obvious(&pattern, &target));
    }
});
