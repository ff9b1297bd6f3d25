//! The trust of a client in its repository, told on the simulator: what it accepts, what it refuses and why, and what it
//! still holds afterwards.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]

use updater_format::role::RoleName;
use updater_format::trust::TrustError;
use updater_runtime::Clock as _;
use updater_runtime::refresh::RefreshError;
use updater_runtime::transport::FetchError;
use updater_tests::simulator::{Fault, Repository, RepositorySimulator, SigningKey, keyring};

/// Asserts that a document from a mirror was refused by this check.
macro_rules! assert_refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err(RefreshError::Trust { source: $pattern, .. } | RefreshError::Inconsistent { source: $pattern }) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}

/// Asserts that this role is reported as stale since that moment.
macro_rules! assert_stale {
    ($result:expr, $role:literal, $since:expr) => {
        match $result {
            Err(RefreshError::Stale { role, since }) => assert_eq!((role.as_str(), since), ($role, $since)),
            other => panic!("expected stale {}, got {other:?}", $role),
        }
    };
}

fn kept(roles: &[(&str, u64)]) -> Vec<(String, u64)> {
    roles.iter().map(|(role, version)| ((*role).to_owned(), *version)).collect()
}

#[test]
fn a_first_check_asks_for_each_document_once_and_keeps_the_exact_bytes() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"bundle");
    let client = sim.client();
    assert_eq!(client.offers("stable").unwrap(), ["1.0.0"]);
    let mut asked = sim.take_requests();
    asked[..2].sort();
    assert_eq!(
        asked,
        [
            "metadata/2.root.json",
            "metadata/timestamp.json",
            "metadata/2.snapshot.json",
            "metadata/1.targets.json",
            "metadata/2.stable.json"
        ]
    );
    for (file, path) in [
        ("root.json", "1.root.json"),
        ("timestamp.json", "timestamp.json"),
        ("snapshot.json", "2.snapshot.json"),
        ("targets.json", "1.targets.json"),
        ("stable.json", "2.stable.json"),
    ] {
        let on_disk = std::fs::read(client.metadata_dir().join(file)).unwrap();
        assert_eq!(on_disk, sim.file(&format!("metadata/{path}")), "{file}");
    }
}

#[test]
fn a_check_without_news_is_two_requests() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    client.offers("stable").unwrap();
    sim.take_requests();
    client.offers("stable").unwrap();
    let mut asked = sim.take_requests();
    asked.sort();
    assert_eq!(asked, ["metadata/2.root.json", "metadata/timestamp.json"]);
    // A timestamp that was only signed again brings nothing else along.
    sim.repo().timestamp.version += 1;
    client.offers("stable").unwrap();
    assert_eq!(sim.take_requests().len(), 2);
}

#[test]
fn unknown_fields_are_kept_and_do_no_harm() {
    let sim = RepositorySimulator::new();
    for role in ["root", "timestamp", "snapshot", "targets", "stable"] {
        sim.repo().edit(role, |signed| signed["x-from-the-future"] = "{\"a\":[1,{\"b\":null}]}".into());
    }
    let client = sim.client();
    client.offers("stable").unwrap();
    let root = client.with(|refreshed| Ok(refreshed.set().current_root().extra.clone())).unwrap();
    assert!(root.contains_key("x-from-the-future"));
}

