//! Each check of the client on its own: the smallest repository that passes, then one thing wrong.

use super::*;
use crate::digest::Sha256;
use crate::json::Map;
use crate::key::{Keyring, PublicKey, Signature};
use crate::release::{Artifact, BundleEntry, Entry};
use crate::role::{DelegatedRole, Delegations, RootExtension, TargetsExtension};
use crate::signed::{assemble, message};
use crate::{InstallKind, TargetName};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

mod search;

struct Key(Ed25519KeyPair);

impl Key {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }
    fn public(&self) -> PublicKey {
        PublicKey::ed25519(self.0.public_key().as_ref().try_into().unwrap()).unwrap()
    }
    fn sign<T: Payload>(&self, payload: &T) -> Signature {
        Signature { key_id: self.public().id(), bytes: self.0.sign(&message(payload)).as_ref().to_vec() }
    }
}

fn keyring(keys: &[&Key], threshold: u64) -> Keyring {
    Keyring::new(keys.iter().map(|k| (k.public().id(), k.public())).collect(), threshold).unwrap()
}

fn sign<T: Payload>(payload: &T, keys: &[&Key]) -> Untrusted {
    Untrusted::new(assemble(payload, &keys.iter().map(|k| k.sign(payload)).collect::<Vec<_>>()))
}

const NOW: &str = "2026-11-20T00:00:00Z";

/// A repository with one bundle; every document can be changed before it is signed.
struct Repo {
    root_key: Key,
    online: Key,
    targets_key: Key,
    stable_key: Key,
    root: Root,
    timestamp: Timestamp,
    snapshot: Snapshot,
    targets: Targets,
    stable: Targets,
}

impl Repo {
    fn new() -> Self {
        let [root_key, online, targets_key, stable_key] = [1, 2, 3, 4].map(Key::new);
        let expires = UtcTime::parse(NOW).unwrap().plus_days(30);
        let app = || "hello".parse().unwrap();
        let root = Root {
            version: 1,
            expires,
            consistent_snapshot: true,
            roles: [
                (RoleName::Root, keyring(&[&root_key], 1)),
                (RoleName::Targets, keyring(&[&targets_key], 1)),
                (RoleName::Snapshot, keyring(&[&online], 1)),
                (RoleName::Timestamp, keyring(&[&online], 1)),
            ]
            .into(),
            extension: Some(RootExtension { app: app(), keys: [].into(), development: false, extra: Map::new() }),
            unused_keys: [].into(),
            extra: Map::new(),
        };
        let extension = |channel| {
            Some(TargetsExtension {
                app: app(),
                channel,
                rules: Default::default(),
                keys: Default::default(),
                extra: Map::new(),
                components: Default::default(),
            })
        };
        let bundle = Entry::Bundle(BundleEntry {
            artifact: Artifact {
                name: TargetName::parse("hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz").unwrap(),
                length: 5,
                sha256: Sha256::of(b"bytes"),
            },
            version: "1.0.0".parse().unwrap(),
            platform: "x86_64-unknown-linux-gnu".parse().unwrap(),
            install: InstallKind::Executable,
            unpacked: 9,
            files: 1,
            manifest: Sha256::of(b"manifest"),
            codecs: vec!["bsdiff-1".to_owned()],
            epoch: 0,
            libc: Some("2.31".to_owned()),
            notes: None,
            released: Some(UtcTime::from_unix(1_790_000_000)),
            metadata: Map::new(),
            component: None,
            minimum_app: None,
        });
        let stable = Targets {
            version: 1,
            expires,
            targets: [bundle.to_target(&app())].into(),
            delegations: None,
            extension: extension(Some("stable".parse().unwrap())),
            extra: Map::new(),
        };
        let delegation = DelegatedRole {
            name: "stable".to_owned(),
            keyring: keyring(&[&stable_key], 1),
            terminating: false,
            paths: vec!["hello-*".to_owned()],
            extra: Map::new(),
        };
        let targets = Targets {
            version: 1,
            expires,
            targets: [].into(),
            delegations: Some(Delegations { roles: vec![delegation], extra: Map::new() }),
            extension: extension(None),
            extra: Map::new(),
        };
        let placeholder = MetaFile::of(1, b"");
        let snapshot = Snapshot {
            version: 1,
            expires,
            roles: [("targets".to_owned(), placeholder.clone()), ("stable".to_owned(), placeholder.clone())].into(),
            extra: Map::new(),
        };
        let timestamp = Timestamp { version: 1, expires, snapshot: placeholder, extension: None, extra: Map::new() };
        Self { root_key, online, targets_key, stable_key, root, timestamp, snapshot, targets, stable }
    }

