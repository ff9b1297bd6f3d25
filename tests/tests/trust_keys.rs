//! Keys, thresholds and signatures as an attacker would like them: what the official conformance suite does not try.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use updater_format::digest::{decode_hex, encode_hex};
use updater_format::json::Value;
use updater_format::release::ChannelContents;
use updater_format::trust::TrustError;
use updater_format::{FormatError, KeyId};
use updater_runtime::refresh::RefreshError;
use updater_tests::simulator::{RepositorySimulator, SigningKey};

/// Checks a repository in which the second root was changed before it was signed, and returns why it is refused.
fn root_with(change: impl Fn(&mut Value) + Send + Sync + 'static) -> TrustError {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().next_root();
    sim.repo().edit("root", change);
    let error = refused(client.offers("stable"));
    assert!(client.keeps().iter().all(|(role, version)| role != "root" || *version == 1), "the bad root was kept");
    error
}

fn refused<T: std::fmt::Debug>(result: Result<T, RefreshError>) -> TrustError {
    match result {
        Err(RefreshError::Trust { source, .. } | RefreshError::Inconsistent { source }) => source,
        other => panic!("not refused: {other:?}"),
    }
}

/// Returns the rule that a document broke.
fn rule(error: &TrustError) -> String {
    match error {
        TrustError::Format { source, .. } => source.to_string(),
        other => panic!("not a matter of format: {other}"),
    }
}

#[test]
fn a_threshold_of_zero_is_refused_in_a_root_and_in_a_delegation() {
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let error = root_with(move |root| root["roles"][role]["threshold"] = 0.into());
        assert!(rule(&error).contains("threshold \"0\" is refused"), "{error}");
    }
    // With it the unsigned document that follows would count as signed.
    let sim = RepositorySimulator::new();
    sim.repo().edit("targets", |targets| targets["delegations"]["roles"][0]["threshold"] = 0.into());
    sim.repo().forge("stable", |document| document["signatures"] = Value::Array(vec![]));
    let error = refused(sim.client().offers("stable"));
    assert!(rule(&error).contains("threshold \"0\" is refused"), "{error}");
}

#[test]
fn one_public_key_under_two_ids_counts_once() {
    // A threshold of 2, met by one key that is listed twice under different ids.
    let two_ids = |root: &mut Value, role: &str| {
        let id = root["roles"][role]["keyids"][0].as_str().unwrap().to_owned();
        root["keys"]["another-id"] = root["keys"][&id].clone();
        root["roles"][role]["keyids"] = vec![id, "another-id".to_owned()].into();
        root["roles"][role]["threshold"] = 2.into();
    };
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().next_root();
    sim.repo().edit("root", move |root| two_ids(root, "timestamp"));
    sim.repo().forge("timestamp", |document| {
        let mut again = document["signatures"][0].clone();
        again["keyid"] = "another-id".into();
        document["signatures"].as_array_mut().unwrap().push(again);
    });
    let expected = TrustError::Signatures { role: "timestamp".to_owned(), valid: 1, threshold: 2 };
    assert_eq!(refused(client.refresh()), expected);
    // The same with a field that makes the key object another object: the key is still the same key.
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().next_root();
    sim.repo().edit("root", move |root| {
        two_ids(root, "timestamp");
        root["keys"]["another-id"]["x-owner"] = "somebody else".into();
    });
    sim.repo().forge("timestamp", |document| {
        let mut again = document["signatures"][0].clone();
        again["keyid"] = "another-id".into();
        document["signatures"].as_array_mut().unwrap().push(again);
    });
    assert_eq!(refused(client.refresh()), expected);
}

#[test]
fn a_key_id_stands_once_in_a_role_and_signs_once() {
    let error = root_with(|root| {
        let id = root["roles"]["timestamp"]["keyids"][0].clone();
        root["roles"]["timestamp"]["keyids"] = vec![id.clone(), id].into();
    });
    assert!(rule(&error).contains("a key id stands twice"), "{error}");
    for role in ["timestamp", "snapshot", "targets", "stable"] {
        let sim = RepositorySimulator::new();
        sim.repo().forge(role, |document| {
            let again = document["signatures"][0].clone();
            document["signatures"].as_array_mut().unwrap().push(again);
        });
        let error = refused(sim.client().offers("stable"));
        assert!(rule(&error).contains("a key id signs twice"), "{error}");
    }
}