#[test]
fn an_expired_role_is_named_and_what_came_before_it_is_kept() {
    let since = RepositorySimulator::new().clock.yesterday();
    let refresh = |expire: fn(&mut Repository, updater_format::UtcTime)| {
        let sim = RepositorySimulator::new();
        let client = sim.client();
        client.offers("stable").unwrap();
        let mut repo = sim.repo();
        repo.targets.version += 1;
        repo.role("stable").version += 1;
        repo.bump();
        expire(&mut repo, since);
        drop(repo);
        (client.offers("stable").map(drop), client.keeps())
    };
    let old = [("root", 1), ("snapshot", 1), ("stable", 1), ("targets", 1), ("timestamp", 1)];
    let (result, now) = refresh(|repo, since| repo.timestamp.expires = since);
    assert_stale!(result, "timestamp", since);
    assert_eq!(now, kept(&old));
    let (result, now) = refresh(|repo, since| repo.snapshot.expires = since);
    assert_stale!(result, "snapshot", since);
    assert_eq!(now, kept(&[old[0], old[1], old[2], old[3], ("timestamp", 2)]));
    let (result, now) = refresh(|repo, since| repo.targets.expires = since);
    assert_stale!(result, "targets", since);
    assert_eq!(now, kept(&[old[0], ("snapshot", 2), old[2], old[3], ("timestamp", 2)]));
    let (result, now) = refresh(|repo, since| repo.stable().expires = since);
    assert_stale!(result, "stable", since);
    assert_eq!(now, kept(&[old[0], ("snapshot", 2), old[2], ("targets", 2), ("timestamp", 2)]));
    let (result, now) = refresh(|repo, since| repo.next_root().expires = since);
    assert_stale!(result, "root", since);
    assert_eq!(now, kept(&[("root", 2), old[1], old[2], old[3], old[4]]), "TUF 5.3.8: kept before its expiry counts");
}

#[test]
fn a_timestamp_served_for_ever_freezes_nobody_beyond_its_life() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    client.offers("stable").unwrap();
    let until = sim.repo().timestamp.expires;
    sim.clock.set(until.plus_seconds(-1));
    client.offers("stable").unwrap();
    // The same bytes again, with "not modified" and without.
    sim.clock.set(until);
    assert_stale!(client.refresh(), "timestamp", until);
    sim.repo().etags = false;
    assert_stale!(client.refresh(), "timestamp", until);
    sim.fault("metadata/timestamp.json", Fault::NotModified);
    assert_stale!(client.refresh(), "timestamp", until);
}

#[test]
fn an_expired_snapshot_that_is_kept_is_not_used_again() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().snapshot.expires = sim.clock.in_days(2);
    client.offers("stable").unwrap();
    sim.clock.advance_days(3);
    let since = sim.repo().snapshot.expires;
    assert_stale!(client.refresh(), "snapshot", since);
    // The same for the roles below it.
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().stable().expires = sim.clock.in_days(2);
    client.offers("stable").unwrap();
    sim.clock.advance_days(3);
    let since = sim.repo().stable().expires;
    assert_stale!(client.offers("stable"), "stable", since);
}

#[test]
fn expired_copies_still_show_that_a_version_went_back() {
    let sim = RepositorySimulator::new();
    sim.repo().timestamp.version = 5;
    let client = sim.client();
    client.offers("stable").unwrap();
    sim.clock.advance_days(8);
    sim.repo().timestamp.expires = sim.clock.in_days(7);
    sim.repo().timestamp.version = 4;
    assert_refused!(client.refresh(), TrustError::Rollback { known: 5, found: 4, .. });
}

#[test]
fn no_role_goes_back() {
    let sim = RepositorySimulator::new();
    {
        let mut repo = sim.repo();
        repo.timestamp.version = 10;
        repo.snapshot.version = 10;
        repo.targets.version = 10;
        repo.stable().version = 10;
    }
    // A client that saw all of that, and then the same place with one thing set back and signed by everybody.
    let back = |change: fn(&mut Repository)| {
        let sim = sim.copy();
        let client = sim.client();
        client.offers("stable").unwrap();
        let before = client.keeps();
        sim.repo().bump();
        change(&mut sim.repo());
        let result = client.offers("stable");
        let untouched = |role: &str| client.keeps().iter().find(|(name, _)| name == role).cloned();
        for (role, version) in before.iter().filter(|(role, _)| role == "targets" || role == "stable") {
            assert_eq!(untouched(role), Some((role.clone(), *version)), "{role} was replaced");
        }
        result
    };
    assert_refused!(back(|r| r.timestamp.version = 9), TrustError::Rollback { role, known: 10, found: 9 } if role == "timestamp");
    assert_refused!(back(|r| r.snapshot.version = 9), TrustError::Rollback { role, known: 10, found: 9 } if role == "snapshot");
    assert_refused!(back(|r| r.targets.version = 9), TrustError::Rollback { role, known: 10, found: 9 } if role == "targets");
    assert_refused!(back(|r| r.stable().version = 9), TrustError::Rollback { role, known: 10, found: 9 } if role == "stable");
    assert_refused!(
        back(|r| {
            r.unpin();
            r.snapshot.roles.remove("beta");
            r.pin_snapshot();
        }),
        TrustError::RoleRemoved { role } if role == "beta"
    );
}