    fn rules() -> Rules {
        Rules {
            now: UtcTime::parse(NOW).unwrap(),
            policy: SignaturePolicy::default(),
            app: Some("hello".parse().unwrap()),
        }
    }

    fn root_bytes(&self) -> Untrusted {
        sign(&self.root, &[&self.root_key])
    }
    fn targets_bytes(&self) -> Untrusted {
        sign(&self.targets, &[&self.targets_key])
    }
    fn stable_bytes(&self) -> Untrusted {
        sign(&self.stable, &[&self.stable_key])
    }
    fn snapshot_bytes(&self) -> Untrusted {
        let mut snapshot = self.snapshot.clone();
        for (role, bytes, version) in [
            ("targets", self.targets_bytes(), self.targets.version),
            ("stable", self.stable_bytes(), self.stable.version),
        ] {
            if let Some(meta) = snapshot.roles.get_mut(role) {
                *meta = MetaFile::of(version, bytes.as_bytes());
            }
        }
        sign(&snapshot, &[&self.online])
    }
    fn timestamp_bytes(&self) -> Untrusted {
        let mut timestamp = self.timestamp.clone();
        timestamp.snapshot = MetaFile::of(self.snapshot.version, self.snapshot_bytes().as_bytes());
        sign(&timestamp, &[&self.online])
    }

    fn start(&self) -> TrustedSet<WantsRoot> {
        TrustedSet::new(Self::rules(), &self.root_bytes()).unwrap()
    }
    fn rooted(&self) -> TrustedSet<WantsTimestamp> {
        self.start().finish_root().unwrap()
    }
    fn stamped(&self) -> TrustedSet<WantsSnapshot> {
        self.rooted().timestamp(&self.timestamp_bytes(), None).unwrap()
    }
    fn complete(&self) -> TrustedSet<Complete> {
        self.stamped().snapshot(&self.snapshot_bytes(), None).unwrap().targets(&self.targets_bytes()).unwrap()
    }
    fn read(&self) -> Result<TrustedChannel, TrustError> {
        self.complete().channel(&Channel::stable(), &self.stable_bytes())
    }
}

use crate::channel::Channel;

#[test]
fn a_good_repository_is_read() {
    let repo = Repo::new();
    let channel = repo.read().unwrap();
    assert_eq!(channel.contents().bundles[0].version.to_string(), "1.0.0");
    assert_eq!(repo.stamped().wanted().file, "1.snapshot.json");
    assert_eq!(repo.complete().wanted_role("stable").unwrap().file, "1.stable.json");
}

#[test]
fn one_flipped_byte_anywhere_is_refused() {
    let repo = Repo::new();
    let flips = |bytes: Untrusted| {
        (0..bytes.as_bytes().len()).map(move |at| {
            let mut copy = bytes.as_bytes().to_vec();
            copy[at] ^= 1;
            (at, Untrusted::new(copy))
        })
    };
    let mut tried = 0;
    for (at, bad) in flips(repo.snapshot_bytes()) {
        assert!(repo.stamped().snapshot(&bad, None).is_err(), "snapshot, byte {at}");
        tried += 1;
    }
    let set = repo.complete();
    for (at, bad) in flips(repo.stable_bytes()) {
        assert!(set.channel(&Channel::stable(), &bad).is_err(), "stable, byte {at}");
        tried += 1;
    }
    for (at, bad) in flips(repo.timestamp_bytes()) {
        assert!(repo.rooted().timestamp(&bad, None).is_err(), "timestamp, byte {at}");
        tried += 1;
    }
    for (at, bad) in flips(repo.root_bytes()) {
        assert!(TrustedSet::new(Repo::rules(), &bad).is_err(), "root, byte {at}");
        tried += 1;
    }
    assert!(tried > 3000, "{tried}");
}

#[test]
fn a_root_is_followed_only_when_old_and_new_keys_signed() {
    let repo = Repo::new();
    let new_key = Key::new(11);
    let mut next = repo.root.clone();
    next.version = 2;
    next.roles.insert(RoleName::Root, keyring(&[&new_key], 1));
    let signatures = |valid, threshold| TrustError::Signatures { role: "root".to_owned(), valid, threshold };
    assert_eq!(repo.start().root(&sign(&next, &[&new_key])).unwrap_err(), signatures(0, 1));
    assert_eq!(repo.start().root(&sign(&next, &[&repo.root_key])).unwrap_err(), signatures(0, 1));
    let mut set = repo.start();
    set.root(&sign(&next, &[&repo.root_key, &new_key])).unwrap();
    assert_eq!(set.current_root().version, 2);
    next.version = 4;
    assert_eq!(
        set.root(&sign(&next, &[&new_key])).unwrap_err(),
        TrustError::Version { role: "root".to_owned(), expected: 3, found: 4 }
    );
    assert_eq!(set.current_root().version, 2, "a refused root changes nothing");
}