#[test]
fn a_threshold_of_two_needs_two_keys_whatever_else_stands_there() {
    let second = SigningKey::from_seed(51);
    let sim = RepositorySimulator::new();
    let client = sim.client();
    let first = sim.repo().signers.timestamp.clone();
    let both = [first.clone(), vec![second.clone()]].concat();
    let ring = updater_tests::simulator::keyring(&both, 2);
    sim.repo().next_root().roles.insert(updater_format::role::RoleName::Timestamp, ring);
    let stranger = SigningKey::from_seed(52);
    for (signers, valid) in [(vec![], 0), (first.clone(), 1), ([first, vec![stranger]].concat(), 1)] {
        sim.repo().signers.timestamp = signers;
        let expected = TrustError::Signatures { role: "timestamp".to_owned(), valid, threshold: 2 };
        assert_eq!(refused(client.refresh()), expected);
    }
    sim.repo().signers.timestamp = both;
    client.refresh().unwrap();
    // A signature of the wrong length, an empty one and a wrong one beside enough good ones do no harm.
    for bytes in ["", "00", &"00".repeat(64), &"ff".repeat(65)] {
        let sim = RepositorySimulator::new();
        let bytes = bytes.to_owned();
        sim.repo().forge("timestamp", move |document| {
            let mut odd = document["signatures"][0].clone();
            odd["keyid"] = "nobody".into();
            odd["sig"] = bytes.clone().into();
            document["signatures"].as_array_mut().unwrap().insert(0, odd);
        });
        sim.client().refresh().unwrap();
    }
}

#[test]
fn malleable_signatures_are_refused() {
    // S + L satisfies the same equation under a lax verifier; L is the group order (RFC 8032 section 5.1).
    let order = decode_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    for role in ["timestamp", "stable"] {
        let sim = RepositorySimulator::new();
        let order = order.clone();
        sim.repo().forge(role, move |document| {
            let mut bytes = decode_hex(document["signatures"][0]["sig"].as_str().unwrap()).unwrap();
            let mut carry = 0u16;
            for (s, l) in bytes[32..].iter_mut().zip(&order) {
                carry += u16::from(*s) + u16::from(*l);
                *s = carry as u8;
                carry >>= 8;
            }
            document["signatures"][0]["sig"] = encode_hex(&bytes).into();
        });
        let expected = TrustError::Signatures { role: role.to_owned(), valid: 0, threshold: 1 };
        assert_eq!(refused(sim.client().offers("stable")), expected);
    }
}

#[test]
fn keys_of_small_order_and_in_two_spellings_are_refused() {
    // Under the neutral element the all-but-zero signature verifies any message with a lax verifier.
    for public in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        // y = p + 1 = 1 and y = p: other spellings of the first two.
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let error = root_with(move |root| {
            let id = root["roles"]["timestamp"]["keyids"][0].as_str().unwrap().to_owned();
            root["keys"][&id]["keyval"]["public"] = public.into();
        });
        assert!(rule(&error).contains("ed25519 key"), "{public}: {error}");
    }
}

#[test]
fn a_key_counts_only_under_the_scheme_of_its_type() {
    for (keytype, scheme) in
        [("rsa", "ed25519"), ("ecdsa", "ed25519"), ("ed25519", "ed448"), ("ed25519", "rsassa-pss-sha256"), ("", "")]
    {
        let sim = RepositorySimulator::new();
        let client = sim.client();
        sim.repo().next_root();
        sim.repo().edit("root", move |root| {
            // Snapshot and timestamp share a key; one entry changes both.
            let id = root["roles"]["timestamp"]["keyids"][0].as_str().unwrap().to_owned();
            root["keys"][&id]["keytype"] = keytype.into();
            root["keys"][&id]["scheme"] = scheme.into();
        });
        let expected = TrustError::Signatures { role: "timestamp".to_owned(), valid: 0, threshold: 1 };
        assert_eq!(refused(client.refresh()), expected, "{keytype} {scheme}");
    }
}