#[test]
fn without_its_state_a_client_is_still_at_least_at_the_embedded_root() {
    let sim = RepositorySimulator::new();
    sim.repo().rotate(RoleName::Root, 11);
    sim.repo().rotate(RoleName::Timestamp, 12);
    let client = sim.client();
    client.forget();
    client.refresh().unwrap();
    // Root 1 is a genuine root, and so is the whole repository of its time. A client built with root 3 takes none of it.
    let old = RepositorySimulator::new();
    let client = client.over(old.transport(), &["https://a.example/"]);
    client.forget();
    assert_refused!(client.refresh(), TrustError::Signatures { role, valid: 0, threshold: 1 } if role == "timestamp");
    assert_eq!(client.keeps(), kept(&[("root", 3)]));
}

#[test]
fn a_planted_root_on_disk_is_dropped() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    client.refresh().unwrap();
    let evil = RepositorySimulator::new();
    evil.repo().signers.root = vec![SigningKey::from_seed(66)];
    evil.repo().rotate(RoleName::Root, 66);
    evil.repo().rotate(RoleName::Timestamp, 67);
    for version in [2, 3] {
        let path = client.metadata_dir().join(format!("roots/{version}.root.json"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, evil.file(&format!("metadata/{version}.root.json"))).unwrap();
    }
    client.refresh().unwrap();
    assert!(!client.metadata_dir().join("roots/2.root.json").exists(), "what does not follow is removed");
    assert_eq!(client.keeps()[0], ("root".to_owned(), 1));
}

#[test]
fn a_root_must_be_signed_by_the_old_and_the_new_keys() {
    for (signers, expected) in [(vec![1], (0, 1)), (vec![11], (0, 1)), (vec![1, 11], (1, 1))] {
        let sim = RepositorySimulator::new();
        let client = sim.client();
        sim.repo().rotate(RoleName::Root, 11);
        sim.repo().signers.root = signers.iter().map(|seed| SigningKey::from_seed(*seed)).collect();
        let result = client.refresh();
        if signers.len() == 2 {
            result.unwrap();
        } else {
            assert_refused!(result, TrustError::Signatures { valid, threshold, .. } if (valid, threshold) == expected);
        }
    }
}

#[test]
fn a_root_that_skips_or_repeats_a_version_is_refused() {
    for version in [1, 3] {
        let sim = RepositorySimulator::new();
        let client = sim.client();
        sim.repo().root.version = version;
        let bytes = sim.repo().root_bytes();
        sim.repo().root.version = 1;
        sim.fault("metadata/2.root.json", Fault::Replace(bytes));
        assert_refused!(client.refresh(), TrustError::Version { expected: 2, found, .. } if found == version);
    }
}

#[test]
fn one_check_walks_through_256_roots_and_the_next_goes_on() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    for _ in 0..258 {
        sim.repo().next_root();
    }
    assert!(matches!(client.refresh(), Err(RefreshError::TooManyRoots { limit: 256 })));
    client.refresh().unwrap();
    assert_eq!(client.keeps()[0], ("root".to_owned(), 259), "{:?}", client.keeps());
}