#[test]
fn thresholds_count_distinct_keys() {
    let mut repo = Repo::new();
    let second = Key::new(12);
    repo.root.roles.insert(RoleName::Root, keyring(&[&repo.root_key, &second], 2));
    let one = sign(&repo.root, &[&repo.root_key]);
    assert_eq!(
        TrustedSet::new(Repo::rules(), &one).unwrap_err(),
        TrustError::Signatures { role: "root".to_owned(), valid: 1, threshold: 2 }
    );
    let twice = sign(&repo.root, &[&repo.root_key, &repo.root_key]);
    assert!(matches!(TrustedSet::new(Repo::rules(), &twice), Err(TrustError::Format { .. })));
    assert!(TrustedSet::new(Repo::rules(), &sign(&repo.root, &[&repo.root_key, &second])).is_ok());
}

#[test]
fn each_expired_role_is_named() {
    let past = UtcTime::parse(NOW).unwrap();
    let expired = |role: &str| TrustError::Expired { role: role.to_owned(), since: past };
    let mut repo = Repo::new();
    repo.root.expires = past;
    assert_eq!(repo.start().finish_root().unwrap_err(), expired("root"));
    let mut repo = Repo::new();
    repo.timestamp.expires = past;
    assert_eq!(repo.rooted().timestamp(&repo.timestamp_bytes(), None).unwrap_err(), expired("timestamp"));
    let kept = repo.rooted().kept_timestamp(&repo.timestamp_bytes()).unwrap();
    assert_eq!(
        repo.rooted().timestamp(&repo.timestamp_bytes(), Some(kept.clone())).unwrap_err(),
        expired("timestamp"),
        "an equal version does not make a stale timestamp fresh"
    );
    assert_eq!(repo.rooted().unchanged_timestamp(kept).unwrap_err(), expired("timestamp"));
    let mut repo = Repo::new();
    repo.snapshot.expires = past;
    assert_eq!(repo.stamped().snapshot(&repo.snapshot_bytes(), None).unwrap_err(), expired("snapshot"));
    let mut repo = Repo::new();
    repo.targets.expires = past;
    let set = repo.stamped().snapshot(&repo.snapshot_bytes(), None).unwrap();
    assert_eq!(set.targets(&repo.targets_bytes()).unwrap_err(), expired("targets"));
    let mut repo = Repo::new();
    repo.stable.expires = past;
    assert_eq!(repo.read().unwrap_err(), expired("stable"));
}

#[test]
fn going_back_is_refused_even_behind_an_expired_document() {
    let mut repo = Repo::new();
    repo.timestamp.version = 5;
    repo.snapshot.version = 3;
    repo.stable.version = 4;
    repo.timestamp.expires = UtcTime::parse(NOW).unwrap();
    repo.snapshot.expires = UtcTime::parse(NOW).unwrap();
    let (old_timestamp, old_snapshot) = (repo.timestamp_bytes(), repo.snapshot_bytes());
    let repo_expires = UtcTime::parse(NOW).unwrap().plus_days(1);
    repo.timestamp.expires = repo_expires;
    repo.snapshot.expires = repo_expires;
    let rollback = |role: &str, known, found| TrustError::Rollback { role: role.to_owned(), known, found };

    repo.timestamp.version = 4;
    let kept = repo.rooted().kept_timestamp(&old_timestamp).unwrap();
    assert_eq!(
        repo.rooted().timestamp(&repo.timestamp_bytes(), Some(kept.clone())).unwrap_err(),
        rollback("timestamp", 5, 4)
    );
    repo.timestamp.version = 6;
    repo.snapshot.version = 2;
    assert_eq!(repo.rooted().timestamp(&repo.timestamp_bytes(), Some(kept)).unwrap_err(), rollback("snapshot", 3, 2));
    repo.snapshot.version = 4;
    repo.stable.version = 3;
    let kept = repo.stamped().kept_snapshot(&old_snapshot).unwrap();
    assert_eq!(repo.stamped().snapshot(&repo.snapshot_bytes(), Some(&kept)).unwrap_err(), rollback("stable", 4, 3));
    repo.snapshot.roles.remove("stable");
    assert_eq!(
        repo.stamped().snapshot(&repo.snapshot_bytes(), Some(&kept)).unwrap_err(),
        TrustError::RoleRemoved { role: "stable".to_owned() }
    );
}