#[test]
fn an_app_accepts_ed25519_alone_even_where_more_is_compiled_in() {
    // This package is built with the feature `interop`; what a client accepts is a policy at run time.
    let rng = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = ring::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap();
    let pem = pem_of_p256(pair.public_key().as_ref());
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().next_root();
    sim.repo().edit("root", move |root| {
        let key = serde_json::json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}});
        root["keys"]["p256"] = key;
        root["roles"]["timestamp"]["keyids"] = vec!["p256"].into();
    });
    sim.repo().forge("timestamp", move |document| {
        let message = updater_format::json::canonical(&document["signed"]);
        let signature = pair.sign(&ring::rand::SystemRandom::new(), &message).unwrap();
        let entry = serde_json::json!({"keyid": "p256", "sig": encode_hex(signature.as_ref())});
        document["signatures"] = Value::Array(vec![entry]);
    });
    let expected = TrustError::Signatures { role: "timestamp".to_owned(), valid: 0, threshold: 1 };
    assert_eq!(refused(client.refresh()), expected);
    // With the other policy it is a good signature: what was refused was the scheme, not a broken test.
    let file = updater_format::signed::Untrusted::new(sim.file("metadata/timestamp.json"));
    let root = updater_format::signed::Untrusted::new(sim.file("metadata/2.root.json"));
    let rules = updater_format::trust::Rules {
        now: updater_runtime::Clock::now(&sim.clock),
        policy: updater_format::SignaturePolicy::Interop,
        app: None,
    };
    let set = updater_format::trust::TrustedSet::new(rules, &root).unwrap().finish_root().unwrap();
    set.timestamp(&file, None).unwrap();
}

fn pem_of_p256(point: &[u8]) -> String {
    let mut der = decode_hex("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    der.extend_from_slice(point);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = (n >> (18 - 6 * i) & 63) as usize;
            text.push(if i <= chunk.len() { char::from(alphabet[six]) } else { '=' });
        }
    }
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn another_major_version_of_the_specification_is_refused() {
    for role in ["root", "timestamp", "snapshot", "targets", "stable"] {
        for version in ["2.0.0", "0.9", "1", "", "1x.0", "10.0"] {
            let sim = RepositorySimulator::new();
            let client = sim.client();
            sim.repo().next_root();
            sim.repo().edit(role, move |signed| signed["spec_version"] = version.into());
            let error = refused(client.offers("stable"));
            assert_eq!(error.role(), role);
            assert!(rule(&error).contains("spec_version"), "{version}: {error}");
        }
    }
    let sim = RepositorySimulator::new();
    sim.repo().edit("timestamp", |signed| signed["spec_version"] = "1.99.0".into());
    sim.client().refresh().unwrap();
}

#[test]
fn a_role_is_not_taken_for_another_one() {
    // Snapshot and timestamp share a key here, so only `_type` tells them apart.
    let sim = RepositorySimulator::new();
    sim.repo().edit("timestamp", |signed| signed["_type"] = "snapshot".into());
    let error = refused(sim.client().refresh());
    assert!(rule(&error).contains("`_type` is \"snapshot\""), "{error}");
}

#[test]
fn a_delegation_cannot_take_the_name_of_a_top_level_role() {
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let sim = RepositorySimulator::new();
        sim.repo().edit("targets", move |targets| targets["delegations"]["roles"][0]["name"] = name.into());
        let error = refused(sim.client().refresh());
        assert!(rule(&error).contains("it takes the name of a top-level role"), "{error}");
    }
}

#[test]
fn more_than_32_delegations_are_refused() {
    let with = |count: usize| {
        let sim = RepositorySimulator::new();
        sim.repo().edit("targets", move |targets| {
            let roles = targets["delegations"]["roles"].as_array_mut().unwrap();
            while roles.len() < count {
                let mut more = roles[0].clone();
                more["name"] = format!("more-{}", roles.len()).into();
                roles.push(more);
            }
        });
        sim.client().offers("stable")
    };
    assert_eq!(with(32).unwrap(), Vec::<String>::new());
    let error = refused(with(33));
    let expected = FormatError::TooLarge { what: "delegations", limit: 32, unit: "roles" };
    assert_eq!(error, TrustError::Format { role: "targets".to_owned(), source: expected });
}

#[test]
fn a_channel_delegated_by_hash_bins_alone_is_no_channel_of_ours() {
    let sim = RepositorySimulator::new();
    sim.repo().edit("targets", |targets| {
        let delegations = targets["delegations"].as_object_mut().unwrap();
        delegations.remove("roles");
        let succinct = serde_json::json!({"bit_length": 1, "keyids": [], "name_prefix": "stable", "threshold": 1});
        delegations.insert("succinct_roles".to_owned(), succinct);
    });
    assert_eq!(
        refused(sim.client().offers("stable")),
        TrustError::UnknownRole { role: "stable".to_owned(), by: "targets".to_owned() }
    );
}