#[test]
fn after_fast_forward_a_new_key_lets_versions_start_again() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    {
        // The thief of the online key, once.
        let mut repo = sim.repo();
        repo.timestamp.version = 1 << 53;
        repo.snapshot.version = 1 << 52;
        repo.stable().version = 1 << 51;
    }
    client.offers("stable").unwrap();
    {
        let mut repo = sim.repo();
        repo.timestamp.version = 2;
        repo.snapshot.version = 2;
        repo.stable().version = 2;
    }
    assert_refused!(client.refresh(), TrustError::Rollback { .. });
    sim.repo().rotate(RoleName::Timestamp, 21);
    sim.repo().rotate(RoleName::Snapshot, 22);
    assert!(client.offers("stable").unwrap().is_empty());
    assert_eq!(client.keeps(), kept(&[("root", 3), ("snapshot", 2), ("stable", 2), ("targets", 1), ("timestamp", 2)]));
}

#[test]
fn a_version_beyond_2_to_the_53_is_no_version() {
    for role in ["timestamp", "snapshot", "stable"] {
        let sim = RepositorySimulator::new();
        let client = sim.client();
        sim.repo().edit(role, |signed| signed["version"] = ((1u64 << 53) + 1).into());
        assert_refused!(client.offers("stable"), TrustError::Format { role: found, .. } if found == role);
    }
}

#[test]
fn documents_of_different_times_are_not_mixed() {
    // Every pair of two publishings: the newer timestamp with the older rest, and so on.
    let old = RepositorySimulator::new();
    old.repo().release("stable", "1.0.0", b"old");
    let new = old.copy();
    new.repo().release("stable", "1.1.0", b"new");
    let mix = |path: &str, from: &str| {
        let sim = new.copy();
        sim.fault(path, Fault::Replace(old.file(from)));
        sim.client().offers("stable")
    };
    assert_refused!(
        mix("metadata/3.snapshot.json", "metadata/2.snapshot.json"),
        TrustError::Hash { .. } | TrustError::Length { .. }
    );
    assert_refused!(
        mix("metadata/3.stable.json", "metadata/2.stable.json"),
        TrustError::Hash { .. } | TrustError::Length { .. }
    );
    // An old timestamp as a whole is no mixture, but a rollback for whoever saw the newer one.
    let client = new.client();
    client.offers("stable").unwrap();
    new.fault("metadata/timestamp.json", Fault::Replace(old.file("metadata/timestamp.json")));
    assert_refused!(client.refresh(), TrustError::Rollback { known: 3, found: 2, .. });
}

#[test]
fn where_a_foreign_repository_gives_no_hash_the_version_decides() {
    let sim = RepositorySimulator::new();
    sim.repo().unpin();
    for meta in sim.repo().snapshot.roles.values_mut() {
        (meta.length, meta.hashes) = (None, None);
    }
    sim.repo().pin_snapshot();
    sim.client().offers("stable").unwrap();
    sim.repo().snapshot.roles.get_mut("stable").unwrap().version = 2;
    sim.repo().pin_snapshot();
    let stable = sim.file("metadata/1.stable.json");
    sim.fault("metadata/2.stable.json", Fault::Replace(stable));
    assert_refused!(sim.client().offers("stable"), TrustError::Version { expected: 2, found: 1, .. });
}