#[test]
fn documents_of_another_set_are_refused() {
    let repo = Repo::new();
    let mut other = Repo::new();
    other.snapshot.version = 2;
    other.stable.version = 2;
    other.targets.version = 2;
    assert!(matches!(
        repo.stamped().snapshot(&other.snapshot_bytes(), None),
        Err(TrustError::Hash { .. } | TrustError::Length { .. })
    ));
    let set = repo.stamped().snapshot(&repo.snapshot_bytes(), None).unwrap();
    assert!(matches!(set.targets(&other.targets_bytes()), Err(TrustError::Hash { .. })));
    assert!(matches!(repo.complete().channel(&Channel::stable(), &other.stable_bytes()), Err(TrustError::Hash { .. })));
    // Where no hash is given the version decides.
    let mut bare = Repo::new();
    bare.timestamp.snapshot.version = 2;
    let stamp = sign(
        &Timestamp {
            snapshot: MetaFile { length: None, hashes: None, ..bare.timestamp.snapshot.clone() },
            ..bare.timestamp.clone()
        },
        &[&bare.online],
    );
    let set = bare.rooted().timestamp(&stamp, None).unwrap();
    assert_eq!(
        set.snapshot(&bare.snapshot_bytes(), None).unwrap_err(),
        TrustError::Version { role: "snapshot".to_owned(), expected: 2, found: 1 }
    );
}

#[test]
fn another_app_and_another_channel_are_refused() {
    let mut repo = Repo::new();
    let mut rules = Repo::rules();
    rules.app = Some("other".parse().unwrap());
    assert!(matches!(TrustedSet::new(rules, &repo.root_bytes()), Err(TrustError::WrongApp { .. })));
    repo.stable.extension.as_mut().unwrap().channel = Some("nightly".parse().unwrap());
    assert!(matches!(repo.read(), Err(TrustError::WrongChannel { .. })));
    repo.stable.extension.as_mut().unwrap().channel = Some(Channel::stable());
    repo.stable.extension.as_mut().unwrap().app = "other".parse().unwrap();
    assert!(matches!(repo.read(), Err(TrustError::WrongApp { .. })));
    let mut repo = Repo::new();
    let (_, file) = repo.stable.targets.iter_mut().next().unwrap();
    file.custom.as_mut().unwrap()["app"] = "other".into();
    assert!(matches!(repo.read(), Err(TrustError::WrongApp { .. })));
    let repo = Repo::new();
    assert!(matches!(
        repo.complete().channel(&"beta".parse().unwrap(), &repo.stable_bytes()),
        Err(TrustError::UnknownRole { .. })
    ));
}

#[test]
fn kinds_and_formats_of_later_programs_are_passed_over() {
    let mut repo = Repo::new();
    let (name, file) = repo.stable.targets.iter().next().map(|(n, f)| (n.clone(), f.clone())).unwrap();
    for (suffix, field, value) in [("a", "fmt", crate::json::Value::from(3)), ("b", "kind", "hologram".into())] {
        let mut later = file.clone();
        later.custom.as_mut().unwrap()[field] = value;
        repo.stable.targets.insert(format!("{name}.{suffix}"), later);
    }
    let channel = repo.read().unwrap();
    assert_eq!((channel.contents().bundles.len(), channel.contents().unknown), (1, 2));
}

#[test]
fn oversized_documents_are_refused_before_they_are_parsed() {
    let repo = Repo::new();
    let huge = |limit: u64| Untrusted::new(vec![b'['; usize::try_from(limit).unwrap() + 1]);
    let too_large = |error| matches!(error, TrustError::Format { source: FormatError::TooLarge { .. }, .. });
    assert!(too_large(repo.start().root(&huge(crate::length::MAX_ROOT)).unwrap_err()));
    assert!(too_large(repo.rooted().timestamp(&huge(crate::length::MAX_TIMESTAMP), None).unwrap_err()));
    assert!(too_large(repo.stamped().snapshot(&huge(crate::length::MAX_SNAPSHOT), None).unwrap_err()));
    assert!(too_large(repo.complete().channel(&Channel::stable(), &huge(crate::length::MAX_ROLE)).unwrap_err()));
}

#[test]
fn a_role_name_is_never_a_path() {
    assert_eq!(quote("../../etc/x"), "..%2F..%2Fetc%2Fx");
    assert_eq!(quote("a b%é"), "a%20b%25%C3%A9");
}
