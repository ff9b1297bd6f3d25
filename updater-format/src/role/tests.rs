//! Each role survives the round trip, unknown fields included, and names what is wrong with a bad one.

use super::*;
use crate::error::FormatError;
use crate::json::{self, Value};
use crate::key::{KeyId, Keyring, PublicKey};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

fn key(seed: u8) -> PublicKey {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    PublicKey::ed25519(pair.public_key().as_ref().try_into().unwrap()).unwrap()
}

fn keyring(seed: u8) -> Keyring {
    Keyring::new(vec![(key(seed).id(), key(seed))], 1).unwrap()
}

fn value(text: &str) -> Value {
    json::parse("test", text.as_bytes()).unwrap()
}

fn unknown() -> json::Map<String, Value> {
    [("x-later".to_owned(), value(r#"{"a":[1,"b"]}"#))].into_iter().collect()
}

fn round_trip<T: Payload + PartialEq + std::fmt::Debug>(payload: &T) {
    let written = payload.to_value();
    assert_eq!(&T::from_value(written.clone()).unwrap(), payload);
    assert_eq!(T::from_value(written.clone()).unwrap().to_value(), written);
}

fn root() -> Root {
    let id = key(1).id();
    Root {
        version: 3,
        expires: UtcTime::parse("2027-01-01T00:00:00Z").unwrap(),
        consistent_snapshot: true,
        roles: RoleName::ALL.into_iter().zip([keyring(1), keyring(2), keyring(3), keyring(2)]).collect(),
        extension: Some(RootExtension {
            app: "hello".parse().unwrap(),
            keys: [(id, KeyOwner { minisign: "E7620F1842B4E81F".to_owned(), owner: "ada".to_owned() })].into(),
            development: true,
            extra: unknown(),
        }),
        unused_keys: [(key(9).id(), key(9))].into(),
        extra: unknown(),
    }
}

#[test]
fn every_role_survives_the_round_trip() {
    let expires = UtcTime::parse("2027-01-01T00:00:00Z").unwrap();
    round_trip(&root());
    let meta = MetaFile { extra: unknown(), ..MetaFile::of(7, b"bytes") };
    round_trip(&Timestamp { version: 1, expires, snapshot: meta.clone(), extension: None, extra: unknown() });
    let roles = [("targets".to_owned(), meta.clone()), ("stable".to_owned(), meta)].into();
    round_trip(&Snapshot { version: 2, expires, roles, extra: unknown() });
    let file = TargetFile {
        length: 5,
        hashes: Hashes::sha256_only(crate::Sha256::of(b"bytes")),
        custom: Some(value(r#"{"fmt":1}"#)),
        extra: unknown(),
    };
    let role = DelegatedRole {
        name: "stable".to_owned(),
        keyring: keyring(4),
        terminating: false,
        paths: vec!["hello-*".to_owned()],
        extra: unknown(),
    };
    round_trip(&Targets {
        version: 4,
        expires,
        targets: [("hello.tar.xz".to_owned(), file)].into(),
        delegations: Some(Delegations { roles: vec![role], extra: unknown() }),
        extension: Some(TargetsExtension {
            app: "hello".parse().unwrap(),
            channel: Some("stable".parse().unwrap()),
            rules: ChannelRules::default(),
            keys: [(KeyId::new("00"), KeyOwner { minisign: "0123456789ABCDEF".to_owned(), owner: "Anna".to_owned() })]
                .into(),
            extra: unknown(),
            components: Default::default(),
        }),
        extra: unknown(),
    });
}

#[test]
fn what_is_wrong_is_named() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 9] = [
        ("`_type` is \"targets\"", |v| v["_type"] = "targets".into()),
        ("`spec_version` is \"2.0\"", |v| v["spec_version"] = "2.0".into()),
        ("field `version` is missing", |v| drop(v.as_object_mut().unwrap().remove("version"))),
        ("`version` must be at least 1", |v| v["version"] = 0.into()),
        ("from 0 to 2^53", |v| v["version"] = ((1u64 << 53) + 1).into()),
        ("it must have the form", |v| v["expires"] = "tomorrow".into()),
        ("role `timestamp` is missing", |v| drop(v["roles"].as_object_mut().unwrap().remove("timestamp"))),
        ("is not listed in `keys`", |v| v["roles"]["root"]["keyids"][0] = "ff".into()),
        ("it must be at least 1: with 0", |v| v["roles"]["root"]["threshold"] = 0.into()),
    ];
    for (expected, change) in cases {
        let mut value = root().to_value();
        change(&mut value);
        let error: FormatError = Root::from_value(value).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_delegation_cannot_take_a_reserved_name_nor_list_33_roles() {
    let delegation =
        |name: &str| format!(r#"{{"keyids":["k"],"name":"{name}","paths":["*"],"terminating":false,"threshold":1}}"#);
    let targets = |roles: &[String]| {
        let key = key(1).to_value();
        value(&format!(
            r#"{{"_type":"targets","spec_version":"1.0.34","version":1,"expires":"2027-01-01T00:00:00Z","targets":{{}},
            "delegations":{{"keys":{{"k":{key}}},"roles":[{}]}}}}"#,
            roles.join(",")
        ))
    };
    for name in ["root", "targets", "snapshot", "timestamp"] {
        let error = Targets::from_value(targets(&[delegation(name)])).unwrap_err();
        assert!(matches!(error, FormatError::Invalid { what: "delegated role", .. }), "{error}");
    }
    let many: Vec<String> = (0..33).map(|i| delegation(&format!("r{i}"))).collect();
    assert!(Targets::from_value(targets(&many[..32])).is_ok());
    assert!(matches!(Targets::from_value(targets(&many)), Err(FormatError::TooLarge { what: "delegations", .. })));
    assert!(Targets::from_value(targets(&[delegation("a"), delegation("a")])).is_err());
}
