//! A storage that was put back, emptied, or lost its timestamp.

use super::*;

#[test]
fn a_timestamp_that_went_back_is_repaired_with_nothing_lost() {
    let app = App::new();
    let (temp, storage) = folder();
    app.publish_remembering(&storage, "a", temp.path()).unwrap();
    let old = storage.read(&metadata("timestamp.json"), 1 << 20).unwrap().unwrap();
    app.publish_remembering(&storage, "b", temp.path()).unwrap();
    storage.put_mutable(&metadata("timestamp.json"), old).unwrap();
    assert_eq!(app.visible(&storage).unwrap(), ["a"]);
    // 2 was the newest that clients may have; 3 repairs it, 4 is the release.
    let committed = app.publish_remembering(&storage, "c", temp.path()).unwrap();
    assert_eq!(committed, Committed { timestamp: 4, snapshot: 3, role: 3 });
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b", "c"]);
    assert!(app.shell.output().0.contains("went back from 2 to 1; repairing it"));
}

#[test]
fn a_repair_makes_a_claim_where_claims_keep_publishers_apart() {
    let app = App::new();
    let (temp, storage) = (tempfile::tempdir().unwrap(), memory());
    app.publish_remembering(&storage, "a", temp.path()).unwrap();
    let old = storage.read(&metadata(TIMESTAMP), 1 << 20).unwrap().unwrap();
    app.publish_remembering(&storage, "b", temp.path()).unwrap();
    storage.put_mutable(&metadata(TIMESTAMP), old).unwrap();
    let committed = app.publish_remembering(&storage, "c", temp.path()).unwrap();
    // Snapshot 3 is the claim of the repair: it lists what 2 did.
    assert_eq!(committed, Committed { timestamp: 4, snapshot: 4, role: 3 });
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b", "c"]);
}

#[test]
fn every_machine_with_the_private_storage_knows_what_one_has_published() {
    let app = App::new();
    let (temp, storage) = folder();
    let private = || Storage::open(&StorageUri::Folder("private".into()), temp.path()).unwrap();
    let storage = storage.with_private(Some(private()));
    app.publish(&storage, "a", NO_LEASE).unwrap();
    let week_ago = storage.read(&metadata(TIMESTAMP), 1 << 20).unwrap().unwrap();
    app.publish(&storage, "b", NO_LEASE).unwrap();
    assert!(temp.path().join("private/last-published.json").is_file());
    assert!(!temp.path().join("repository/submissions").exists(), "what waits lies elsewhere, too");
    storage.put_mutable(&metadata(TIMESTAMP), week_ago).unwrap();
    std::fs::remove_file(temp.path().join("repository/metadata/2.snapshot.json")).unwrap();
    // No folder of keys here: nothing is remembered on this machine.
    let error = app.publish(&storage, "c", NO_LEASE).unwrap_err();
    assert!(error.to_string().contains("went back: timestamp 1 instead of 2 or newer"), "{error}");
    assert!(error.hints[0].contains("last-published.json in fs:private"), "{:?}", error.hints);
}

#[test]
fn a_storage_that_was_put_back_or_emptied_is_refused() {
    let app = App::new();
    let (temp, storage) = folder();
    app.publish_remembering(&storage, "a", temp.path()).unwrap();
    let old = storage.read(&metadata("timestamp.json"), 1 << 20).unwrap().unwrap();
    app.publish_remembering(&storage, "b", temp.path()).unwrap();
    storage.put_mutable(&metadata("timestamp.json"), old.clone()).unwrap();
    storage.put_mutable(&metadata("2.snapshot.json"), b"gone".to_vec()).unwrap();
    let error = app.publish_remembering(&storage, "c", temp.path()).unwrap_err();
    assert!(error.to_string().contains("went back: timestamp 1 instead of 2 or newer"), "{error}");
    assert_eq!(error.code, crate::error::ExitCode::Verification);
    assert_eq!(storage.read(&metadata("timestamp.json"), 1 << 20).unwrap().unwrap(), old);

    std::fs::remove_dir_all(temp.path().join("repository")).unwrap();
    let emptied = Storage::open(&StorageUri::Folder("repository".into()), temp.path()).unwrap();
    let error = app.publish_remembering(&emptied, "c", temp.path()).unwrap_err();
    assert!(error.to_string().contains("went back: timestamp 0 instead of 2"), "{error}");
    std::fs::remove_file(temp.path().join("last-published.json")).unwrap();
    app.publish_remembering(&emptied, "c", temp.path()).unwrap();
}

#[test]
fn a_timestamp_put_back_from_before_a_yank_is_not_signed_anew() {
    let app = App::new();
    let (temp, storage) = folder();
    app.publish_remembering(&storage, "a", temp.path()).unwrap();
    let before_the_yank = storage.read(&metadata("timestamp.json"), 1 << 20).unwrap().unwrap();
    let mut keychain = app.keychain_in(temp.path().to_owned());
    app.commit(&storage, &mut keychain, NO_LEASE)
        .withhold(|extension, _| {
            let steering = extension.channels.entry(Channel::stable()).or_default();
            steering.yank.insert("1.0.0".parse().unwrap());
            Ok(())
        })
        .unwrap();
    storage.put_mutable(&metadata("timestamp.json"), before_the_yank.clone()).unwrap();
    let error = app.publish_remembering(&storage, "b", temp.path()).unwrap_err();
    assert!(error.to_string().contains("went back: timestamp 1 instead of 2 or newer"), "{error}");
    assert_eq!(storage.read(&metadata("timestamp.json"), 1 << 20).unwrap().unwrap(), before_the_yank);
}