#[test]
fn json_that_two_readers_could_read_differently_is_refused() {
    let twice = |bytes: &[u8], field: &str, other: &str| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.replacen(&format!("\"{field}\":"), &format!("\"{field}\":{other},\"{field}\":"), 1).into_bytes()
    };
    let sim = RepositorySimulator::new();
    let file = sim.file("metadata/timestamp.json");
    for (field, other) in [("version", "99"), ("expires", "\"2099-01-01T00:00:00Z\""), ("signed", "{}"), ("meta", "{}")]
    {
        let sim = RepositorySimulator::new();
        let bytes = twice(&file, field, other);
        sim.fault("metadata/timestamp.json", updater_tests::simulator::Fault::Replace(bytes));
        let error = refused(sim.client().refresh());
        assert!(rule(&error).contains("timestamp is not valid JSON"), "{field}: {error}");
    }
    for value in ["1.0", "1e0", "-1", "9007199254740993", "18446744073709551616"] {
        let sim = RepositorySimulator::new();
        let text =
            String::from_utf8(file.clone()).unwrap().replace("\"version\":1}", &format!("\"version\":{value}}}"));
        assert!(text.contains(value));
        sim.fault("metadata/timestamp.json", updater_tests::simulator::Fault::Replace(text.into_bytes()));
        assert!(matches!(refused(sim.client().refresh()), TrustError::Format { .. }), "{value}");
    }
    let deep = format!("{{\"signed\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    sim.fault("metadata/timestamp.json", updater_tests::simulator::Fault::Replace(deep.into_bytes()));
    assert!(rule(&refused(sim.client().refresh())).contains("not valid JSON"));
}

#[test]
fn a_key_id_proves_nothing_by_itself() {
    // Key ids are names: a foreign repository may call a key what it likes, and a wrong id opens no door.
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().next_root();
    sim.repo().edit("root", |root| {
        let id = root["roles"]["timestamp"]["keyids"][0].as_str().unwrap().to_owned();
        let key = root["keys"][&id].clone();
        root["keys"]["online"] = key;
        root["roles"]["timestamp"]["keyids"] = vec!["online"].into();
    });
    sim.repo().forge("timestamp", |document| document["signatures"][0]["keyid"] = "online".into());
    client.refresh().unwrap();
    // The right id over the wrong key.
    let evil = Ed25519KeyPair::from_seed_unchecked(&[77; 32]).unwrap();
    sim.repo().forge("timestamp", move |document| {
        let message = updater_format::json::canonical(&document["signed"]);
        document["signatures"][0]["sig"] = encode_hex(evil.sign(&message).as_ref()).into();
    });
    sim.repo().timestamp.version += 1;
    let expected = TrustError::Signatures { role: "timestamp".to_owned(), valid: 0, threshold: 1 };
    assert_eq!(refused(client.refresh()), expected);
    assert_ne!(KeyId::new("online"), SigningKey::from_seed(3).id());
}

#[test]
fn a_target_that_is_not_understood_is_passed_over_and_a_broken_one_is_refused() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"one");
    let read = |change: fn(&mut Value)| {
        let sim = sim.copy();
        sim.repo().edit("stable", move |signed| {
            change(signed["targets"].as_object_mut().unwrap().values_mut().next().unwrap())
        });
        sim.client().channel("stable").map(|channel| channel.contents().clone())
    };
    let none = |contents: ChannelContents| (contents.bundles.len(), contents.unknown);
    assert_eq!(none(read(|target| target["custom"]["fmt"] = 3.into()).unwrap()), (0, 1));
    assert_eq!(none(read(|target| target["custom"]["kind"] = "hologram".into()).unwrap()), (0, 1));
    for change in [
        |target: &mut Value| target["custom"]["version"] = "1.0".into(),
        |target: &mut Value| target["custom"]["triple"] = "../../etc".into(),
        |target: &mut Value| target["custom"]["install"] = "everywhere".into(),
        |target: &mut Value| target["custom"]["manifest"] = "00".into(),
        |target: &mut Value| target["custom"]["unpacked"] = "many".into(),
        |target: &mut Value| drop(target["hashes"].as_object_mut().unwrap().insert("sha256".into(), "00".into())),
        |target: &mut Value| drop(target.as_object_mut().unwrap().remove("length")),
    ] {
        assert!(matches!(refused(read(change)), TrustError::Format { .. }));
    }
}