#[test]
fn two_apps_with_the_same_keys_stay_apart() {
    // The worst case: one publisher, one key set, two apps.
    let hello = RepositorySimulator::new();
    hello.repo().release("stable", "1.0.0", b"hello");
    let other = RepositorySimulator::new();
    rename_app(&other, "other");
    other.repo().release("stable", "9.0.0", b"other");
    assert_eq!(other.client().offers("stable").unwrap(), ["9.0.0"]);
    // The whole repository of the other app in the place of this one.
    let client = hello.client().over(other.transport(), &["https://a.example/"]);
    assert_refused!(client.refresh(), TrustError::WrongApp { role, expected, found }
        if (role.as_str(), expected.as_str(), found.as_str()) == ("targets", "hello", "other"));
    // Each role of it alone, under names and hashes that fit.
    for role in ["root", "targets", "stable"] {
        let sim = hello.copy();
        let client = hello.client().over(sim.transport(), &["https://a.example/"]);
        if role == "root" {
            sim.repo().next_root();
        }
        sim.repo().edit(role, |signed| signed["x-updater"]["app"] = "other".into());
        assert_refused!(client.offers("stable"), TrustError::WrongApp { role: found, .. } if found == role);
    }
    // One target of it.
    let sim = hello.copy();
    let (name, file) = other.repo().stable().targets.pop_first().unwrap();
    sim.repo().stable().targets.insert(name, file);
    assert_refused!(sim.client().offers("stable"), TrustError::WrongApp { role, .. } if role == "stable");
    // No app at all.
    let sim = hello.copy();
    sim.repo().stable().extension = None;
    assert_refused!(sim.client().offers("stable"), TrustError::WrongApp { found, .. } if found == "none");
}

fn rename_app(sim: &RepositorySimulator, name: &str) {
    let mut repo = sim.repo();
    repo.app = name.parse().unwrap();
    repo.root.extension.as_mut().unwrap().app = name.parse().unwrap();
    repo.targets.extension.as_mut().unwrap().app = name.parse().unwrap();
    for role in repo.roles.values_mut() {
        role.extension.as_mut().unwrap().app = name.parse().unwrap();
    }
}

#[test]
fn a_channel_is_never_served_for_another() {
    // Beta and stable by the same keys, so that nothing but the name is in the way.
    let sim = RepositorySimulator::new();
    sim.repo().release("beta", "2.0.0", b"beta");
    let stable_signers = sim.repo().signers.roles["stable"].clone();
    sim.repo().signers.roles.insert("beta".to_owned(), stable_signers);
    sim.repo().release("stable", "1.0.0", b"stable");
    let beta = sim.repo().roles["beta"].clone();
    sim.repo().roles.insert("stable".to_owned(), beta);
    assert_refused!(sim.client().offers("stable"), TrustError::WrongChannel { expected, found, .. }
        if (expected.as_str(), found.as_str()) == ("stable", "beta"));
    assert_refused!(sim.client().offers("nightly"), TrustError::UnknownRole { .. });
}

#[test]
fn the_key_of_one_channel_cannot_sign_another() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"stable");
    let beta = sim.repo().signers.roles["beta"].clone();
    sim.repo().signers.roles.insert("stable".to_owned(), beta);
    assert_refused!(sim.client().offers("stable"), TrustError::Signatures { role, valid: 0, threshold: 1 } if role == "stable");
}

#[test]
fn only_not_found_ends_the_walk_through_the_roots() {
    for status in [400, 401, 403, 429, 500, 502, 503] {
        let sim = RepositorySimulator::new();
        let client = sim.client();
        sim.fault("metadata/2.root.json", Fault::Status(status));
        match client.refresh() {
            Err(RefreshError::Fetch(FetchError::Status { status: found, .. })) => assert_eq!(found, status),
            other => panic!("{status}: {other:?}"),
        }
        assert_eq!(client.keeps(), [], "nothing is learned behind a root that could not be asked for");
    }
    let sim = RepositorySimulator::new();
    sim.fault("metadata/2.root.json", Fault::Offline);
    assert!(matches!(sim.client().refresh(), Err(RefreshError::Fetch(FetchError::Connect { .. }))));
    // The login page of a hotel is not "not found" either.
    sim.fault("metadata/2.root.json", Fault::Replace(b"<!doctype html><title>Welcome</title>".to_vec()));
    assert_refused!(sim.client().refresh(), TrustError::Format { role, .. } if role == "root");
    sim.fault("metadata/2.root.json", Fault::NotModified);
    assert!(matches!(sim.client().refresh(), Err(RefreshError::Fetch(FetchError::Protocol { .. }))));
}