#[test]
fn what_was_published_may_be_remembered_in_a_named_file() {
    let app = App::new();
    let (temp, storage) = folder();
    let record = temp.path().join("kept/record.json");
    let storage = storage.remembered_in(Some(record.clone()));
    app.publish(&storage, "a", NO_LEASE).unwrap();
    assert!(record.is_file(), "the folder of the keys does not exist here");
    let week_ago = storage.read(&metadata(TIMESTAMP), 1 << 20).unwrap().unwrap();
    app.publish(&storage, "b", NO_LEASE).unwrap();
    storage.put_mutable(&metadata(TIMESTAMP), week_ago).unwrap();
    std::fs::remove_file(temp.path().join("repository/metadata/2.snapshot.json")).unwrap();
    let error = app.publish(&storage, "c", NO_LEASE).unwrap_err();
    assert!(error.to_string().contains("went back: timestamp 1 instead of 2 or newer"), "{error}");
    assert!(error.hints[0].contains("record.json"), "{:?}", error.hints);
}

#[test]
fn a_timestamp_is_not_repaired_onto_a_snapshot_of_other_keys() {
    let (app, other) = (App::new(), App::new());
    let (temp, storage) = folder();
    app.publish_remembering(&storage, "a", temp.path()).unwrap();
    let old = storage.read(&metadata(TIMESTAMP), 1 << 20).unwrap().unwrap();
    app.publish_remembering(&storage, "b", temp.path()).unwrap();
    let elsewhere = memory();
    other.publish(&elsewhere, "a", NO_LEASE).unwrap();
    other.publish(&elsewhere, "b", NO_LEASE).unwrap();
    let foreign = elsewhere.read(&metadata("2.snapshot.json"), 1 << 20).unwrap().unwrap();
    let (record, identity) = (temp.path().join("last-published.json"), storage.identity().unwrap());
    let entry = Seen::load(&record, &identity).unwrap().unwrap();
    Seen::save(&record, &identity, Entry { sha256: Sha256::of(&foreign), ..entry }).unwrap();
    storage.put_mutable(&metadata("2.snapshot.json"), foreign).unwrap();
    storage.put_mutable(&metadata(TIMESTAMP), old.clone()).unwrap();

    let error = app.publish_remembering(&storage, "c", temp.path()).unwrap_err();
    assert!(error.to_string().contains("went back: timestamp 1 instead of 2 or newer"), "{error}");
    assert_eq!(storage.read(&metadata(TIMESTAMP), 1 << 20).unwrap().unwrap(), old);
}

#[test]
fn a_lost_timestamp_is_not_started_over() {
    let app = App::new();
    let (temp, storage) = folder();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    app.publish(&storage, "b", NO_LEASE).unwrap();
    let timestamp = temp.path().join("repository/metadata/timestamp.json");
    std::fs::rename(&timestamp, temp.path().join("backup")).unwrap();
    for error in [app.publish(&storage, "c", NO_LEASE).unwrap_err(), app.refresh(&storage).unwrap_err()] {
        assert!(error.to_string().contains("fs:repository has 2 snapshots and no timestamp.json"), "{error}");
        assert!(error.hints[0].contains("from a backup"), "{:?}", error.hints);
    }
    assert!(!timestamp.exists());
    std::fs::rename(temp.path().join("backup"), &timestamp).unwrap();
    app.publish(&storage, "c", NO_LEASE).unwrap();
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_newer_snapshot_that_lists_an_older_role_is_not_built_on() {
    let app = App::new();
    let (temp, storage) = folder();
    app.publish_remembering(&storage, "a", temp.path()).unwrap();
    let old = RepositoryState::read(&storage, &app.id, &app.root, Expiry::Ignored).unwrap().unwrap();
    let old = old.snapshot().roles["stable"].clone();
    app.publish_remembering(&storage, "b", temp.path()).unwrap();
    // As whoever has the online key can.
    let mut keychain = app.keychain_in(temp.path().to_owned());
    let state = RepositoryState::read(&storage, &app.id, &app.root, Expiry::Ignored).unwrap().unwrap();
    let root = &**state.root();
    let snapshot = crate::roles::next_snapshot(Some(state.snapshot()), 3, [("stable".to_owned(), old)], now());
    let signers = keychain.signers("snapshot", root.keyring(RoleName::Snapshot)).unwrap();
    let snapshot = Document::sign("snapshot", &snapshot, &signers).unwrap();
    let timestamp = next_timestamp(Some(state.timestamp()), snapshot.meta.clone(), state.targets(), now());
    let timestamp = Document::sign("timestamp", &timestamp, &signers).unwrap();
    storage.put_mutable(&metadata(&snapshot.file), snapshot.bytes).unwrap();
    storage.put_mutable(&metadata(TIMESTAMP), timestamp.bytes).unwrap();
    assert_eq!(app.visible(&storage).unwrap(), ["a"]);

    let refused = app.publish_remembering(&storage, "c", temp.path()).unwrap_err();
    let refreshed =
        app.commit(&storage, &mut keychain, NO_LEASE).refresh(crate::repository::Renew::Always).unwrap_err();
    for error in [refused, refreshed] {
        assert!(error.to_string().contains("version 1 of the role stable instead of 2 or newer"), "{error}");
        assert_eq!(error.code, crate::error::ExitCode::Verification);
    }
}