#[test]
fn a_root_that_a_cache_still_denies_is_found_by_asking_once_more() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    client.refresh().unwrap();
    sim.repo().rotate(RoleName::Timestamp, 31);
    sim.repo().timestamp.version += 1;
    let cache = StaleCache(sim.clone());
    let client = client.over(std::sync::Arc::new(cache), &["https://a.example/"]);
    sim.take_log();
    client.refresh().unwrap();
    let log = sim.take_log();
    assert!(log.iter().any(|r| r.path == "metadata/2.root.json" && r.no_cache), "{log:?}");
    assert_eq!(client.keeps()[0], ("root".to_owned(), 2));
}

/// A cache that still says "not found" of the second root unless it is told to ask again.
struct StaleCache(RepositorySimulator);

impl updater_runtime::transport::Transport for StaleCache {
    fn fetch(
        &self,
        request: &updater_runtime::transport::FetchRequest,
    ) -> Result<updater_runtime::transport::Fetched, FetchError> {
        let cached = request.freshness == updater_runtime::transport::Freshness::Cached;
        if cached && request.url.expose().ends_with("2.root.json") {
            return Err(FetchError::NotFound { url: request.url.clone() });
        }
        self.0.fetch(request)
    }
}

#[test]
fn an_app_from_before_two_rotations_a_theft_and_a_revocation_updates_in_one_run() {
    let sim = RepositorySimulator::new();
    let client = sim.client();
    sim.repo().release("stable", "1.0.0", b"one");
    client.offers("stable").unwrap();
    // The online key is stolen: versions are pushed far ahead.
    sim.repo().timestamp.version = 1 << 40;
    sim.repo().snapshot.version = 1 << 40;
    client.offers("stable").unwrap();
    // The root rotates twice, the online keys once, the channel key is revoked.
    sim.repo().rotate(RoleName::Root, 41);
    sim.repo().rotate(RoleName::Root, 42);
    sim.repo().rotate(RoleName::Timestamp, 43);
    sim.repo().rotate(RoleName::Snapshot, 43);
    let channel_key = vec![SigningKey::from_seed(44)];
    {
        let mut repo = sim.repo();
        let ring = keyring(&channel_key, 1);
        repo.targets.delegations.as_mut().unwrap().roles[0].keyring = ring;
        repo.targets.version += 1;
        repo.signers.roles.insert("stable".to_owned(), channel_key);
        repo.timestamp.version = 1;
        repo.snapshot.version = 1;
    }
    sim.repo().release("stable", "1.1.0", b"two");
    assert_eq!(client.offers("stable").unwrap(), ["1.0.0", "1.1.0"]);
    assert_eq!(client.keeps()[0], ("root".to_owned(), 5), "{:?}", client.keeps());
    // And it no longer takes anything by the revoked key.
    sim.repo().signers.roles.insert("stable".to_owned(), vec![SigningKey::from_seed(4)]);
    sim.repo().stable().version += 1;
    sim.repo().bump();
    assert_refused!(client.offers("stable"), TrustError::Signatures { role, .. } if role == "stable");
}

#[test]
fn a_damaged_state_costs_a_download_and_gains_nothing() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"one");
    let client = sim.client();
    client.offers("stable").unwrap();
    for file in ["root.json", "timestamp.json", "snapshot.json", "targets.json", "stable.json"] {
        for bytes in [&b""[..], b"{", b"null", &[0xff; 100_000]] {
            std::fs::write(client.metadata_dir().join(file), bytes).unwrap();
            assert_eq!(client.offers("stable").unwrap(), ["1.0.0"], "{file}");
        }
    }
    assert_eq!(client.keeps(), kept(&[("root", 1), ("snapshot", 2), ("stable", 2), ("targets", 1), ("timestamp", 2)]));
    assert!(sim.clock.now() < sim.repo().timestamp.expires);
}
